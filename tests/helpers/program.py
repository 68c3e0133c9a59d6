"""The real program, in a process of its own, and where the project lies."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.helpers.waiting import LIMIT_S

ROOT = Path(__file__).parents[2]
Cli = Callable[..., subprocess.CompletedProcess[str]]


def run_cli(*words: object, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run the real program in a process of its own."""
    command = [sys.executable, "-m", "gpuprobe.cli", *map(str, words)]
    environment = {**os.environ, "COLUMNS": "200", **options.pop("env", {})}
    done: subprocess.CompletedProcess[str] = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=LIMIT_S, env=environment, **options
    )
    return done
