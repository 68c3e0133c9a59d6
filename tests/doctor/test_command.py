"""What the doctor finds on a machine, with stand-ins for TensorFlow and the driver; and the command as it is used."""

from __future__ import annotations

import json
import os
from pathlib import Path

import msgspec
import pytest

from gpuprobe import telemetry
from gpuprobe.doctor import gather
from gpuprobe.doctor.ask_tensorflow import ask_tensorflow
from gpuprobe.doctor.cards import cards
from gpuprobe.doctor.check import checks
from gpuprobe.doctor.facts import (
    TensorflowGpu,
)
from tests.helpers.machines import GPU, HEALTHY, result
from tests.helpers.program import Cli


def recorded(path: Path, *lines: str) -> telemetry.Telemetry:
    header = "t_ns,said,gpu0_pcie_generation,gpu0_pcie_width,gpu0_throttle_reasons,gpu0_other_processes"
    path.write_text("\n".join([header, *lines]) + "\n")
    return telemetry.read(path)


def test_a_card_is_read_within_the_given_stretch_alone(tmp_path: Path) -> None:
    recording = recorded(
        tmp_path / "t.csv",
        "1000000000,gpu0: other_process: process 7 (python) holds 2000 MiB of its memory,1,16,1,1",
        "2000000000,,3,8,64,0",
        "3000000000,,3,8,5,0",
    )
    facts: dict[str, str | float | bool] = {"pcie_generation_max": 3.0, "pcie_width_max": 16.0, "mig_mode": False}
    gpus = (msgspec.structs.replace(GPU, facts=facts),)
    (rest,) = cards(recording, gpus, 0, 1_500_000_000)
    assert (rest.pcie_generation, rest.others, rest.reasons, rest.persistence, rest.mig) == (1, 1, (), None, False)
    assert rest.programs == ("process 7 (python) holds 2000 MiB of its memory",)
    (work,) = cards(recording, gpus, 1_500_000_000, 3_000_000_000)
    assert (work.pcie_generation, work.pcie_width, work.pcie_width_max) == (3, 8, 16)
    assert work.reasons == ("power cap", "hardware thermal slowdown")
    assert cards(recording, gpus, 4_000_000_000, 5_000_000_000) == ()


def stand_in(folder: Path, program: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put a module in TensorFlow's place, as a child process will import it."""
    (folder / "tensorflow.py").write_text(program)
    monkeypatch.setenv("PYTHONPATH", str(folder))


@pytest.mark.parametrize(
    ("program", "words"),
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "stage import was ended by SIGSEGV"),
        ("import os; os._exit(3)", "stage import ended the process with exit code 3"),
        ("import time; time.sleep(600)", "stage import had not ended after 3 s"),
        ("raise ImportError('libfoo.so.1: cannot open shared object file')", "libfoo.so.1"),
        ("raise ModuleNotFoundError(\"No module named 'tensorflow'\")", "not installed"),
    ],
)
def test_a_tensorflow_that_does_not_import_is_one_reason(
    program: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in(tmp_path, program, monkeypatch)
    found = ask_tensorflow(3.0 if "sleep" in program else 60.0)
    assert words in (found.missing or "")
    told = result(msgspec.structs.replace(HEALTHY, tensorflow=found), "tensorflow_imports")
    assert told.status == "fail"
    assert ("--limit" in told.fix) == ("sleep" in program)


def test_a_stage_that_fails_does_not_hide_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = """
import sys
print("E0000 cuda_dnn.cc] Loaded runtime CuDNN library: 8.9.4 but source was compiled with: 9.3.0", file=sys.stderr)
print("a plug-in says hello")
__version__ = "2.99"
class sysconfig:
    get_build_info = staticmethod(lambda: {"is_cuda_build": True, "cuda_version": "12.5.1", "cudnn_version": "9"})
class config:
    list_physical_devices = staticmethod(lambda kind: [])
"""
    stand_in(tmp_path, program, monkeypatch)
    found = ask_tensorflow(60.0)
    assert (found.version, found.cuda, found.gpus) == ("2.99", "12.5.1", ())
    assert found.stages["compute"].startswith("AttributeError")
    assert "Loaded runtime CuDNN" in found.log
    there = msgspec.structs.replace(found, libraries=HEALTHY.tensorflow.libraries)
    facts = msgspec.structs.replace(HEALTHY, tensorflow=there)
    assert "cuDNN" in result(facts, "tensorflow_gpu").says
    assert result(facts, "first_kernel").status == "fail"


def test_gathering_finds_this_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(tmp_path, "raise ImportError('not here')", monkeypatch)
    facts = gather(60.0)
    assert facts.system.affinity == len(os.sched_getaffinity(0))
    assert facts.packages.versions["keras"]
    assert facts.system.memory_mib is not None


def test_a_card_of_the_driver_is_read_at_rest(driver: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(tmp_path, "raise ImportError('not here')", monkeypatch)
    facts = gather(60.0)
    assert [gpu.name for gpu in facts.driver.gpus] == ["NVIDIA GeForce GTX 1060 3GB"]
    assert facts.cards[0].power_w == 61.5
    assert facts.cards_loaded == ()
    assert result(facts, "tensorflow_gpu").status == result(facts, "pcie_link").status == "skip"


def test_a_card_is_read_while_tensorflow_keeps_it_busy(
    driver: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = """
import time, types
import numpy
class Tensor:
    def numpy(self): return numpy.ones(1024)
    def __mul__(self, factor): return self
__version__ = "2.99"
gpu = types.SimpleNamespace(name="/physical_device:GPU:0")
sysconfig = types.SimpleNamespace(get_build_info=lambda: {"is_cuda_build": True, "cuda_version": "12.5.1"})
config = types.SimpleNamespace(
    list_physical_devices=lambda kind: [gpu],
    experimental=types.SimpleNamespace(
        set_memory_growth=lambda gpu, on: None,
        get_device_details=lambda gpu: {"device_name": "GTX", "compute_capability": (6, 1)},
    ),
)
constant = lambda value: Tensor()
linalg = types.SimpleNamespace(matmul=lambda a, b: a)
reduce_sum = lambda x: time.sleep(0.05) or 0.0
"""
    stand_in(tmp_path, program, monkeypatch)
    facts = gather(60.0)
    assert facts.tensorflow.stages["load"] == "ok"
    assert facts.tensorflow.gpus == (
        TensorflowGpu(name="/physical_device:GPU:0", device_name="GTX", compute_capability="6.1"),
    )
    assert facts.cards_loaded[0].power_w == 61.5
    assert result(facts, "tensorflow_gpu").status == "pass"
    assert result(facts, "mixed_precision").status == "warn"


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("init 18", "differ in version"),
        ("init 4", "refuses"),
        ("init 9", "loaded"),
        ("crash.init 1", "crashes"),
        ("devices 2\ngpu1.fail.all 15", "GPU 1 of 2 does not answer: the GPU has fallen off the bus"),
    ],
)
def test_a_driver_that_cannot_be_used_fails_with_its_reason(
    script: str, words: str, driver: Path, cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in(tmp_path, "raise ImportError('not here')", monkeypatch)
    driver.write_text(script + "\n")
    done = cli("doctor")
    assert done.returncode == 1
    assert [line for line in done.stdout.splitlines() if line.startswith("FAIL NVIDIA driver") and words in line]
    first, second, *_ = done.stdout.splitlines()
    assert "no NVIDIA GPU here" not in first
    # TensorFlow fails here too.
    assert second.startswith("Fix first: ")


def test_the_command_exits_with_one_where_something_fails(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in(tmp_path, "raise ImportError('libfoo.so.1 is missing')", monkeypatch)
    done = cli("doctor")
    assert done.returncode == 1
    assert "FAIL TensorFlow imports: its import fails" in done.stdout
    assert "     fix: " in done.stdout
    assert "\x1b" not in done.stdout + done.stderr


def test_the_command_on_this_machine_agrees_with_its_json(cli: Cli) -> None:
    done = cli("doctor", "--json", "--limit", "600s")
    report = json.loads(done.stdout)
    failed = [found["name"] for found in report["results"] if found["status"] == "fail"]
    assert done.returncode == (1 if failed else 0), failed
    names = {found["name"]: found["status"] for found in report["results"]}
    assert set(names) == set(checks())
    assert names["tensorflow_imports"] == names["first_kernel"] == names["trace_capture"] == "pass"
    assert all(found["fix"] for found in report["results"] if found["status"] in {"warn", "fail"})


def test_a_limit_that_is_no_time_is_wrong_usage(cli: Cli) -> None:
    done = cli("doctor", "--limit", "soon")
    assert done.returncode == 2
    assert "--limit" in done.stderr
