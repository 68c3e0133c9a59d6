"""Whatever damaged log or trace is named, the program ends well: `fuzz.py` says what that is."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.program import ROOT

# Of every kind that others wrote, the smallest.
RECORDED = ("tensorflow/*.xplane.pb", "jax/*.xplane.pb", "pytorch/*.json.gz", "telemetry/*.csv")


def fuzz(*words: object) -> str:
    command = [sys.executable, "-m", "tests.fuzz", *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("seed", [1, 2])
def test_damaged_files_of_every_kind_are_diagnosed_or_refused_in_one_line(seed: int) -> None:
    said = fuzz(110, seed)
    assert "exit 0" in said
    assert "exit 3" in said


def test_damaged_files_of_others_are_diagnosed_or_refused_in_one_line(real_traces: Path) -> None:
    found = [sorted(real_traces.glob(kind), key=lambda path: path.stat().st_size) for kind in RECORDED]
    assert fuzz(40, 3, *(path for paths in found for path in paths[:2]))
