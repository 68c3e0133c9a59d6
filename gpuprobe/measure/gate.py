"""Where a run waits between two calls of its train function, until its parent says what comes next.

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

# Until it is frozen, and after it was thawed, a run's pipeline makes batches ahead: all of that must be short beside a
# turn. The look costs about 20 us.
LOOK_EVERY_S = 0.002


class Command(Record, frozen=True, kw_only=True):
    """What a run does when it leaves its gate: time a turn of `turn_s` seconds in a `lap`, or end as the `last` one.

    The first command lets it time its window, as long as its specification says.
    """

    number: int
    lap: int = 0
    turn_s: float = 0.0
    last: bool = False


class Gate:
    """The run's side of it."""

    def __init__(self, folder: Path) -> None:
        self._file, self._passed = folder / GO_FILE, 0

    def wait(self) -> Command:
        """Return the next command, whenever it comes."""
        while True:
            if self._file.exists():
                # Its folder may be gone, or its disk; then the parent says so, and ends this process.
                with suppress(InputError):
                    command = load(Command, self._file)
                    if command.number > self._passed:
                        self._passed = command.number
                        return command
            time.sleep(LOOK_EVERY_S)


def give(folder: Path, command: Command) -> None:
    """The parent's side. Raises OutputError where the folder cannot be written."""
    save(command, folder / GO_FILE)
