"""The meters of one GPU side by side. Each measures something else, so how busy the GPU was takes all of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpuprobe.records import Signal

if TYPE_CHECKING:
    from gpuprobe.ledger.records import DeviceBreakdown

NVML, KERNELS, SMS, MFU, COPIES = "nvml_busy", "kernels_busy", "sm_efficiency", "mfu", "copy_engines_busy"
NO_TRACE, NOT_READ = "there is no trace", "NVML was not read"


def meters(utilization: Signal | None, device: DeviceBreakdown | None, mfu: Signal | None) -> tuple[Signal, ...]:
    """Return what NVML, the trace and the FLOP count say, each as a fraction (0 to 1) or with the reason why not.

    `utilization` is NVML's in percent. Returns nothing for a processor, or where neither trace nor NVML saw a GPU.
    """
    seen = utilization is not None and utilization.value is not None
    if (device is not None and device.kind == "cpu") or (device is None and not seen):
        return ()
    return (
        _nvml_busy(utilization),
        _meter_of_trace(KERNELS, device, _kernels_share(device) if device else None),
        _meter_of_trace(SMS, device, device.sm_efficiency if device else None),
        mfu or Signal(name=MFU, unit="", source="", missing="the arithmetic of a step was not counted"),
        _meter_of_trace(COPIES, device, _copies_share(device) if device else None),
    )


def _nvml_busy(utilization: Signal | None) -> Signal:
    value = utilization.value if utilization else None
    missing = None if isinstance(value, float) else (utilization.missing if utilization else None) or NOT_READ
    fraction = value / 100 if isinstance(value, float) else None
    return Signal(name=NVML, unit="of the time", source="NVML", value=fraction, missing=missing)


def _meter_of_trace(name: str, device: DeviceBreakdown | None, value: float | None) -> Signal:
    missing = None
    if value is None:
        missing = device.missing.get(name, "the trace does not give it") if device else NO_TRACE
    return Signal(name=name, unit="of the step", source="trace", value=value, missing=missing)


def _kernels_share(device: DeviceBreakdown) -> float:
    """The share of the step in which any kernel runs. Exchanges of gradients are kernels too, as NVML counts them."""
    return device.share("gpu_compute") + device.share("gpu_collective")


def _copies_share(device: DeviceBreakdown) -> float:
    """The share of the step in which copies between host and device run, whether or not a kernel hides them."""
    copied_ms = sum(copy.total_ms for copy in device.copies if copy.direction in {"h2d", "d2h"})
    return copied_ms / (device.steps * device.step_ms)
