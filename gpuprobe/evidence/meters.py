"""The meters of one GPU side by side: each answers another question, and only together do they tell how busy it was."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpuprobe.records import Signal

if TYPE_CHECKING:
    from gpuprobe.ledger.records import DeviceBreakdown

NVML, KERNELS, SMS, MFU, COPIES = "nvml_busy", "kernels_busy", "sm_efficiency", "mfu", "copy_engines_busy"
NO_TRACE, NOT_READ = "there is no trace", "NVML was not read"


def meters(utilization: Signal | None, device: DeviceBreakdown | None, mfu: Signal | None) -> tuple[Signal, ...]:
    """Return what NVML, the trace and the count of arithmetic say, each a fraction (0 to 1) or why it is missing.

    `utilization` is NVML's in percent. Nothing is returned for a processor, or where neither saw a GPU.
    """
    seen = utilization is not None and utilization.value is not None
    if (device is not None and device.kind == "cpu") or (device is None and not seen):
        return ()
    return (
        _nvml(utilization),
        _of_step(KERNELS, device, _running(device) if device else None),
        _of_step(SMS, device, device.sm_efficiency if device else None),
        mfu or Signal(name=MFU, unit="", source="", missing="the arithmetic of a step was not counted"),
        _of_step(COPIES, device, _copying(device) if device else None),
    )


def _nvml(utilization: Signal | None) -> Signal:
    value = utilization.value if utilization else None
    missing = None if isinstance(value, float) else (utilization.missing if utilization else None) or NOT_READ
    fraction = value / 100 if isinstance(value, float) else None
    return Signal(name=NVML, unit="of the time", source="NVML", value=fraction, missing=missing)


def _of_step(name: str, device: DeviceBreakdown | None, value: float | None) -> Signal:
    missing = None
    if value is None:
        missing = device.missing.get(name, "the trace does not give it") if device else NO_TRACE
    return Signal(name=name, unit="of the step", source="trace", value=value, missing=missing)


def _running(device: DeviceBreakdown) -> float:
    """How much of the step any kernel runs: those that exchange gradients count for NVML too."""
    return device.share("gpu_compute") + device.share("gpu_collective")


def _copying(device: DeviceBreakdown) -> float:
    """How much of the step the engines that copy between host and device are at work, hidden under kernels or not."""
    across = sum(copy.total_ms for copy in device.copies if copy.direction in {"h2d", "d2h"})
    return across / (device.steps * device.step_ms)
