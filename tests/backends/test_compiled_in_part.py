"""What torch.compile gave up on, told from its own counters."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys

import pytest

from gpuprobe.backends.known import environment

# One function is compiled anew for each number, the other once.
SCRIPT = """
import keras, torch
from gpuprobe.backends.backend import current

backend = current()
print(f"[{backend.compiled_in_part()}]")
scaled = torch.compile(lambda x, by: x * by, backend="eager", dynamic=False)
shifted = torch.compile(lambda x: x + 1, backend="eager")
for times in range(3):
    shifted(torch.ones(2))
    scaled(torch.ones(2), times + 0.5)
print(f"[{backend.compiled_in_part()}]")
for times in range(3, 12):
    scaled(torch.ones(2), times + 0.5)
print(f"[{backend.compiled_in_part()}]")
"""


def test_functions_that_were_compiled_too_often_are_counted() -> None:
    if importlib.util.find_spec("torch") is None:
        pytest.skip("torch is not installed")
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        env={**os.environ, **environment("torch")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    before, few, many = done.stdout.splitlines()
    assert before == few == "[]"
    assert "gave up on 1 function, compiled too often" in many
