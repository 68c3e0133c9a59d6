"""The run itself as signals: its card, its settings as they were read back, what the profiler cost, and its MFU."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpuprobe.diagnosis import card
from gpuprobe.records import Signal

if TYPE_CHECKING:
    from gpuprobe.records import GpuInfo, Settings

READ_BACK = "Keras, read back"


def setting(
    settings: Settings | None,
    gpu: GpuInfo | None,
    *,
    slowdown: float | None = None,
    flop_per_s: float | None = None,
    sm_clock_mhz: float | None = None,
) -> tuple[Signal, ...]:
    """Return the signals of a run: `gpu` is the card it used, `flop_per_s` its own arithmetic per second."""
    known = card.find(gpu.name, compute_capability=gpu.compute_capability, memory_mib=gpu.memory_mib) if gpu else None
    signals = (
        card.card_signals(gpu.name, compute_capability=gpu.compute_capability, memory_mib=gpu.memory_mib) if gpu else ()
    )
    profiler = Signal(
        name="profiler_slowdown",
        unit="times",
        source="median traced step over median timed step",
        value=slowdown,
        missing=None if slowdown else "no step was both timed and traced",
    )
    if settings is None:
        return (*signals, profiler)
    return (
        *signals,
        profiler,
        card.mfu(settings, known, flop_per_s, sm_clock_mhz),
        Signal(name="compute_dtype", unit="", source=READ_BACK, value=settings.compute_dtype),
        Signal(name="batch_size", unit="samples", source=READ_BACK, value=float(settings.batch_size)),
        Signal(name="run_eagerly", unit="", source=READ_BACK, value=settings.run_eagerly),
    )
