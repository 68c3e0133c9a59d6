"""What several tests need."""

from __future__ import annotations

import atexit
import gc
import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, settings

from tests.helpers.planted import Planted, planted_once
from tests.helpers.program import ROOT, Cli, run_cli

# A shell without job control has what it starts in the background ignore Ctrl-C, and nohup a terminal's end; programs
# under test would inherit that. What has a handler here is as usual again in them.
for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP):
    if signal.getsignal(number) == signal.SIG_IGN:
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)

# How long an example takes, or to make one, is the machine's affair. The examples are nearly the same in every run, so
# that few fail on a change that has nothing to do with them: some are constants of the modules that are loaded then.
# One that fails is printed as it is, since to make it small may take minutes. `HYPOTHESIS_PROFILE=search` draws others,
# and makes those that fail small.
settings.register_profile(
    "on any machine",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    derandomize=True,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
)
settings.register_profile("search", settings.get_profile("on any machine"), derandomize=False, phases=[*Phase])
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "on any machine"))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Let one worker more run than there are cores: many tests wait, for a sleep or for a process to start."""
    return len(os.sched_getaffinity(0)) + 1


def pytest_sessionstart() -> None:
    """Collect no garbage while the tests' modules are imported, TensorFlow among them."""
    gc.disable()


def pytest_collection_finish() -> None:
    """Have collections pass over what was imported, which stays to the end: of TensorFlow that is much."""
    gc.freeze()
    gc.enable()
    # At exit the interpreter would collect garbage.
    atexit.register(gc.freeze)


# Their files hold the trainings of minutes. They begin first, so that no worker is left alone with one at the end.
LONG = ("cli", "whole", "keras", "measure", "search", "workloads", "watch")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the tests of the folders that take longest first."""
    items.sort(key=lambda item: item.path.parent.name not in LONG)


FAKE_DRIVER = Path(__file__).parent / "helpers" / "nvml" / "fake_nvml.c"


@pytest.fixture(scope="session")
def real_traces() -> Path:
    """Return the folder of GPU traces that others recorded; they are kept beside the project, not in it."""
    folder = Path(os.environ.get("GPUPROBE_TRACES", ROOT.parent / "shared" / "traces"))
    if not (folder / "INDEX.csv").is_file():
        pytest.skip(f"no recorded traces at {folder} (GPUPROBE_TRACES names another place)")
    return folder


@pytest.fixture(scope="session")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Planted:
    """Give all processes of the tests one planted folder with the demo in it."""
    base = tmp_path_factory.getbasetemp()
    return planted_once(base.parent if "PYTEST_XDIST_WORKER" in os.environ else base)


@pytest.fixture
def cli() -> Cli:
    """Give the tests the real program."""
    return run_cli


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("no C compiler: the fake driver cannot be built")
    folder = tmp_path_factory.mktemp("nvml")
    subprocess.run([compiler, "-shared", "-fPIC", "-Wall", "-o", folder / "libnvidia-ml.so.1", FAKE_DRIVER], check=True)
    return folder


@pytest.fixture
def driver(library: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make every process started from here find the fake driver; what it says stands in the returned file."""
    script = tmp_path / "driver.txt"
    script.write_text("name NVIDIA GeForce GTX 1060 3GB\n")
    monkeypatch.setenv("LD_LIBRARY_PATH", str(library))
    monkeypatch.setenv("FAKE_NVML", str(script))
    return script
