"""Finds which process of a run of several failed first: the others fail because of it.

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

# Parts of the errors that a worker raises if another one is gone, hangs or has failed.
ERRORS_OF_A_PEER = (
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
class WorkerStatus:
    """One process of a run as its parent sees it; `code` is its exit code, None while it runs."""

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
    def has_joined(self) -> bool:
        """Whether it has connected to all others."""
        return any(event["event"] == "joined" for event in self.events)

    @property
    def trace_missing(self) -> str:
        """Why it has no trace, empty where it reported no reason."""
        trace_events = [event["trace"] for event in self.events if event["event"] == "trace"]
        return str(trace_events[-1].get("missing") or "") if trace_events else ""

    @property
    def is_stopped(self) -> bool:
        """Whether somebody has suspended it (SIGSTOP), so that it does not answer."""
        with suppress(psutil.Error):
            return self.code is None and psutil.Process(self.pid).status() == psutil.STATUS_STOPPED
        return False


def first_failure(workers: Sequence[WorkerStatus]) -> Outcome:
    """Return the outcome of a run in which one of several processes has failed: that of the one that failed first."""
    for worker in workers:
        if worker.code is not None and worker.code < 0 and worker.error is None:
            message = f"{worker.name} was {ended_by_signal(worker.code)}"
            return Outcome(state="killed", message=message, exit_code=worker.code)
    failed_workers = sorted(
        (worker for worker in workers if worker.error), key=lambda worker: (worker.error or {})["t_ns"]
    )
    own_failures = [worker for worker in failed_workers if not _is_error_of_a_peer((worker.error or {})["message"])]
    stopped_workers = [worker for worker in workers if worker.is_stopped]
    if stopped_workers and not own_failures:
        return Outcome(state="failed", message=f"{_all_stopped(stopped_workers)}, and the others gave up", exit_code=1)
    if first_failed := next(iter(own_failures or failed_workers), None):
        error_event = first_failed.error or {}
        why = error_event["message"]
        if not own_failures:
            why = f"another worker is gone, or does not answer ({why})"
        return Outcome(
            state=error_event["state"], message=f"{first_failed.name}: {why}", exit_code=first_failed.code or 1
        )
    ended_early = next(worker for worker in workers if worker.code is not None)
    return Outcome(
        state="failed",
        message=f"{ended_early.name} ended early; see {ended_early.folder.name}/log.txt",
        exit_code=ended_early.code or 1,
    )


def ended_by_signal(code: int) -> str:
    """Return in words which signal ended a process, by its negative exit code."""
    name = signal.Signals(-code).name
    # Linux kills by SIGKILL when memory runs out, and reports it only in the kernel's log.
    hint = "; if nobody did that, the machine ran out of memory (see dmesg)" if name == "SIGKILL" else ""
    return f"ended by {name}{hint}"


def awaited_worker(workers: Sequence[WorkerStatus]) -> str:
    """Return in words which process the others wait for, empty where that is unknown."""
    if stopped_workers := [worker for worker in workers if worker.is_stopped]:
        return _all_stopped(stopped_workers)
    silent_workers = [worker for worker in workers if not worker.events]
    if silent_workers:
        return f"{wording.listing([worker.name for worker in silent_workers])} did not start"
    return "" if all(worker.has_joined for worker in workers) else "the workers did not find each other"


def _all_stopped(stopped_workers: Sequence[WorkerStatus]) -> str:
    verb = "is" if len(stopped_workers) == 1 else "are"
    return (
        f"{wording.listing([worker.name for worker in stopped_workers])} {verb} stopped (SIGSTOP) and does not answer"
    )


def _is_error_of_a_peer(message: str) -> bool:
    return any(words in message for words in ERRORS_OF_A_PEER)
