"""The same account where the processor is the device."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gpuprobe.ledger.categories import CPU_PRECEDENCE, UNATTRIBUTED
from gpuprobe.ledger.intervals import Intervals, difference, join, sweep, union
from gpuprobe.ledger.steps import Windows, find
from gpuprobe.traces.timeline import Steps

if TYPE_CHECKING:
    from gpuprobe.ledger.host import Host


@dataclass(frozen=True)
class CpuTime:
    """Where the time of a run without a GPU went: `parts` by category, exclusive, over all steps."""

    windows: Windows
    parts: dict[str, Intervals]


def cpu_time(host: Host) -> CpuTime | None:
    """Give every instant of a host's steps to one category; None where no step can be found."""
    windows = find(host, Steps(), None)
    if windows is None:
        return None
    window = union(windows.start_ps, windows.end_ps)
    outside = difference(window, windows.inside) if windows.inside is not None else Intervals()
    # JAX hands its programs over and goes on: the processor is not idle while one runs, wherever Python is.
    layers = [host.compiling, host.input_wait, host.running, outside, host.computing]
    (*got, running, outside, computing), left = sweep(window, layers)
    found = (*got, outside, join([running, computing]), left)
    return CpuTime(windows, dict(zip((*CPU_PRECEDENCE, UNATTRIBUTED), found, strict=True)))
