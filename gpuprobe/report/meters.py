"""The meters of a GPU side by side, why they differ, and what Windows' Task Manager would have shown."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpuprobe import wording
from gpuprobe.evidence.meters import COPIES, KERNELS, MFU, NVML, SMS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gpuprobe.records import Signal

# Each meter: its name in the table, and what it is a share of.
TITLES = {
    NVML: ("NVML utilization", "of its sample periods (1/6 to 1 s), each counted by the time in which any kernel ran"),
    KERNELS: ("kernels running", "of the traced step: the time in which at least one kernel runs"),
    SMS: ("SM efficiency (estimated)", "of all multiprocessors over the step: a kernel of few blocks leaves most idle"),
    MFU: ("model-FLOPs utilization", "of the card's peak arithmetic at its measured clock, for the model's own FLOPs"),
}


def table(meters: Mapping[str, Sequence[Signal]]) -> list[list[str]]:
    """Return a head and a row for each meter, one column for each name in `meters`; empty where none was read."""
    known = {name: {signal.name: signal for signal in signals} for name, signals in meters.items() if signals}
    if not known:
        return []
    rows = [["meter", *known, "a share of what"]]
    for meter, (title, share_of) in TITLES.items():
        rows.append([title, *(_cell(signals.get(meter)) for signals in known.values()), share_of])
    return rows


def explained(meters: Sequence[Signal]) -> str:
    """Say why the meters of one training differ; empty where fewer than two of them are known."""
    known = {signal.name: float(signal.value) for signal in meters if isinstance(signal.value, float)}
    sentences = []
    if NVML in known and KERNELS in known:
        sentences.append(_against_kernels(known[NVML], known[KERNELS]))
    if KERNELS in known and SMS in known and known[KERNELS]:
        filled = min(1.0, known[SMS] / known[KERNELS])
        sentences.append(f"While kernels run they fill {wording.share(filled)} of the multiprocessors.")
    if MFU in known:
        sentences.append(
            f"Of the arithmetic that the card could do, the model used {wording.share(known[MFU])}: waiting, small "
            "kernels and kernels that move memory rather than calculate all count against it."
        )
    sentences += [
        f"{TITLES[signal.name][0]} is not known: {signal.missing}."
        for signal in meters
        if signal.value is None and signal.name in TITLES
    ]
    return " ".join(sentences)


def task_manager(meters: Sequence[Signal]) -> str:
    """Say what Windows' Task Manager would have shown for such a training; empty without a trace.

    Its graphs are of engines of the driver (WDDM): kernels of CUDA run on one that is not among those shown first.
    """
    known = {signal.name: float(signal.value) for signal in meters if isinstance(signal.value, float)}
    if KERNELS not in known:
        return ""
    copying = f"Copy about {wording.share(known[COPIES])}, " if COPIES in known else ""
    return (
        "Windows' Task Manager would have shown next to nothing under 3D, since CUDA does not run on that engine, "
        f"{copying}and about {wording.share(known[KERNELS])} under Cuda or Compute_0, which the title of a graph "
        "offers."
    )


def _against_kernels(nvml: float, kernels: float) -> str:
    both = f"NVML says {wording.share(nvml)}, the trace sees kernels in {wording.share(kernels)} of the step"
    if abs(nvml - kernels) < 0.05:
        return f"{both}: the same, since both count any kernel, however small it is."
    if nvml > kernels:
        return f"{both}: NVML counts a whole moment as busy when any kernel runs in it, so that short gaps vanish."
    return f"{both}: NVML's periods also hold time between epochs and at the window's ends, which the trace leaves out."


def _cell(signal: Signal | None) -> str:
    return wording.share(float(signal.value)) if signal is not None and isinstance(signal.value, float) else "not known"
