"""The child that reads one trace of a job and accounts for it, for `ledger.parallel_breakdown`.

The trace stays in the child; only its exchanges and breakdowns, which are small, are sent back.
"""

from __future__ import annotations

import gc
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
    """Reads traces one after the other, and keeps the last, which is often asked about twice."""

    def __init__(self) -> None:
        self._file: Path | None = None
        self._timeline: Timeline | None = None

    def answer(self, request: AskExchanges | AskBreakdown) -> TraceOverview | TimelineBreakdown:
        """Answer a request for a trace. Raises InputError where it cannot be read."""
        timeline = self._read(request.file)
        if isinstance(request, AskExchanges):
            return _overview(timeline, request.file)
        traced = PreparedTrace(renamed(timeline, request.host))
        waiting = {(device, request.host): time for device, time in request.waiting.items()}
        return timeline_breakdown(traced, traced.account(waiting, request.lost_share))

    def _read(self, file: Path) -> Timeline:
        if self._timeline is None or self._file != file:
            # Freed before the next is read, so that memory holds one at a time.
            self._timeline = None
            gc.collect()
            self._file, self._timeline = file, read_file(file, Names())
        return self._timeline


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
    serve(Reader().answer)
