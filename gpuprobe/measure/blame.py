"""Finds out which of several processes failed first, where all ended: the others failed because of it.

A worker whose peer is gone or does not answer fails too within seconds. TensorFlow's messages are those of 2.21.
"""

from __future__ import annotations

import signal
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import psutil

from gpuprobe import wording
from gpuprobe.measure.event_log import EventReader
from gpuprobe.records import Outcome

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

# A worker's errors if another one is gone, hangs or has failed.
OF_A_PEER = (
    "The tasks have crashed",
    "Socket closed",
    "Connection reset by peer",
    "Connection refused",
    "failed to connect to all addresses",
    "coordination service",
    "Collective ops is aborted by",
    "heartbeat",
)


@dataclass(frozen=True)
class Seen:
    """One process seen from outside: its name, its folder, and its exit code, None while it runs."""

    name: str
    folder: Path
    pid: int
    code: int | None

    @cached_property
    def events(self) -> list[dict[str, Any]]:
        """The events that it wrote."""
        return list(EventReader(self.folder).new())

    @property
    def error(self) -> dict[str, Any] | None:
        """The error that it reported."""
        return next((event for event in self.events if event["event"] == "error"), None)

    @property
    def joined(self) -> bool:
        """Whether it has connected to all others."""
        return any(event["event"] == "joined" for event in self.events)

    @property
    def trace_missing(self) -> str:
        """Why it has no trace, empty where it told no reason."""
        traces = [event["trace"] for event in self.events if event["event"] == "trace"]
        return str(traces[-1].get("missing") or "") if traces else ""

    @property
    def is_stopped(self) -> bool:
        """Whether somebody has suspended it (SIGSTOP), so that it does not answer."""
        with suppress(psutil.Error):
            return self.code is None and psutil.Process(self.pid).status() == psutil.STATUS_STOPPED
        return False


def blame(members: Sequence[Seen]) -> Outcome:
    """Return the outcome of a run in which one of several processes has failed: that of the one that failed first."""
    for member in members:
        if member.code is not None and member.code < 0 and member.error is None:
            message = f"{member.name} was {ended_by_signal(member.code)}"
            return Outcome(state="killed", message=message, exit_code=member.code)
    failed = sorted((member for member in members if member.error), key=lambda member: (member.error or {})["t_ns"])
    by_itself = [member for member in failed if not _is_of_a_peer((member.error or {})["message"])]
    stopped = [member for member in members if member.is_stopped]
    if stopped and not by_itself:
        return Outcome(state="failed", message=f"{_all_stopped(stopped)}, and the others gave up", exit_code=1)
    if first := next(iter(by_itself or failed), None):
        error = first.error or {}
        why = error["message"] if by_itself else f"another worker is gone, or does not answer ({error['message']})"
        return Outcome(state=error["state"], message=f"{first.name}: {why}", exit_code=first.code or 1)
    early = next(member for member in members if member.code is not None)
    return Outcome(
        state="failed", message=f"{early.name} ended early; see {early.folder.name}/log.txt", exit_code=early.code or 1
    )


def ended_by_signal(code: int) -> str:
    """Return in words which signal ended a process, by its negative exit code."""
    name = signal.Signals(-code).name
    # Linux kills by SIGKILL when memory runs out, and reports it only in the kernel's log.
    hint = "; if nobody did that, the machine ran out of memory (see dmesg)" if name == "SIGKILL" else ""
    return f"ended by {name}{hint}"


def missing(members: Sequence[Seen]) -> str:
    """Return which process keeps the others waiting, empty where that is unknown."""
    if stopped := [member for member in members if member.is_stopped]:
        return _all_stopped(stopped)
    absent = [member for member in members if not member.events]
    if absent:
        return f"{wording.listing([member.name for member in absent])} never came"
    return "" if all(member.joined for member in members) else "the workers did not find each other"


def _all_stopped(stopped: Sequence[Seen]) -> str:
    verb = "is" if len(stopped) == 1 else "are"
    return f"{wording.listing([member.name for member in stopped])} {verb} stopped (SIGSTOP) and does not answer"


def _is_of_a_peer(message: str) -> bool:
    return any(words in message for words in OF_A_PEER)
