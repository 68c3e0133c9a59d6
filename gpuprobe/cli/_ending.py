"""Ends the program when it is killed or its terminal closes, after ending what it started."""

from __future__ import annotations

import os
import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

ENDING = (signal.SIGTERM, signal.SIGHUP)


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

    for number in taken:
        signal.signal(number, end)
    try:
        yield
    except _EndedError as ended:
        os.kill(os.getpid(), ended.number)
    finally:
        give_back()
