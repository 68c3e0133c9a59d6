"""`gpuprobe run` and `gpuprobe watch` beside a driver in trouble: both finish, name each state, and keep the rest."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from gpuprobe import telemetry
from tests.helpers.program import run_cli

# Eight cards with a trouble each from some second on, and one field that may not be read.
CARDS = """
name NVIDIA GeForce GTX 1060 3GB
devices 8
utilization 50
gpu0.fail.energy 4
gpu1.fail.all 15@1
gpu2.fail.all 16@1
gpu3.fail.all 2@1
gpu4.fail.all 28@1
gpu5.block.power 900@1
gpu6.fail.handle 4
gpu7.fail.all 15@0.8 0@2
"""
OF_CARDS = (
    ("gpu1", "gpu_lost", "the GPU has fallen off the bus or is not reachable"),
    ("gpu2", "driver_reset", "the GPU needs a reset before it can be used again"),
    ("gpu3", "vanished", "the GPU is gone from the driver's list"),
    ("gpu4", "vanished", "the GPU is gone from the driver's list"),
    ("gpu5", "driver_hung", "a call into the driver has not returned for 2 s, the readings wait for it"),
    ("gpu6", "no_permission", "no permission to ask the NVIDIA driver"),
    ("gpu7", "gpu_lost", "the GPU has fallen off the bus or is not reachable"),
)
# A driver that is in another trouble each time that it is asked, and is gone in the end.
DRIVER = "init 18 9#2 4#3 0#4 12#5\ndevices 0\n"
OF_DRIVER = (
    ("driver", "driver_mismatch", "the NVIDIA driver and its library differ in version, reboot or reload the driver"),
    ("driver", "driver_not_loaded", "the NVIDIA driver is installed but not loaded"),
    ("driver", "no_permission", "no permission to ask the NVIDIA driver"),
    ("driver", "no_device", "the NVIDIA driver is loaded but sees no GPU"),
    ("driver", "no_driver", "no NVIDIA driver: libnvidia-ml.so.1 does not load"),
)
# Sleep makes the steps last until all has happened, and costs the machine nothing.
RUN = ("--strategies", "tfdata", "--rounds", 1, "--depth", 8, "--batch-size", 8, "--samples", 64, "--steps", 10)
SLOW = ("--data", "synthetic", "--no-trace", "--inject", "slow_map=0.09")
SCRIPTS = {"cards": CARDS, "driver": DRIVER}
# What is said last of all, in whatever order.
LAST = {"cards": ("gpu5: driver_hung", "gpu7: back"), "driver": ("driver: no_driver",)}
Made = dict[tuple[str, str], tuple[str, telemetry.Telemetry]]


@pytest.fixture(scope="module")
def made(library: Path, tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Make all four at once, because most of their time is sleep: (run or watch, script) -> (report, telemetry)."""
    folder = tmp_path_factory.mktemp("made")
    asked = [(command, script) for command in (run, watch) for script in SCRIPTS]
    for name, script in SCRIPTS.items():
        (folder / name).write_text(script)

    def make(
        command: Callable[[Path, dict[str, str], str], tuple[Path, Path]], name: str
    ) -> tuple[str, telemetry.Telemetry]:
        environment = {"LD_LIBRARY_PATH": str(library), "FAKE_NVML": str(folder / name)}
        report, recording = command(folder / f"{command.__name__}-{name}", environment, name)
        return report.read_text(), telemetry.read(recording)

    with ThreadPoolExecutor() as pool:
        done = pool.map(lambda one: make(*one), asked)
        return {(command.__name__, name): found for (command, name), found in zip(asked, done, strict=True)}


def run(folder: Path, environment: dict[str, str], _script: str) -> tuple[Path, Path]:
    """Run one strategy; return where its report and its telemetry are."""
    done = run_cli("run", *RUN, *SLOW, "--out", folder, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    (study,) = folder.iterdir()
    return study / "report.md", study / "runs" / "1-tfdata" / "telemetry.csv"


def watch(folder: Path, environment: dict[str, str], script: str) -> tuple[Path, Path]:
    """Watch a command that sleeps until all has happened; return where its report and its telemetry are."""
    said = " && ".join(f"grep -q '{words}' {folder}/telemetry.csv" for words in LAST[script])
    sleeps = f"until {said}; do sleep 0.2; done; sleep 2; echo done; exit 3"
    done = run_cli("watch", "--out", folder, "--", "sh", "-c", sleeps, env=environment)
    assert (done.stdout, done.returncode) == ("done\n", 3), done.stderr
    assert "Traceback" not in done.stderr
    assert run_cli("report", folder, env=environment).returncode == 0
    return folder / "report.md", folder / "telemetry.csv"


@pytest.mark.parametrize("command", ["run", "watch"])
def test_each_trouble_of_a_card_is_a_state_and_a_line(command: str, made: Made) -> None:
    report, recording = made[command, "cards"]
    said = [(one.where, one.state, one.words) for one in recording.states if "." not in one.where]
    assert sorted(said) == sorted((*OF_CARDS, ("gpu7", "back", "the GPU answers again")))
    for one in OF_CARDS:
        # The study writes it in words, the watch as it stands in the recording.
        assert any(all(part in line or part.replace("_", " ") in line for part in one) for line in report.split("\n"))
    assert "GTX 1060" in report
    assert recording.why_missing("gpu0_energy_j") == "no permission to ask the NVIDIA driver"
    assert recording.facts["gpu0"]["name"] == "NVIDIA GeForce GTX 1060 3GB"
    times, values = recording.series("gpu0_utilization_percent")
    assert set(values) == {50}
    last_said_ns = max(one.t_ns for one in recording.states)
    assert times[-1] > last_said_ns, "the troubles of the others cost a healthy card nothing"


@pytest.mark.parametrize("command", ["run", "watch"])
def test_each_trouble_of_the_driver_is_a_state_and_a_line(command: str, made: Made) -> None:
    report, recording = made[command, "driver"]
    said = [(one.where, one.state, one.words) for one in recording.states]
    assert said == [(where, state, f"no GPU: {words}") for where, state, words in OF_DRIVER]
    for _, _, words in OF_DRIVER:
        assert any(words in line for line in report.splitlines()), words
    assert recording.gpus == ()
    assert len(recording.series("tree_cpu_s")[0]) > 5
