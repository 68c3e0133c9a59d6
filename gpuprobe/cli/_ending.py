"""Ends the program when it is killed or its terminal closes, after ending what it started.

A signal's exception may be raised within a finalizer, where Python only prints it. Then the signal is sent again.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

ENDING = (signal.SIGTERM, signal.SIGHUP)
# By then the finalizer has ended.
AGAIN_S = 0.02


class _EndedError(BaseException):
    """Unwinds the program, so that each block in progress ends its children and removes its temporary folder."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


@contextmanager
def unwinding() -> Iterator[None]:
    """Unwind a block on such a signal, then exit by that signal; a second one kills the process at once.

    Ignored signals, as under nohup, stay ignored.
    """
    taken = [number for number in ENDING if signal.getsignal(number) == signal.SIG_DFL]

    def end(number: int, _frame: object) -> None:
        give_back()
        raise _EndedError(number)

    def give_back() -> None:
        for number in taken:
            signal.signal(number, signal.SIG_DFL)

    def take() -> None:
        for number in taken:
            signal.signal(number, end)

    def swallowed(unraisable: sys.UnraisableHookArgs) -> None:
        error = unraisable.exc_value
        if isinstance(error, _EndedError):
            take()
            _send_again(error.number)
        elif isinstance(error, KeyboardInterrupt):
            _send_again(signal.SIGINT)
        else:
            told_before(unraisable)

    told_before = sys.unraisablehook
    take()
    sys.unraisablehook = swallowed
    try:
        yield
    except _EndedError as ended:
        os.kill(os.getpid(), ended.number)
    finally:
        give_back()
        sys.unraisablehook = told_before


def _send_again(number: int) -> None:
    timer = threading.Timer(AGAIN_S, os.kill, (os.getpid(), number))
    timer.daemon = True
    timer.start()
