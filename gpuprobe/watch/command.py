"""Runs the watched command with its own stdin, stdout, stderr and exit code, and passes signals on to it."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import signal
import time
from typing import TYPE_CHECKING

from gpuprobe.errors import GpuprobeError
from gpuprobe.records import Outcome
from gpuprobe.watch.witness import Witness

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

# Signals to the watcher that are passed on to the command. SIGTSTP and SIGCONT keep their ordinary effect: Ctrl-Z stops
# the watcher together with its command, as a shell expects.
PASSED_ON = (
    signal.SIGINT,
    signal.SIGTERM,
    signal.SIGHUP,
    signal.SIGQUIT,
    signal.SIGUSR1,
    signal.SIGUSR2,
    signal.SIGALRM,
)
HELD_SIGNALS = {*PASSED_ON, signal.SIGCHLD}
# Python ignores these signals; the command gets their default action back.
IGNORED_BY_PYTHON = (signal.SIGPIPE, signal.SIGXFSZ)
NOT_FOUND, NOT_EXECUTABLE = 127, 126
SIGNAL_EXIT_BASE = 128


class NotStartedError(GpuprobeError):
    """The command could not be started; `exit_code` is what a shell would give."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


@contextlib.contextmanager
def signals_held() -> Iterator[set[signal.Signals]]:
    """Block signals, so that `Command.wait` can take them one by one; yields the previous signal mask.

    Enter it before anything starts a thread (importing numpy does): a thread that does not block them would get them
    instead, and end this process.
    """
    previous_mask = signal.pthread_sigmask(signal.SIG_BLOCK, HELD_SIGNALS)
    try:
        yield {signal.Signals(number) for number in previous_mask}
    finally:
        # A Ctrl-C that ended the command does not interrupt the watcher too.
        while signal.sigtimedwait(HELD_SIGNALS, 0):
            pass
        signal.pthread_sigmask(signal.SIG_SETMASK, previous_mask)


class Command:
    """A running command, while signals are blocked."""

    def __init__(
        self, argv: Sequence[str], signal_mask: set[signal.Signals], environment_variables: Mapping[str, str]
    ) -> None:
        """Start the command with this signal mask and these environment variables.

        Raises NotStartedError with exit code 127 where it is not found, 126 where it cannot be run, and
        KeyboardInterrupt where somebody has asked to stop before it started.
        """
        if signal.sigpending() & {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}:
            raise KeyboardInterrupt
        self._witness = Witness(PASSED_ON)
        self.started_ns = time.time_ns()
        try:
            self.pid = os.posix_spawnp(
                argv[0], list(argv), environment_variables, setsigmask=signal_mask, setsigdef=IGNORED_BY_PYTHON
            )
        except (OSError, ValueError) as error:
            self._witness.leave()
            raise _not_started(argv[0], error) from error
        self.ended_ns = 0
        self.passed_on: list[signal.Signals] = []

    def wait(self, interval_s: float, on_tick: Callable[[], None]) -> Outcome:
        """Wait for the command's end, passing signals on; return how it ended. Calls `on_tick` every `interval_s`."""
        while (status := self._status()) is None:
            received = signal.sigtimedwait(HELD_SIGNALS, interval_s)
            if received is None:
                on_tick()
            elif received.si_signo != signal.SIGCHLD and self._is_for_us_alone(received):
                self._pass_on(signal.Signals(received.si_signo))
        self._witness.leave()
        self.ended_ns = time.time_ns()
        return outcome_of(os.waitstatus_to_exitcode(status))

    def _status(self) -> int | None:
        pid, wait_status = os.waitpid(self.pid, os.WNOHANG)
        return wait_status if pid else None

    def _is_for_us_alone(self, received: signal.struct_siginfo) -> bool:
        """Return whether a signal was sent to this process only, and not to its group, with the command.

        The kernel sends Ctrl-C to the foreground group (sigaction(2): si_code is positive), and a process may send
        another to a group. When a terminal closes, it signals only the leader of the session, which may be this
        process.
        """
        received_signal = signal.Signals(received.si_signo)
        to_group = self._witness.saw(received_signal)
        return not to_group and (received.si_code <= 0 or received_signal is signal.SIGHUP)

    def _pass_on(self, received_signal: signal.Signals) -> None:
        # The command has not been waited for, so its id cannot have been reused.
        os.kill(self.pid, received_signal)
        self.passed_on.append(received_signal)


def outcome_of(exit_code: int) -> Outcome:
    """Describe an exit code (negative: a signal's number) as a shell would: 128 + n for signal n."""
    if exit_code == 0:
        return Outcome(state="done", exit_code=0)
    if exit_code > 0:
        return Outcome(state="failed", exit_code=exit_code, message=f"it ended with exit code {exit_code}")
    try:
        signal_name = signal.Signals(-exit_code).name
    except ValueError:
        signal_name = f"signal {-exit_code}"
    state = "interrupted" if -exit_code in {signal.SIGINT, signal.SIGTERM, signal.SIGHUP} else "killed"
    return Outcome(state=state, exit_code=SIGNAL_EXIT_BASE - exit_code, message=f"it was ended by {signal_name}")  # type: ignore[arg-type]


def _not_started(command_name: str, error: OSError | ValueError) -> NotStartedError:
    program = shutil.which(command_name)
    if isinstance(error, ValueError):
        return NotStartedError(f"{command_name!r}: cannot be run ({error})", NOT_EXECUTABLE)
    if error.errno == errno.ENOENT and program:
        return NotStartedError(
            f"{command_name}: cannot be run; the interpreter in its first line is missing", NOT_EXECUTABLE
        )
    if error.errno == errno.ENOENT:
        reason = "there is no such file" if "/" in command_name else "no program of that name on PATH"
        return NotStartedError(f"{command_name}: command not found; {reason}", NOT_FOUND)
    if error.errno == errno.ENOEXEC:
        reason = "it is not a program, or it is a script without a first line such as #!/bin/sh"
        return NotStartedError(f"{command_name}: cannot be run; {reason}", NOT_EXECUTABLE)

    return NotStartedError(
        f"{command_name}: cannot be run ({error.strerror}); check: ls -l {command_name}", NOT_EXECUTABLE
    )
