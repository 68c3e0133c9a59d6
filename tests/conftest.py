"""What several tests need."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from studies import SimulatedStrategy
from waiting import LIMIT_S

# A shell without job control has what it starts in the background ignore Ctrl-C, and nohup a terminal's end; programs
# under test would inherit that. What has a handler here is as usual again in them.
for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP):
    if signal.getsignal(number) == signal.SIG_IGN:
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)

# How long an example takes, or to make one, is the machine's affair.
settings.register_profile("on any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("on any machine")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Let one worker more run than there are cores: many tests wait, for a sleep or for a process to start."""
    return len(os.sched_getaffinity(0)) + 1


ROOT = Path(__file__).parent.parent
FAKE_DRIVER = Path(__file__).parent / "nvml" / "fake_nvml.c"
Cli = Callable[..., subprocess.CompletedProcess[str]]

# The story on a card that waits: a plain feed at 109 ms a step, of which half goes when the data lies on the device.
STORY = (
    SimulatedStrategy(name="python_feed", step_ms=109.0, busy_percent=19.0),
    SimulatedStrategy(name="numpy", step_ms=80.0, against="python_feed", busy_percent=26.0),
    SimulatedStrategy(name="tfdata_cache_prefetch", step_ms=60.0, against="numpy", busy_percent=35.0),
    SimulatedStrategy(name="device_resident", step_ms=54.5, against="tfdata_cache_prefetch", busy_percent=38.0),
    SimulatedStrategy(name="xla", step_ms=40.0, against="tfdata_cache_prefetch", busy_percent=50.0),
)


def run_cli(*words: object, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run the real program in a process of its own."""
    command = [sys.executable, "-m", "gpuprobe.cli", *map(str, words)]
    environment = {**os.environ, "COLUMNS": "200", **options.pop("env", {})}
    done: subprocess.CompletedProcess[str] = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=LIMIT_S, env=environment, **options
    )
    return done


@pytest.fixture(scope="session")
def real_traces() -> Path:
    """Return the folder of GPU traces that others recorded; they are kept beside the project, not in it."""
    folder = Path(os.environ.get("GPUPROBE_TRACES", ROOT.parent / "shared" / "traces"))
    if not (folder / "INDEX.csv").is_file():
        pytest.skip(f"no recorded traces at {folder} (GPUPROBE_TRACES names another place)")
    return folder


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
