"""Finds out whether a signal was sent to the whole process group or only to the watcher."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection

# The line with a process's pending signals, in hexadecimal. Source: proc(5), /proc/pid/status.
PENDING = re.compile(r"^ShdPnd:\s*([0-9a-f]+)$", re.MULTILINE)
WAITS = (sys.executable, "-I", "-S", "-c", "import sys; sys.stdin.read()")


class Witness:
    """A process of the watcher's group that blocks signals: a signal pending there was sent to the command as well.

    The kernel signals the youngest members of a group first, so the witness has a signal before the watcher. It ends
    with the watcher, because it waits for the end of a pipe.
    """

    def __init__(self, held: Collection[signal.Signals]) -> None:
        self._held = held
        self._pid: int | None = None
        self._pipe: int | None = None
        self._place()

    def saw(self, number: signal.Signals) -> bool:
        """Whether the witness got this signal too, False if unknown; it is then replaced, to detect the next one."""
        if self._pid is None:
            return False
        try:
            with open(f"/proc/{self._pid}/status") as file:  # noqa: PTH123 - lighter than a Path
                match = PENDING.search(file.read())
        except OSError:
            return False
        if match is None or not int(match[1], 16) >> (number - 1) & 1:
            return False
        self.leave()
        self._place()
        return True

    def leave(self) -> None:
        """End the witness."""
        if self._pid is not None:
            with contextlib.suppress(OSError):
                os.kill(self._pid, signal.SIGKILL)
                os.waitpid(self._pid, 0)
        if self._pipe is not None:
            os.close(self._pipe)
        self._pid = self._pipe = None

    def _place(self) -> None:
        """Start the witness; without one, signals to the group are passed on to the command a second time."""
        words = ("cat",) if shutil.which("cat") else WAITS
        reading, self._pipe = os.pipe()
        away = os.open(os.devnull, os.O_WRONLY)
        files = [(os.POSIX_SPAWN_DUP2, reading, 0), *((os.POSIX_SPAWN_DUP2, away, number) for number in (1, 2))]
        try:
            self._pid = os.posix_spawnp(words[0], words, os.environ, file_actions=files, setsigmask=self._held)
        except OSError:
            self._pid = None
        finally:
            os.close(reading)
            os.close(away)
