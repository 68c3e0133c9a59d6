"""The child that reads the traces of a job and accounts for them, as asked by `ledger.parallel_breakdown`.

A trace is decoded once. The child holds the last one, and the columns of the others lie in files: loading them takes a
tenth of decoding them again. Only exchanges and breakdowns, which are small, are sent back.
"""

from __future__ import annotations

import gc
import pickle
from contextlib import suppress
from typing import TYPE_CHECKING

from gpuprobe.ledger.device_breakdown import PreparedTrace
from gpuprobe.ledger.own_exchanges import of_gpus, of_processors
from gpuprobe.ledger.reader_messages import AskBreakdown, AskExchanges, TraceOverview
from gpuprobe.ledger.timeline_breakdown import timeline_breakdown
from gpuprobe.process_pool import serve
from gpuprobe.traces.names import Names
from gpuprobe.traces.read import read_file
from gpuprobe.traces.together import host_of, renamed

if TYPE_CHECKING:
    from pathlib import Path

    from gpuprobe.ledger.timeline_breakdown import TimelineBreakdown
    from gpuprobe.traces.timeline import Timeline


class Reader:
    """Reads traces one after the other, and keeps the last in memory."""

    def __init__(self) -> None:
        self._asked: AskExchanges | AskBreakdown | None = None
        self._timeline: Timeline | None = None

    def answer(self, request: AskExchanges | AskBreakdown) -> TraceOverview | TimelineBreakdown:
        """Answer a request about a trace. Raises InputError where it cannot be read."""
        timeline = self._read(request)
        if isinstance(request, AskExchanges):
            return _overview(timeline, request.file)
        traced = PreparedTrace(renamed(timeline, request.host))
        waiting = {(device, request.host): time for device, time in request.waiting.items()}
        return timeline_breakdown(traced, traced.account(waiting, request.lost_share))

    def _read(self, request: AskExchanges | AskBreakdown) -> Timeline:
        if self._timeline is None or self._asked is None or self._asked.file != request.file:
            if self._timeline is not None and self._asked is not None:
                _keep(self._timeline, self._asked.decoded)
            # Freed before the next is read, so that memory holds one at a time.
            self._timeline = None
            gc.collect()
            self._timeline = _kept(request.decoded) or read_file(request.file, Names())
            self._asked = request
        return self._timeline


def _keep(timeline: Timeline, decoded: Path) -> None:
    """Write a trace's columns to a file, unless it is there; where the disk is full, the trace is read again."""
    if decoded.exists():
        return
    # Under its own name only once it is whole: a child may be killed while it writes.
    part = decoded.with_suffix(".part")
    try:
        with part.open("wb") as stream:
            pickle.dump(timeline, stream, protocol=pickle.HIGHEST_PROTOCOL)
        part.rename(decoded)
    except OSError:
        with suppress(OSError):
            part.unlink()


def _kept(decoded: Path) -> Timeline | None:
    try:
        with decoded.open("rb") as stream:
            timeline: Timeline = pickle.load(stream)  # noqa: S301
            return timeline
    except OSError:
        return None


def _overview(timeline: Timeline, file: Path) -> TraceOverview:
    hosts = PreparedTrace(timeline).hosts
    gpus = of_gpus(timeline, hosts)
    return TraceOverview(
        host=host_of(timeline, file),
        format=timeline.format,
        origin_ns=timeline.origin_ns,
        unix=timeline.unix,
        ranks=timeline.ranks,
        warnings=timeline.warnings,
        gpus=gpus,
        processors={} if gpus else of_processors(hosts),
    )


if __name__ == "__main__":
    # As in `gpuprobe diagnose`: there is hardly a cycle to collect, and looking for cycles takes time.
    gc.disable()
    # What is imported stays: `gc.collect` then takes 2 ms a trace instead of 25.
    gc.freeze()
    serve(Reader().answer)
