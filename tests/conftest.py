"""What several tests need."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from gpuprobe.simulate.study import SimulatedStrategy

ROOT = Path(__file__).parent.parent
Cli = Callable[..., subprocess.CompletedProcess[str]]

# The story on a card that waits: a plain feed at 109 ms a step, of which half goes when the data lies on the device.
STORY = (
    SimulatedStrategy(name="python_feed", step_ms=109.0, busy_percent=19.0),
    SimulatedStrategy(name="numpy", step_ms=80.0, against="python_feed", busy_percent=26.0),
    SimulatedStrategy(name="tfdata_cache_prefetch", step_ms=60.0, against="numpy", busy_percent=35.0),
    SimulatedStrategy(name="device_resident", step_ms=54.5, against="tfdata_cache_prefetch", busy_percent=38.0),
    SimulatedStrategy(name="xla", step_ms=40.0, against="tfdata_cache_prefetch", busy_percent=50.0),
)


def run_cli(*words: object, **options: object) -> subprocess.CompletedProcess[str]:
    """Run the real program in a process of its own."""
    command = [sys.executable, "-m", "gpuprobe.cli", *map(str, words)]
    environment = {**os.environ, "COLUMNS": "200", **dict(options.pop("env", {}))}  # type: ignore[call-overload]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=400, env=environment, **options)  # type: ignore[call-overload]


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
