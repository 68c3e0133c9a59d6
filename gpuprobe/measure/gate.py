"""The gate: where a run waits between two calls of its train function for a command of the parent process.

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
LOOK_EVERY_S = 0.002


class Command(Record, frozen=True, kw_only=True):
    """What a run does next: train for a turn of `turn_s` seconds in a `lap`, or, if it is the `last` command, end.

    The first command makes it time its window, as long as its spec says.
    """

    number: int
    lap: int = 0
    turn_s: float = 0.0
    last: bool = False


class Gate:
    """The run's side of the gate."""

    def __init__(self, folder: Path) -> None:
        self._file, self._passed = folder / GO_FILE, 0

    def wait(self) -> Command:
        """Wait for the next command, and return it."""
        while True:
            if self._file.exists():
                # The folder or the disk may be gone; the parent then reports it and kills this process.
                with suppress(InputError):
                    command = load(Command, self._file)
                    if command.number > self._passed:
                        self._passed = command.number
                        return command
            time.sleep(LOOK_EVERY_S)


def give(folder: Path, command: Command) -> None:
    """Give a run its next command (the parent's side). Raises OutputError where its folder cannot be written."""
    save(command, folder / GO_FILE)
