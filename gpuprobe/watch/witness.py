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
PENDING_SIGNALS = re.compile(r"^ShdPnd:\s*([0-9a-f]+)$", re.MULTILINE)
WAIT_COMMAND = (sys.executable, "-I", "-S", "-c", "import sys; sys.stdin.read()")


class Witness:
    """A process of the watcher's group that blocks signals. A signal that is pending in it was sent to the whole group.

    The kernel signals the youngest members of a group first, so the witness gets a signal before the watcher does. It
    reads a pipe from the watcher, and so ends with the watcher.
    """

    def __init__(self, held: Collection[signal.Signals]) -> None:
        self._held = held
        self._pid: int | None = None
        self._pipe: int | None = None
        self._place()

    def saw(self, sent_signal: signal.Signals) -> bool:
        """Whether the witness got this signal too; False if unknown. If it did, a new witness replaces it."""
        if self._pid is None:
            return False
        try:
            with open(f"/proc/{self._pid}/status") as file:  # noqa: PTH123 - lighter than a Path
                pending_line = PENDING_SIGNALS.search(file.read())
        except OSError:
            return False
        if pending_line is None or not int(pending_line[1], 16) >> (sent_signal - 1) & 1:
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
        """Start the witness. Without one, the command gets each signal to the group twice."""
        witness_command = ("cat",) if shutil.which("cat") else WAIT_COMMAND
        read_end, self._pipe = os.pipe()
        devnull = os.open(os.devnull, os.O_WRONLY)
        file_actions = [
            (os.POSIX_SPAWN_DUP2, read_end, 0),
            *((os.POSIX_SPAWN_DUP2, devnull, descriptor) for descriptor in (1, 2)),
        ]
        try:
            self._pid = os.posix_spawnp(
                witness_command[0], witness_command, os.environ, file_actions=file_actions, setsigmask=self._held
            )
        except OSError:
            self._pid = None
        finally:
            os.close(read_end)
            os.close(devnull)
