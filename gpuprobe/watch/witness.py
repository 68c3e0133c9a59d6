"""Tells a signal that was sent to the whole process group from one that was sent to the watcher alone."""

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

# What a process has pending as a whole, in hexadecimal. Source: proc(5), /proc/pid/status.
PENDING = re.compile(r"^ShdPnd:\s*([0-9a-f]+)$", re.MULTILINE)
WAITS = (sys.executable, "-I", "-S", "-c", "import sys; sys.stdin.read()")


class Witness:
    """A process of our group that holds signals back: what is pending there, the watched command has had as well.

    The kernel hands a signal to the youngest members of a group first, so that the witness has it before we do. It
    ends with us, because it waits for the end of a pipe of ours.
    """

    def __init__(self, held: Collection[signal.Signals]) -> None:
        self._held = held
        self._pid: int | None = None
        self._pipe: int | None = None
        self._place()

    def saw(self, number: signal.Signals) -> bool:
        """Whether the witness had that signal too; it is then replaced, to see the next one. False where unknown."""
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
        """Start it; without one, signals to a group are passed on to a command that has had them."""
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
