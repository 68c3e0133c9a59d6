"""What shows that a trace of one step may hold only a part of it.

In a trace of several steps, each ends where the next begins. A single step is known to be whole only if something marks
its ends, all work that ran in it was launched in it, and all work that was launched in it ran.
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
GOES_ON = "the profiler marks a step that begins before the traced work or goes on after it"
AT_THE_BORDER = "several events begin or end exactly at the border of the trace, as if it was cut out of a longer one"
UNMARKED = "the trace holds one step, and nothing marks its end"


def cut(time: GpuTime, host: TracedHost) -> str:
    """Say why the only step of a device may not be whole; empty where nothing shows that, or of several steps."""
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
    if _cut_at_the_border(_event_lines(host)):
        return AT_THE_BORDER
    return "" if len(marked) or any(np.any(thread.step != UNKNOWN) for thread in host.threads) else UNMARKED


def _event_lines(host: TracedHost) -> list[Spans]:
    devices: Sequence[Device] = host.devices
    work = [events for device in devices for events in (device.kernels, device.copies)]
    return [line for line in (*work, *(thread.events for thread in host.threads)) if len(line)]


def _cut_at_the_border(lines: Sequence[Spans]) -> bool:
    """Whether several events begin at the first instant of the trace, or end at its last one on several lines.

    A profiler that starts records each event from its own begin. One that stops may end all open events of one thread.
    """
    first_ps, last_ps = min(int(line.start_ps.min()) for line in lines), max(int(line.end_ps.max()) for line in lines)
    begun = sum(int((line.start_ps == first_ps).sum()) for line in lines)
    ended = sum(bool((line.end_ps == last_ps).any()) for line in lines)
    return max(begun, ended) >= fixed.CUT_TOGETHER
