"""Tells one-time work from work that comes again.

One-time work is: a launch call that takes as long as loading a kernel's code; compiling, loading code and autotuning in
the first traced step alone; loading and autotuning in one later step that compiles nothing; an event that holds the
host in one step and occurs in most others without doing so; and an operation that takes long before it starts its
kernel, which must first be chosen, loaded or compiled.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from gpuprobe.ledger.holders import starts_kernel, time_of
from gpuprobe.ledger.intervals import Intervals, covered
from gpuprobe.ledger.names import Kind
from gpuprobe.thresholds import fixed
from gpuprobe.traces.timeline import UNKNOWN
from gpuprobe.units import PS_PER_MS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gpuprobe.ledger.holders import Holder
    from gpuprobe.ledger.host import TracedHost
    from gpuprobe.ledger.launch_pace import LaunchCalls
    from gpuprobe.ledger.steps import Windows

NOTICED_PS = int(fixed.COMPILING_MS * PS_PER_MS)
LOADING_PS = int(fixed.LOADING_MS * PS_PER_MS)


@dataclass(frozen=True)
class OneTimeWork:
    """When the host did one-time work; `proven` is the part of it for which a single step is proof."""

    time: Intervals
    proven: Intervals


def compiled_once(host: TracedHost, windows: Windows) -> OneTimeWork:
    """Return the compiling, loading and autotuning that does not come again in the traced steps.

    What is compiled for a new shape in a later step is compiled for the next one too, with its loading and autotuning.
    Without a compiler these come once for each kernel. Several steps that go on without any prove it.
    """
    once = host.compiling
    if _steps_with(once, windows) != [0]:
        once = host.select(Kind.ONCE)
        steps = _steps_with(once, windows)
        if len(steps) != 1 or steps[0] in _steps_with(host.compilers, windows):
            once = Intervals()
    proven = len(windows) >= fixed.STEPS_WITH_EXCEPTION and _steps_with(once, windows) == [0]
    return OneTimeWork(once, once if proven else Intervals())


def held_once(stretches: Sequence[Holder], host: TracedHost, calls: LaunchCalls, windows: Windows) -> OneTimeWork:
    """Return the stretches in which an event held the host that holds it in no other traced step."""
    same_name = _by_name(stretches)
    sure, likely = [], []
    for holder in stretches:
        if holder.name == UNKNOWN or _comes_again(holder, same_name[holder.name], windows):
            continue
        if _loads_code(holder, calls) or _elsewhere_short(holder, host, windows, first=True):
            sure.append(holder)
        elif (
            starts_kernel(holder, calls)
            or _elsewhere_short(holder, host, windows, first=False)
            or _ends_in_a_kernel(holder, calls)
        ):
            likely.append(holder)
    return OneTimeWork(time_of([*sure, *likely]), time_of(sure))


def _steps_with(time: Intervals, windows: Windows) -> list[int]:
    """Return the indices of the steps that hold more than a trace of that time."""
    reached: list[int] = np.flatnonzero(covered(time, windows.start_ps, windows.end_ps) >= NOTICED_PS).tolist()
    return reached


def _by_name(stretches: Sequence[Holder]) -> dict[int, list[Holder]]:
    by_name: dict[int, list[Holder]] = {}
    for holder in stretches:
        by_name.setdefault(holder.name, []).append(holder)
    return by_name


def _comes_again(holder: Holder, same_name: Sequence[Holder], windows: Windows) -> bool:
    """Whether the event holds the host in another step too, for a time that is not short compared with this one."""
    least_ps = fixed.SHORT_ELSEWHERE * holder.own_ps
    middles = np.array([other.middle_ps for other in same_name if other.own_ps >= least_ps])
    return len(set(np.searchsorted(windows.start_ps, middles, side="right").tolist())) > 1


def _loads_code(holder: Holder, calls: LaunchCalls) -> bool:
    return starts_kernel(holder, calls) and holder.end_ps - holder.start_ps >= LOADING_PS


def _elsewhere_short(holder: Holder, host: TracedHost, windows: Windows, *, first: bool) -> bool:
    """Whether the event that holds the host in this step occurs in most other steps without holding it there.

    In the `first` step of the trace that is proof; in a later one something else may have delayed it.
    """
    if len(windows) < fixed.STEPS_WITH_EXCEPTION or not (first or holder.told):
        return False
    step = int(np.searchsorted(windows.start_ps, holder.middle_ps, side="right")) - 1
    starts = [thread.events.start_ps[thread.events.name == holder.name] for thread in host.threads]
    steps = np.searchsorted(windows.start_ps, np.concatenate(starts), side="right") - 1
    others = len(set(steps.tolist()) - {step})
    return 2 * others >= len(windows) - 1 and (step <= 0) == first


def _ends_in_a_kernel(holder: Holder, calls: LaunchCalls) -> bool:
    """Whether the event that holds the host ends in the start of a kernel: then it prepared that kernel.

    A Python frame, or an event that encloses many launches, may have done anything else.
    """
    if not holder.told or holder.kind & Kind.PYTHON or holder.until_ps <= holder.end_ps:
        return False
    following = np.searchsorted(calls.start_ps, holder.end_ps)
    same = following < len(calls.start_ps) and calls.thread[following] == holder.thread
    return bool(same and calls.kernels[following])
