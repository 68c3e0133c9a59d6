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

ENDING_SIGNALS = (signal.SIGTERM, signal.SIGHUP)
# How long to wait until the finalizer has ended.
SEND_AGAIN_AFTER_S = 0.02


class _EndedError(BaseException):
    """Unwinds the program, so that each block in progress ends its children and removes its temporary folder."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


@contextmanager
def unwinding() -> Iterator[None]:
    """Unwind a block on SIGTERM or SIGHUP, then exit by that signal; a second signal kills the process at once.

    Ignored signals, as under nohup, stay ignored.
    """
    handled_signals = [
        handled_signal for handled_signal in ENDING_SIGNALS if signal.getsignal(handled_signal) == signal.SIG_DFL
    ]

    def on_signal(handled_signal: int, _frame: object) -> None:
        restore_handlers()
        raise _EndedError(handled_signal)

    def restore_handlers() -> None:
        for handled_signal in handled_signals:
            signal.signal(handled_signal, signal.SIG_DFL)

    def install_handlers() -> None:
        for handled_signal in handled_signals:
            signal.signal(handled_signal, on_signal)

    def on_unraisable(unraisable: sys.UnraisableHookArgs) -> None:
        error = unraisable.exc_value
        if isinstance(error, _EndedError):
            install_handlers()
            _send_again(error.number)
        elif isinstance(error, KeyboardInterrupt):
            _send_again(signal.SIGINT)
        else:
            previous_hook(unraisable)

    previous_hook = sys.unraisablehook
    install_handlers()
    sys.unraisablehook = on_unraisable
    try:
        yield
    except _EndedError as ended:
        os.kill(os.getpid(), ended.number)
    finally:
        restore_handlers()
        sys.unraisablehook = previous_hook


def _send_again(ending_signal: int) -> None:
    timer = threading.Timer(SEND_AGAIN_AFTER_S, os.kill, (os.getpid(), ending_signal))
    timer.daemon = True
    timer.start()
