"""Tells work that is done once from work that comes again: by where it lies and what it ends in.

Names know it (loading code, autotuning); so does a call to start a kernel that takes as long as loading its code; a
compiler in the first traced step; what holds the host in one of several steps, in all of which it occurs; and an
operation that is long before it starts its kernel, which has yet to be chosen, loaded or made.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from gpuprobe.ledger.holders import time_of
from gpuprobe.ledger.intervals import Intervals, covered, join
from gpuprobe.ledger.names import Kind
from gpuprobe.thresholds import fixed
from gpuprobe.traces.timeline import UNKNOWN
from gpuprobe.units import PS_PER_MS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gpuprobe.ledger.holders import Holder
    from gpuprobe.ledger.host import TracedHost
    from gpuprobe.ledger.pace import LaunchCalls
    from gpuprobe.ledger.steps import Windows

NOTICED_PS = int(fixed.COMPILING_MS * PS_PER_MS)
LOADING_PS = int(fixed.LOADING_MS * PS_PER_MS)


@dataclass(frozen=True)
class Once:
    """When the host did work that is done once; `proven` is the part of which one step is enough to say so."""

    time: Intervals
    proven: Intervals


def compiled_once(host: TracedHost, windows: Windows) -> Once:
    """Return the compiling and loading that does not come again in the traced steps.

    A compiler in a later step than the first is one that is asked again; loading and autotuning tell by their names.
    """
    named = host.select(Kind.ONCE)
    named = named if len(_steps_with(named, windows)) == 1 else Intervals()
    compiling = host.compiling
    first = compiling if _steps_with(compiling, windows) == [0] else Intervals()
    return Once(join([named, first]), join([named, *([first] if len(windows) >= fixed.STEPS_WITH_EXCEPTION else [])]))


def held_once(found: Sequence[Holder], host: TracedHost, calls: LaunchCalls, windows: Windows) -> Once:
    """Return the stretches in which something held the host that does not come again in the traced steps."""
    alike = _by_name(found)
    sure, likely = [], []
    for holder in found:
        if holder.name == UNKNOWN or _comes_again(holder, alike[holder.name], windows):
            continue
        if _loads(holder, calls) or _elsewhere_short(holder, host, windows, first=True):
            sure.append(holder)
        elif (
            _starts_kernel(holder, calls)
            or _elsewhere_short(holder, host, windows, first=False)
            or _ends_in_a_kernel(holder, calls)
        ):
            likely.append(holder)
    return Once(time_of([*sure, *likely]), time_of(sure))


def _steps_with(time: Intervals, windows: Windows) -> list[int]:
    reached: list[int] = np.flatnonzero(covered(time, windows.start_ps, windows.end_ps) >= NOTICED_PS).tolist()
    return reached


def _by_name(found: Sequence[Holder]) -> dict[int, list[Holder]]:
    names: dict[int, list[Holder]] = {}
    for holder in found:
        names.setdefault(holder.name, []).append(holder)
    return names


def _comes_again(holder: Holder, alike: Sequence[Holder], windows: Windows) -> bool:
    """Whether the event holds the host in another step too, and not for next to nothing compared with this time."""
    least = fixed.SHORT_ELSEWHERE * holder.own_ps
    middles = np.array([one.middle_ps for one in alike if one.own_ps >= least])
    return len(set(np.searchsorted(windows.start_ps, middles, side="right").tolist())) > 1


def _starts_kernel(holder: Holder, calls: LaunchCalls) -> bool:
    """Whether the stretch lies in a call that starts a kernel: elsewhere such a call is as short as the pace."""
    if not holder.in_call:
        return False
    place = int(np.searchsorted(calls.start_ps, holder.start_ps, side="right")) - 1
    return place >= 0 and bool(calls.kernels[place])


def _loads(holder: Holder, calls: LaunchCalls) -> bool:
    return _starts_kernel(holder, calls) and holder.end_ps - holder.start_ps >= LOADING_PS


def _elsewhere_short(holder: Holder, host: TracedHost, windows: Windows, *, first: bool) -> bool:
    """Whether what holds the host in this step occurs in most others too, and does not hold it there.

    In the `first` step of the trace that is proof; in a later one something may have held it up.
    """
    if len(windows) < fixed.STEPS_WITH_EXCEPTION or not (first or holder.told):
        return False
    step = int(np.searchsorted(windows.start_ps, holder.middle_ps, side="right")) - 1
    starts = [thread.events.start_ps[thread.events.name == holder.name] for thread in host.threads]
    steps = np.searchsorted(windows.start_ps, np.concatenate(starts), side="right") - 1
    others = len(set(steps.tolist()) - {step})
    return 2 * others >= len(windows) - 1 and (step <= 0) == first


def _ends_in_a_kernel(holder: Holder, calls: LaunchCalls) -> bool:
    """Whether what holds the host goes on to start a kernel: no work of the processor, but the way to that kernel.

    Frames of Python and what encloses many launches may be anything else.
    """
    if not holder.told or holder.kind & Kind.PYTHON or holder.until_ps <= holder.end_ps:
        return False
    following = np.searchsorted(calls.start_ps, holder.end_ps)
    same = following < len(calls.start_ps) and calls.thread[following] == holder.thread
    return bool(same and calls.kernels[following])
