"""A step of each strategy as one bar, in the categories of its account."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpuprobe.report.account import lines

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from gpuprobe.ledger.records import DeviceAccount

# Work is green and blue, idle time warm, what is unknown grey; of Okabe and Ito's colours and tints of them.
COLOURS = {
    "gpu_compute": "#009E73",
    "cpu_compute": "#009E73",
    "gpu_collective": "#56B4E9",
    "gpu_copy_h2d": "#0072B2",
    "gpu_copy_d2h": "#3D94C4",
    "gpu_copy_d2d": "#7FB8DA",
    "idle_input": "#D55E00",
    "idle_launch": "#E69F00",
    "idle_queue": "#F2C76B",
    "idle_sync": "#CC79A7",
    "idle_between_steps": "#A34700",
    "idle_compile": "#9B4F86",
    "idle_memory": "#E3B5CE",
    "unattributed": "#7d8590",
}


def draw(axes: Axes, accounts: dict[str, DeviceAccount]) -> None:
    """Draw one bar for each strategy, the first on top, with a legend of the categories that any of them has."""
    names = list(reversed(accounts))
    named: set[str] = set()
    for place, name in enumerate(names):
        left = 0.0
        for line in lines(accounts[name]):
            label = None if line.category in named else line.category
            axes.barh(place, line.ms, left=left, color=COLOURS[line.category], height=0.62, label=label)
            named.add(line.category)
            left += line.ms
    axes.set_yticks(range(len(names)), names)
    axes.set_xlabel("ms a step while it was traced; the profiler slows small operations down")
