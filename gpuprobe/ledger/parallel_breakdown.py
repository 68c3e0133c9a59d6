"""The breakdown of a job with many large traces, each read by a child process, one trace per processor at a time.

The result is that of `break_down(read(path))`, which would hold all traces in memory at once. The children are asked
twice about every file: how long a device waited in its exchanges is known only once those of all files have been
matched. Between the requests the decoded traces lie in temporary files.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from msgspec.structs import replace

from gpuprobe.errors import InputError
from gpuprobe.ledger.intervals import Intervals
from gpuprobe.ledger.job_breakdown import JobTraces, job_breakdown
from gpuprobe.ledger.reader_messages import AskBreakdown, AskExchanges
from gpuprobe.ledger.trust import told_lost
from gpuprobe.process_pool import Failed, ProcessPool
from gpuprobe.scratch import scratch
from gpuprobe.traces.find import called_apart, find
from gpuprobe.traces.read import left_out
from gpuprobe.traces.together import UNCOMPARED, Clocked, offsets_ps

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from gpuprobe.ledger.own_exchanges import DeviceExchanges, Key, Member
    from gpuprobe.ledger.reader_messages import TraceOverview
    from gpuprobe.ledger.records import TraceBreakdown
    from gpuprobe.ledger.timeline_breakdown import TimelineBreakdown
    from gpuprobe.traces.find import Found
    from gpuprobe.traces.timeline import Int64s

CHILD = "gpuprobe.ledger.reader_child"


@dataclass(frozen=True)
class _Readable:
    """A file that can be read: its first answer, its host's name in the job, and what to add to its times (ps).

    `decoded` is where its columns lie meanwhile.
    """

    file: Path
    decoded: Path
    seen: TraceOverview
    host: str
    offset_ps: int

    def placed(self, by_device: DeviceExchanges) -> dict[Member, dict[Key, Int64s]]:
        """Return exchanges of the file's devices with the job's names and on the job's clock."""
        by = np.array([self.offset_ps, self.offset_ps, 0, 0], np.int64)
        return {
            (device, self.host): {key: columns + by for key, columns in by_key.items()}
            for (device, _), by_key in by_device.items()
        }


def break_down_in_parallel(path: Path, size: int | None = None) -> TraceBreakdown:
    """Return the breakdown of all traces at a path, read by at most `size` children at once (default: one a processor).

    A file that cannot be read, or whose child dies, is left out, and a warning says so. Raises InputError where there
    is no trace, or none can be read, and OutputError where no temporary folder can be made.
    """
    found = find(path)
    with scratch() as folder, ProcessPool[AskExchanges | AskBreakdown](CHILD, size or _processors()) as pool:
        decoded = {file: folder / str(place) for place, file in enumerate(found.files)}
        seen, errors = _each(found.files, pool.run([AskExchanges(*of) for of in decoded.items()], found.files))
        readable = _placed(seen, decoded, errors)
        job = _job_of(path, found, readable, errors)
        lost: dict[str, None] = {}

        def account(waiting: Mapping[Member, Intervals]) -> list[TimelineBreakdown]:
            requests = [_breakdown_request(trace, waiting, told_lost(job.warnings)) for trace in readable]
            parts, failed = _each(
                [trace.file for trace in readable], pool.run(requests, [trace.file for trace in readable])
            )
            if not parts:
                raise InputError(failed[0])
            lost.update(dict.fromkeys(failed))
            return [part for _, part in parts]

        breakdown, _ = job_breakdown(job, account)
    return replace(breakdown, warnings=(*breakdown.warnings, *left_out(lost)))


def _processors() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _each(files: Sequence[Path], answers: Sequence[Any]) -> tuple[list[tuple[Path, Any]], list[str]]:
    """Return the answers about the files, and the errors of the files without one."""
    pairs = list(zip(files, answers, strict=True))
    failed = [(file, got) for file, got in pairs if isinstance(got, Failed)]
    errors = [f"{file}: {got.reason}" if got.died else got.reason for file, got in failed]
    return [(file, got) for file, got in pairs if not isinstance(got, Failed)], errors


def _placed(
    seen: Sequence[tuple[Path, TraceOverview]], decoded: Mapping[Path, Path], errors: Sequence[str]
) -> list[_Readable]:
    """Give each file its host's name in the job, and its offset on the job's clock."""
    if not seen:
        raise InputError(errors[0])
    files = [file for file, _ in seen]
    hosts = called_apart([overview.host for _, overview in seen], files)
    offsets = offsets_ps([Clocked(file, overview.origin_ns, overview.unix) for file, overview in seen])
    return [
        _Readable(file, decoded[file], overview, host, offset)
        for (file, overview), host, offset in zip(seen, hosts, offsets, strict=True)
    ]


def _job_of(path: Path, found: Found, readable: Sequence[_Readable], errors: Sequence[str]) -> JobTraces:
    """Join the first answers of the files; those that were left out still belong to the job."""
    gpus: dict[Member, dict[Key, Int64s]] = {}
    hosts: dict[Member, dict[Key, Int64s]] = {}
    for trace in readable:
        gpus.update(trace.placed(trace.seen.gpus))
        hosts.update(trace.placed(trace.seen.processors))
    unix = all(trace.seen.unix for trace in readable)
    uncompared = [UNCOMPARED] if len(readable) > 1 and not unix else []
    ranks = max(trace.seen.ranks for trace in readable) or found.ranks
    warnings = [text for trace in readable for text in trace.seen.warnings]
    return JobTraces(
        source=str(path),
        format=readable[0].seen.format,
        exchanges=gpus or hosts,
        unix=unix,
        ranks=max(ranks, len(found.files) if errors else 0),
        warnings=(*found.warnings, *warnings, *uncompared, *left_out(errors)),
    )


def _breakdown_request(trace: _Readable, waiting: Mapping[Member, Intervals], lost_share: float) -> AskBreakdown:
    """Return the request for a file's breakdown, with the waits of its devices on its own clock."""
    waits = {
        device: Intervals(time.start - trace.offset_ps, time.end - trace.offset_ps)
        for (device, host), time in waiting.items()
        if host == trace.host
    }
    return AskBreakdown(trace.file, trace.decoded, trace.host, lost_share, waits)
