"""Why a trace has no step, or lacks a figure of a GPU."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpuprobe import wording

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gpuprobe.ledger.trace_contents import GpuContents, TraceContents
    from gpuprobe.traces.timeline import Device

NO_CUPTI = "gpuprobe doctor checks whether the profiler sees the GPU (CUPTI)"


def missing_of(device: Device, sm: float | None, occupied: float | None, outside: float | None) -> dict[str, str]:
    """Return the reason for each figure of a GPU that is None, by the figure's name."""
    missing = {}
    if sm is None:
        known = "sm_count" in device.facts
        missing["sm_efficiency"] = f"the trace gives no {'grid sizes' if known else 'number of multiprocessors'}"
    if occupied is None:
        missing["occupancy"] = (
            "the trace gives neither the occupancy nor what an estimate needs (kernel shapes, the card)"
        )
    if outside is None:
        missing["idle_outside_step_fraction"] = "the trace names no training function"
    if not len(device.steps):
        missing["marker_step_ms"] = "the trace has no Steps line"
    return missing


def at_rest(gpus: Sequence[GpuContents]) -> tuple[str, ...]:
    """Return warnings that name the GPUs that did nothing while others worked, and those that only copied."""
    if not any(gpu.kernels for gpu in gpus):
        return ()
    copying = [gpu.name for gpu in gpus if not gpu.kernels and gpu.copies]
    idle = [gpu.name for gpu in gpus if not gpu.kernels and not gpu.copies]
    groups = (("did nothing", idle), ("ran no kernel and only copied", copying))
    return tuple(
        f"{len(names)} of {wording.count(len(gpus), 'GPU')} in the trace {what}: {wording.listing(names)}"
        for what, names in groups
        if names
    )


def why_no_step(contents: TraceContents) -> str:
    """Return why a trace has no step."""
    if not contents.gpus and not contents.events:
        return "the trace holds no events"
    if contents.others:
        return (
            f"the work of {contents.others[0]} is not accounted for: only the streams of GPUs are, "
            "and the trace has none"
        )
    if contents.worked:
        return "no step was found: the work of the GPU lies outside every step of the host"
    if contents.launched:
        times = wording.count(contents.launched, "time")
        return f"the host launched work {times}, and the trace shows no GPU that ran it; {NO_CUPTI}"
    return "no step was found: no marker, no training function, no device work and no iterator"
