"""The breakdown of a job with many large traces, each read by a child process, in memory for one on each processor.

It is that which `break_down(read(path))` gives, which holds all traces at once. Every file is read twice: what a device
waited in its exchanges is known only when those of all files have been matched.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from msgspec.structs import replace

from gpuprobe.crew import Crew, Failed
from gpuprobe.errors import InputError
from gpuprobe.ledger.intervals import Intervals
from gpuprobe.ledger.joined import Met, joined
from gpuprobe.ledger.questions import Account, Look
from gpuprobe.ledger.trust import told_lost
from gpuprobe.traces.find import called_apart, find
from gpuprobe.traces.read import left_out
from gpuprobe.traces.together import UNCOMPARED, Clocked, offsets_ps

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from gpuprobe.ledger.own_exchanges import Key, Member, Own
    from gpuprobe.ledger.part import Part
    from gpuprobe.ledger.questions import Glance
    from gpuprobe.ledger.records import TraceBreakdown
    from gpuprobe.traces.timeline import Int64s

CHILD = "gpuprobe.ledger.reading"


@dataclass(frozen=True)
class _Whole:
    """A file that can be read: what was seen of it, its host's name in the job, and what to add to its times (ps)."""

    file: Path
    seen: Glance
    host: str
    offset_ps: int

    def placed(self, own: Own) -> dict[Member, dict[Key, Int64s]]:
        """Return exchanges of the file's devices under the names and on the clock of the job."""
        by = np.array([self.offset_ps, self.offset_ps, 0, 0], np.int64)
        return {
            (device, self.host): {key: columns + by for key, columns in of.items()} for (device, _), of in own.items()
        }


def break_down_apart(path: Path, size: int | None = None) -> TraceBreakdown:
    """Account for every step of all the traces at a path, side by side in at most `size` children: one a processor.

    A file that cannot be read, or whose child dies, is left out, and a warning says so. Raises InputError where there
    is none, or none can be read.
    """
    files, warnings = find(path)
    with Crew[Look | Account](CHILD, size or _processors()) as crew:
        seen, errors = _each(files, crew.ask([Look(file) for file in files], files))
        whole = _placed(seen, errors)
        met = _met(path, whole, len(files) if errors else 0, warnings, left_out(errors))
        lost: dict[str, None] = {}

        def account(waiting: Mapping[Member, Intervals]) -> list[Part]:
            told = [_told(one, waiting, told_lost(met.warnings)) for one in whole]
            parts, failed = _each([one.file for one in whole], crew.ask(told, [one.file for one in whole]))
            if not parts:
                raise InputError(failed[0])
            lost.update(dict.fromkeys(failed))
            return [part for _, part in parts]

        breakdown, _ = joined(met, account)
    return replace(breakdown, warnings=(*breakdown.warnings, *left_out(lost)))


def _processors() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _each(files: Sequence[Path], answers: Sequence[Any]) -> tuple[list[tuple[Path, Any]], list[str]]:
    """Part what was answered about files from the errors of the others."""
    pairs = list(zip(files, answers, strict=True))
    failed = [(file, got) for file, got in pairs if isinstance(got, Failed)]
    errors = [f"{file}: {got.reason}" if got.died else got.reason for file, got in failed]
    return [(file, got) for file, got in pairs if not isinstance(got, Failed)], errors


def _placed(seen: Sequence[tuple[Path, Glance]], errors: Sequence[str]) -> list[_Whole]:
    """Give each file its host's name in the job, and its place on the job's clock."""
    if not seen:
        raise InputError(errors[0])
    files = [file for file, _ in seen]
    hosts = called_apart([one.host for _, one in seen], files)
    offsets = offsets_ps([Clocked(file, one.origin_ns, one.unix) for file, one in seen])
    return [_Whole(*of, host, offset) for of, host, offset in zip(seen, hosts, offsets, strict=True)]


def _met(path: Path, whole: Sequence[_Whole], asked: int, found: Sequence[str], left: Sequence[str]) -> Met:
    """Join what was seen of the files; of `asked` some are left out, and belong to the job all the same."""
    gpus: dict[Member, dict[Key, Int64s]] = {}
    hosts: dict[Member, dict[Key, Int64s]] = {}
    for one in whole:
        gpus.update(one.placed(one.seen.gpus))
        hosts.update(one.placed(one.seen.processors))
    unix = all(one.seen.unix for one in whole)
    uncompared = [UNCOMPARED] if len(whole) > 1 and not unix else []
    warnings = [text for one in whole for text in one.seen.warnings]
    return Met(
        source=str(path),
        format=whole[0].seen.format,
        own=gpus or hosts,
        unix=unix,
        ranks=max(asked, *(one.seen.ranks for one in whole)),
        warnings=(*found, *warnings, *uncompared, *left),
    )


def _told(one: _Whole, waiting: Mapping[Member, Intervals], lost_share: float) -> Account:
    """Ask for a file's breakdown, with the waits of its devices by its own clock."""
    waits = {
        device: Intervals(time.start - one.offset_ps, time.end - one.offset_ps)
        for (device, host), time in waiting.items()
        if host == one.host
    }
    return Account(one.file, one.host, lost_share, waits)
