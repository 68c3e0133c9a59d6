"""What shows that a trace of one step may hold only a part of it.

Of several steps each but the last ends where the next begins. A single one is known to be whole only where something
marks its ends, where all that ran in it was launched in it, and where all that was launched in it ran.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gpuprobe.ledger.launches import NO_LAUNCH
from gpuprobe.thresholds import fixed
from gpuprobe.traces.timeline import UNKNOWN

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gpuprobe.ledger.gpu import GpuTime
    from gpuprobe.ledger.host import TracedHost
    from gpuprobe.traces.timeline import Device, Spans

LAUNCHED_BEFORE = "the device begins with work that was launched before the trace began"
LEFT_OVER = "the trace ends before work that was launched in its only step has run"
GOES_ON = "the profiler marks a step that begins before the trace or goes on after it"
AT_THE_BORDER = "several events begin or end at the very border of the trace, as where a longer one was cut"
UNMARKED = "the trace holds one step, and nothing marks where that ends"


def cut(time: GpuTime, host: TracedHost) -> str:
    """Say what shows that the only step of a device may not be whole; empty where nothing does, or of several steps."""
    windows, work = time.windows, time.work
    if len(windows) > 1:
        return ""
    launched = work.launch_ps[work.launch_ps != NO_LAUNCH]
    if len(launched) and work.launch_ps[0] == NO_LAUNCH:
        return LAUNCHED_BEFORE
    if len(launched) and np.any(time.lost.launch_ps > launched.max()):
        return LEFT_OVER
    marked = time.device.steps
    if len(marked) and (marked.start_ps[0] < work.start_ps[0] or marked.end_ps.max() > work.end_ps.max()):
        return GOES_ON
    if _cut_at_the_border(_lines(host)):
        return AT_THE_BORDER
    return "" if len(marked) or any(np.any(thread.step != UNKNOWN) for thread in host.threads) else UNMARKED


def _lines(host: TracedHost) -> list[Spans]:
    every: Sequence[Device] = host.devices
    work = [events for device in every for events in (device.kernels, device.copies)]
    return [line for line in (*work, *(thread.events for thread in host.threads)) if len(line)]


def _cut_at_the_border(lines: Sequence[Spans]) -> bool:
    """Whether events begin together with the trace, or end together with it.

    A profiler that starts catches each event at its own begin. One that stops may end all that is open on a thread.
    """
    first, last = min(int(line.start_ps.min()) for line in lines), max(int(line.end_ps.max()) for line in lines)
    begun = sum(int((line.start_ps == first).sum()) for line in lines)
    ended = sum(bool((line.end_ps == last).any()) for line in lines)
    return max(begun, ended) >= fixed.CUT_TOGETHER
