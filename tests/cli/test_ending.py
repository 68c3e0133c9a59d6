"""A signal that arrives while a finalizer runs ends the program all the same."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

SCRIPT = """
import os, time
from gpuprobe.cli._ending import unwinding

class Finalized:
    def __del__(self):
        os.kill(os.getpid(), {number})
        time.sleep(0)

try:
    with unwinding():
        Finalized()
        time.sleep(30)
except KeyboardInterrupt:
    print("interrupted")
finally:
    print("unwound", flush=True)
"""


@pytest.mark.parametrize(("number", "said"), [(signal.SIGINT, "interrupted\nunwound\n"), (signal.SIGTERM, "")])
def test_a_signal_that_a_finalizer_swallows_is_sent_again(number: int, said: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(number=int(number))],
        capture_output=True,
        text=True,
        check=False,
        timeout=20,
    )
    assert done.stdout == said
    assert done.returncode == (0 if said else -number)
    assert done.stderr == ""
