"""How each category of a breakdown is named and drawn: one entry for each, in the order of the tables."""

from __future__ import annotations

from dataclasses import dataclass

from gpuprobe.report.palette import BLUE, GREEN, INK, ORANGE, PURPLE, SKY, VERMILION

# Categories with the same words are added up in a sentence.
COMPUTED = "it computed"
LAUNCHES = "it waited for kernel launches"


@dataclass(frozen=True, kw_only=True)
class Category:
    """How one category reads and looks.

    `letter` fills the bar, so that it reads without colours: capitals for work, small letters for idle time.
    `terminal` is a colour of Rich, `paper` with its `hatch` one of Matplotlib. `meaning` says what happens in that
    time, `legend` the same in a few words, and `told` continues a sentence about the step, after the share.
    """

    letter: str
    terminal: str
    paper: str
    hatch: str = ""
    meaning: str
    legend: str
    told: str


# On paper work has one colour, copies have another, and waiting has warm ones; hatches distinguish equal colours.
CATEGORIES = {
    "gpu_compute": Category(
        letter="#",
        terminal="green",
        paper=GREEN,
        meaning="kernels run",
        legend="GPU computes",
        told=COMPUTED,
    ),
    "cpu_compute": Category(
        letter="#",
        terminal="green",
        paper=GREEN,
        meaning="operations run",
        legend="processor computes",
        told=COMPUTED,
    ),
    "cpu_dispatch": Category(
        letter="d",
        terminal="yellow",
        paper=VERMILION,
        meaning="the function and its operations are called, and none runs",
        legend="starts operations",
        told="it took to start operations",
    ),
    "gpu_copy_h2d": Category(
        letter="H",
        terminal="blue",
        paper=SKY,
        meaning="copy to the device that no kernel hides",
        legend="copies to the GPU",
        told="it copied to the GPU with no kernel running",
    ),
    "gpu_copy_d2h": Category(
        letter="D",
        terminal="blue",
        paper=SKY,
        hatch="///",
        meaning="copy to the host that no kernel hides",
        legend="copies to the host",
        told="it copied to the host with no kernel running",
    ),
    "gpu_copy_d2d": Category(
        letter="C",
        terminal="blue",
        paper=SKY,
        hatch="...",
        meaning="copy or fill within the device that no kernel hides",
        legend="copies on the GPU",
        told="it copied within the GPU with no kernel running",
    ),
    "gpu_collective": Category(
        letter="A",
        terminal="cyan",
        paper=GREEN,
        hatch="///",
        meaning="devices exchange gradients, no kernel runs",
        legend="exchanges gradients",
        told="it exchanged gradients",
    ),
    "cpu_collective": Category(
        letter="A",
        terminal="cyan",
        paper=GREEN,
        hatch="///",
        meaning="workers exchange gradients, no operation computes",
        legend="exchanges gradients",
        told="it exchanged gradients",
    ),
    "idle_input": Category(
        letter="i",
        terminal="red",
        paper=ORANGE,
        meaning="idle: the host waits for the next batch",
        legend="waits for the next batch",
        told="it waited for the next batch",
    ),
    "idle_launch": Category(
        letter="l",
        terminal="yellow",
        paper=VERMILION,
        meaning="idle: the host has not launched the next work yet",
        legend="waits: not launched yet",
        told=LAUNCHES,
    ),
    "idle_queue": Category(
        letter="q",
        terminal="yellow",
        paper=VERMILION,
        hatch="///",
        meaning="idle: launched, not yet started",
        legend="waits: launched, not started",
        told=LAUNCHES,
    ),
    "idle_host_work": Category(
        letter="h",
        terminal="bright_yellow",
        paper=ORANGE,
        hatch="///",
        meaning="idle: the host is inside an operation, call or frame that launches nothing",
        legend="waits: host works itself",
        told="it waited for work that the host does itself",
    ),
    "idle_sync": Category(
        letter="s",
        terminal="magenta",
        paper=PURPLE,
        hatch="///",
        meaning="idle: the host is inside a synchronising call or a read",
        legend="waits: host reads a result",
        told="it waited for the host, which waited for it",
    ),
    "idle_between_steps": Category(
        letter="b",
        terminal="bright_red",
        paper=PURPLE,
        meaning="idle: the host is outside the training function",
        legend="waits: Python between steps",
        told="it waited for what the host does between steps",
    ),
    "idle_once": Category(
        letter="o",
        terminal="cyan",
        paper=BLUE,
        hatch="...",
        meaning="idle: work that is done once, as loading code, autotuning, a first compilation",
        legend="waits: done once",
        told="it waited for work that is done once",
    ),
    "idle_compile": Category(
        letter="c",
        terminal="bright_magenta",
        paper=BLUE,
        meaning="idle: the host compiles or builds a graph",
        legend="waits: host compiles",
        told="it waited for compilation",
    ),
    "idle_memory": Category(
        letter="m",
        terminal="bright_blue",
        paper=BLUE,
        hatch="///",
        meaning="idle: the host allocates device memory",
        legend="waits: memory is allocated",
        told="it waited for memory to be allocated",
    ),
    "idle_peer": Category(
        letter="p",
        terminal="cyan",
        paper=GREEN,
        hatch="...",
        meaning="idle: another device has not come to an exchange, or the host is still busy with it or waits for it",
        legend="waits for another device",
        told="it waited for another device",
    ),
    "unattributed": Category(
        letter="?",
        terminal="bright_black",
        paper=INK,
        hatch="...",
        meaning="the trace does not tell",
        legend="not explained",
        told="is not explained",
    ),
}
