"""The gate: between two calls of its train function a run waits there for a command of the parent process.

The parent writes a `Command` into the run's folder, each with a higher number than the one before.
"""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING

from gpuprobe.errors import InputError
from gpuprobe.recording import GO_FILE
from gpuprobe.records import Record, load, save

if TYPE_CHECKING:
    from pathlib import Path

# How often a waiting run checks for a command. Until it is frozen, and again once it is thawed, its pipeline prefetches
# batches, so the time until it sees the command must be short compared with a turn. A check costs about 20 us.
POLL_EVERY_S = 0.002


class Command(Record, frozen=True, kw_only=True):
    """What a run does next: take a turn of `turn_s` seconds in the lap with this number, or end (`last`).

    The first command makes the run settle, and time its window as long as its spec says.
    """

    number: int
    lap: int = 0
    turn_s: float = 0.0
    last: bool = False


class Gate:
    """The run's side of the gate: it reads the commands."""

    def __init__(self, folder: Path) -> None:
        self._file, self._last_number = folder / GO_FILE, 0

    def wait(self) -> Command:
        """Wait for the next command, and return it."""
        while True:
            if self._file.exists():
                # The folder or the disk may be gone; the parent then reports it and kills this process.
                with suppress(InputError):
                    command = load(Command, self._file)
                    if command.number > self._last_number:
                        self._last_number = command.number
                        return command
            time.sleep(POLL_EVERY_S)


def send_command(folder: Path, command: Command) -> None:
    """Give a run its next command (the parent's side). Raises OutputError where its folder cannot be written."""
    save(command, folder / GO_FILE)
