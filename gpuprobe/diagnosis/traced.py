"""The breakdown of the traces at a path, and its replay: read at once, or by several processes where they are large."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gpuprobe.ledger.breakdown import Workings, break_down
from gpuprobe.thresholds import fixed
from gpuprobe.traces.formats import is_packed
from gpuprobe.traces.read import find, read
from gpuprobe.units import MIB
from gpuprobe.whatif.records import Replay

if TYPE_CHECKING:
    from pathlib import Path

    from gpuprobe.ledger.records import TraceBreakdown
    from gpuprobe.whatif.run_facts import Known

# A replay goes through all operations in Python; this many take about half a second.
READILY_REPLAYED = 20_000
ALL_THE_SAME = "--what-if replays it all the same"
READ_APART = f"the traces are too large to keep together, so each was read by itself; {ALL_THE_SAME}, in memory"


@dataclass(frozen=True)
class ReadApart:
    """The breakdown of large traces that were not kept in memory."""

    breakdown: TraceBreakdown


def accounted(path: Path, *, apart: bool) -> Workings | ReadApart:
    """Return the breakdown of the traces at a path, with what it was computed from unless they were read apart.

    With `apart`, the traces of a job that are large together are read by several processes. Raises InputError where
    there is no trace, or none can be read.
    """
    if apart and is_large(path):
        # Imported here, since few traces are so large.
        from gpuprobe.ledger.parallel_breakdown import break_down_in_parallel

        return ReadApart(break_down_in_parallel(path))
    return break_down(read(path))


def is_large(path: Path) -> bool:
    """Return whether there are several files at a path that together would take too much memory."""
    files = find(path).files
    size = sum(file.stat().st_size * (fixed.PACKED if is_packed(file.name) else 1.0) for file in files)
    return len(files) > 1 and size >= fixed.TRACES_APART_MIB * MIB


def replayed(traced: Workings | ReadApart, known: Known | None, wanted: bool | None) -> Replay | None:
    """Return the replay of a trace, refused with the reason where it would take long or the traces were read apart.

    `wanted` replays a long one too; False returns None.
    """
    if wanted is False:
        return None
    if isinstance(traced, ReadApart):
        return Replay(refused=READ_APART)
    work = sum(len(device.kernels) + len(device.copies) for device in traced.timeline.devices)
    if wanted is None and work > READILY_REPLAYED:
        return Replay(refused=f"the trace holds {work:,} operations, whose replay takes long; {ALL_THE_SAME}")
    # Imported here: a diagnosis without a replay need not wait for it.
    from gpuprobe.whatif.predict import predict

    return predict(traced, known)
