"""How each category of a breakdown is named and drawn: one entry for each, in the order of the tables."""

from __future__ import annotations

from dataclasses import dataclass

from gpuprobe.report.palette import BLUE, GREEN, INK, ORANGE, PURPLE, SKY, VERMILION

# A sentence adds up the categories with the same words.
COMPUTED = "computing"
LAUNCHES = "waiting for kernel launches"


@dataclass(frozen=True, kw_only=True)
class Category:
    """How one category reads and looks.

    `letter` fills the bar, so that it reads without colours: capitals for work, small letters for idle time.
    `terminal` is a colour of Rich, `paper` with its `hatch` one of Matplotlib. `meaning` says what happens in that
    time, `legend` the same in a few words. `spent` goes on in the sentence "the GPU spent 60 % ...", on the step.
    """

    letter: str
    terminal: str
    paper: str
    hatch: str = ""
    meaning: str
    legend: str
    spent: str


# On paper work has one colour, copies have another, and waiting has warm ones; hatches distinguish equal colours.
CATEGORIES = {
    "gpu_compute": Category(
        letter="#",
        terminal="green",
        paper=GREEN,
        meaning="kernels run",
        legend="GPU computes",
        spent=COMPUTED,
    ),
    "cpu_compute": Category(
        letter="#",
        terminal="green",
        paper=GREEN,
        meaning="operations run",
        legend="processor computes",
        spent=COMPUTED,
    ),
    "cpu_dispatch": Category(
        letter="d",
        terminal="yellow",
        paper=VERMILION,
        meaning="the function and its operations are called, and none runs",
        legend="starts operations",
        spent="starting operations",
    ),
    "gpu_copy_h2d": Category(
        letter="H",
        terminal="blue",
        paper=SKY,
        meaning="copy to the device that no kernel hides",
        legend="copies to the GPU",
        spent="copying to the GPU with no kernel running",
    ),
    "gpu_copy_d2h": Category(
        letter="D",
        terminal="blue",
        paper=SKY,
        hatch="///",
        meaning="copy to the host that no kernel hides",
        legend="copies to the host",
        spent="copying to the host with no kernel running",
    ),
    "gpu_copy_d2d": Category(
        letter="C",
        terminal="blue",
        paper=SKY,
        hatch="...",
        meaning="copy or fill within the device that no kernel hides",
        legend="copies on the GPU",
        spent="copying within the GPU with no kernel running",
    ),
    "gpu_collective": Category(
        letter="A",
        terminal="cyan",
        paper=GREEN,
        hatch="///",
        meaning="devices exchange gradients, no kernel runs",
        legend="exchanges gradients",
        spent="exchanging gradients",
    ),
    "cpu_collective": Category(
        letter="A",
        terminal="cyan",
        paper=GREEN,
        hatch="///",
        meaning="workers exchange gradients, no operation computes",
        legend="exchanges gradients",
        spent="exchanging gradients",
    ),
    "idle_input": Category(
        letter="i",
        terminal="red",
        paper=ORANGE,
        meaning="idle: the host waits for the next batch",
        legend="waits for the next batch",
        spent="waiting for the next batch",
    ),
    "idle_launch": Category(
        letter="l",
        terminal="yellow",
        paper=VERMILION,
        meaning="idle: the host has not launched the next work yet",
        legend="waits: not launched yet",
        spent=LAUNCHES,
    ),
    "idle_queue": Category(
        letter="q",
        terminal="yellow",
        paper=VERMILION,
        hatch="///",
        meaning="idle: launched, not yet started",
        legend="waits: launched, not started",
        spent=LAUNCHES,
    ),
    "idle_host_work": Category(
        letter="h",
        terminal="bright_yellow",
        paper=ORANGE,
        hatch="///",
        meaning="idle: the host is inside an operation, call or frame that launches nothing",
        legend="waits: host works itself",
        spent="waiting for work that the host does itself",
    ),
    "idle_sync": Category(
        letter="s",
        terminal="magenta",
        paper=PURPLE,
        hatch="///",
        meaning="idle: the host is inside a synchronising call or a read",
        legend="waits: host reads a result",
        spent="waiting while the host read a result",
    ),
    "idle_between_steps": Category(
        letter="b",
        terminal="bright_red",
        paper=PURPLE,
        meaning="idle: the host is outside the training function",
        legend="waits: Python between steps",
        spent="waiting for what the host does between steps",
    ),
    "idle_once": Category(
        letter="o",
        terminal="cyan",
        paper=BLUE,
        hatch="...",
        meaning="idle: work that is done once, as loading code, autotuning, a first compilation",
        legend="waits: done once",
        spent="waiting for work that is done once",
    ),
    "idle_compile": Category(
        letter="c",
        terminal="bright_magenta",
        paper=BLUE,
        meaning="idle: the host compiles or builds a graph",
        legend="waits: host compiles",
        spent="waiting for compilation",
    ),
    "idle_memory": Category(
        letter="m",
        terminal="bright_blue",
        paper=BLUE,
        hatch="///",
        meaning="idle: the host allocates device memory",
        legend="waits: memory is allocated",
        spent="waiting for memory to be allocated",
    ),
    "idle_peer": Category(
        letter="p",
        terminal="cyan",
        paper=GREEN,
        hatch="...",
        meaning="idle: another device has not come to an exchange, or the host is still busy with it or waits for it",
        legend="waits for another device",
        spent="waiting for another device",
    ),
    "unattributed": Category(
        letter="?",
        terminal="bright_black",
        paper=INK,
        hatch="...",
        meaning="the trace does not tell",
        legend="not explained",
        spent="on what no event explains",
    ),
}
