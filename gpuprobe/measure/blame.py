"""Finds out which of several processes that ended together failed first: the others only followed.

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
from gpuprobe.measure.events import EventReader
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
    def is_stopped(self) -> bool:
        """Whether somebody has suspended it (SIGSTOP), so that it does not answer."""
        with suppress(psutil.Error):
            return self.code is None and psutil.Process(self.pid).status() == psutil.STATUS_STOPPED
        return False


def blame(members: Sequence[Seen]) -> Outcome:
    """Return the outcome of a run in which one of several processes has failed: that of the first one."""
    for one in members:
        if one.code is not None and one.code < 0 and one.error is None:
            name = signal.Signals(-one.code).name
            # As for one process: an out-of-memory SIGKILL is only in the kernel's log.
            hint = "; if nobody did that, the machine ran out of memory (see dmesg)" if name == "SIGKILL" else ""
            return Outcome(state="killed", message=f"{one.name} was ended by {name}{hint}", exit_code=one.code)
    told = sorted((one for one in members if one.error), key=lambda one: (one.error or {})["t_ns"])
    own = [one for one in told if not _of_a_peer((one.error or {})["message"])]
    stopped = [one for one in members if one.is_stopped]
    if stopped and not own:
        return Outcome(state="failed", message=f"{_all_stopped(stopped)}, and the others gave up", exit_code=1)
    if first := next(iter(own or told), None):
        error = first.error or {}
        said = error["message"] if own else f"another worker is gone, or answers nobody ({error['message']})"
        return Outcome(state=error["state"], message=f"{first.name}: {said}", exit_code=first.code or 1)
    early = next(one for one in members if one.code is not None)
    return Outcome(
        state="failed", message=f"{early.name} ended early; see {early.folder.name}/log.txt", exit_code=early.code or 1
    )


def missing(members: Sequence[Seen]) -> str:
    """Return which process keeps the others waiting, empty where that is unknown."""
    if stopped := [one for one in members if one.is_stopped]:
        return _all_stopped(stopped)
    absent = [one for one in members if not one.events]
    if absent:
        return f"{wording.listing([one.name for one in absent])} never came"
    return "" if all(one.joined for one in members) else "the workers did not find each other"


def _all_stopped(stopped: Sequence[Seen]) -> str:
    verb = "is" if len(stopped) == 1 else "are"
    return f"{wording.listing([one.name for one in stopped])} {verb} stopped (SIGSTOP) and answers nobody"


def _of_a_peer(message: str) -> bool:
    return any(words in message for words in OF_A_PEER)
