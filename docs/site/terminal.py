"""Record `gpuprobe demo` in a terminal as a picture: `python docs/site/terminal.py > docs/demo-terminal.svg`."""

from __future__ import annotations

import os
import pty
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from subprocess import Popen

from rich.console import Console
from rich.text import Text

COLUMNS = 100


def recorded() -> str:
    """Return what the demo writes to a terminal, with its colours."""
    ours, its = pty.openpty()
    environment = {**os.environ, "COLUMNS": str(COLUMNS), "TERM": "xterm-256color"}
    command = [sys.executable, "-m", "gpuprobe.cli", "demo"]
    with tempfile.TemporaryDirectory() as folder, Popen(command, stdout=its, cwd=folder, env=environment) as demo:
        os.close(its)
        said = bytearray()
        # The end of the program closes its side, which reads as an error on ours.
        with suppress(OSError):
            while data := os.read(ours, 4096):
                said += data
    os.close(ours)
    if demo.returncode:
        sys.exit(f"gpuprobe demo ended with {demo.returncode}")
    return said.decode().replace("\r\n", "\n")


def drawn(said: str) -> str:
    """Return the picture of a terminal that shows the command and what it said."""
    with Path(os.devnull).open("w") as nowhere:
        console = Console(record=True, width=COLUMNS, file=nowhere, force_terminal=True, legacy_windows=False)
        console.print(Text("$ gpuprobe demo", style="bold"))
        console.print(Text.from_ansi(said), soft_wrap=True)
        return console.export_svg(title="gpuprobe demo (SIMULATED)")


if __name__ == "__main__":
    sys.stdout.write(drawn(recorded()))
