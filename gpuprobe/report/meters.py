"""The meters of a GPU side by side, why they differ, and what Windows' Task Manager would have shown."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpuprobe import wording
from gpuprobe.evidence.meters import COPIES, KERNELS, MFU, NVML, SMS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gpuprobe.records import Signal

# Each meter: its name in the table, and what it is a share of.
METER_TITLES = {
    NVML: ("NVML utilization", "of its sample periods (1/6 to 1 s), each counted by the time in which any kernel ran"),
    KERNELS: ("kernels running", "of the traced step: the time in which at least one kernel runs"),
    SMS: ("SM efficiency (estimated)", "of all multiprocessors over the step: a kernel of few blocks leaves most idle"),
    MFU: ("model-FLOPs utilization", "of the card's peak arithmetic at its measured clock, for the model's own FLOPs"),
}


def meters_table(meters: Mapping[str, Sequence[Signal]]) -> list[list[str]]:
    """Return a head and a row for each meter, one column for each name in `meters`; empty where none was read."""
    signals_by_name = {
        training: {signal.name: signal for signal in signals} for training, signals in meters.items() if signals
    }
    if not signals_by_name:
        return []
    meter_rows = [["meter", *signals_by_name, "a share of what"]]
    for meter, (title, share_of) in METER_TITLES.items():
        meter_rows.append([title, *(_cell(signals.get(meter)) for signals in signals_by_name.values()), share_of])
    return meter_rows


def meters_explained(meters: Sequence[Signal]) -> str:
    """Say why the meters of one training differ; empty where fewer than two of them are known."""
    meter_values = {signal.name: float(signal.value) for signal in meters if isinstance(signal.value, float)}
    sentences = []
    if NVML in meter_values and KERNELS in meter_values:
        sentences.append(_against_kernels(meter_values[NVML], meter_values[KERNELS]))
    if KERNELS in meter_values and SMS in meter_values and meter_values[KERNELS]:
        filled_fraction = min(1.0, meter_values[SMS] / meter_values[KERNELS])
        sentences.append(f"While kernels run they fill {wording.share(filled_fraction)} of the multiprocessors.")
    if MFU in meter_values:
        sentences.append(
            f"Of the arithmetic that the card could do, the model used {wording.share(meter_values[MFU])}: waiting, "
            "small kernels and kernels that move memory rather than calculate all count against it."
        )
    sentences += [
        f"{METER_TITLES[signal.name][0]} is not known: {signal.missing}."
        for signal in meters
        if signal.value is None and signal.name in METER_TITLES
    ]
    return " ".join(sentences)


def task_manager(meters: Sequence[Signal]) -> str:
    """Say what Windows' Task Manager would have shown for such a training; empty without a trace.

    Its graphs are of engines of the driver (WDDM): kernels of CUDA run on one that is not among those shown first.
    """
    meter_values = {signal.name: float(signal.value) for signal in meters if isinstance(signal.value, float)}
    if KERNELS not in meter_values:
        return ""
    copy_words = f"Copy about {wording.share(meter_values[COPIES])}, " if COPIES in meter_values else ""
    return (
        "Windows' Task Manager would have shown next to nothing under 3D, since CUDA does not run on that engine, "
        f"{copy_words}and about {wording.share(meter_values[KERNELS])} under Cuda or Compute_0 (choose that in the "
        "title of a graph)."
    )


def _against_kernels(nvml: float, kernel_fraction: float) -> str:
    meters = f"NVML says {wording.share(nvml)}, the trace sees kernels in {wording.share(kernel_fraction)} of the step"
    if abs(nvml - kernel_fraction) < 0.05:
        return f"{meters}: the same, since both count any kernel, however small it is."
    if nvml > kernel_fraction:
        return f"{meters}: NVML counts a whole moment as busy when any kernel runs in it, so that short gaps vanish."
    outside = "NVML's periods also hold time between epochs and at the window's ends, which the trace leaves out"
    return f"{meters}: {outside}."


def _cell(signal: Signal | None) -> str:
    return wording.share(float(signal.value)) if signal is not None and isinstance(signal.value, float) else "not known"
