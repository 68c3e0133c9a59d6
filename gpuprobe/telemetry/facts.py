"""Facts of a GPU that do not change while sampling: read once, for the inventory and the head of a recording."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from gpuprobe.telemetry.nvml import NvmlError, ask, constant, field_values, gpm_supported, text
from gpuprobe.telemetry.states import GPU_GONE
from gpuprobe.units import MIB

if TYPE_CHECKING:
    from collections.abc import Callable

Fact = str | float | bool
# nvml.h, nvmlGpuVirtualizationMode_t.
VIRTUALIZATION = ("none", "passthrough", "vGPU guest", "vGPU host", "vSGA host")
DRIVER_MODELS = ("WDDM", "TCC", "MCDM")


def read(gpu: Any) -> tuple[dict[str, Fact], dict[str, str]]:
    """Return all facts of one GPU that the driver gives, and for each missing one `state: reason`.

    Raises NvmlError where the GPU is gone.
    """
    known: dict[str, Fact] = {}
    missing: dict[str, str] = {}
    for name, ask_for in FACTS.items():
        try:
            known[name] = ask_for(gpu)
        except NvmlError as error:
            if error.state in GPU_GONE:
                raise
            state = "not_supported" if error.state in {"invalid", "nothing_new"} else error.state
            missing[name] = f"{state}: {error}"
    return known, missing


class Instance(NamedTuple):
    """A MIG instance of a GPU.

    `place` is its index in the driver's list, `number` its id, None if the driver does not give it.
    """

    place: int
    handle: Any
    number: int | None
    facts: dict[str, Fact]


def mig_devices(gpu: Any) -> list[Instance]:
    """Return the MIG instances of a GPU; none where it is not split."""
    try:
        if not ask("nvmlDeviceGetMigMode", gpu)[0]:
            return []
        places = range(ask("nvmlDeviceGetMaxMigDeviceCount", gpu))
    except NvmlError:
        return []
    instances = []
    for place in places:
        try:
            handle = ask("nvmlDeviceGetMigDeviceHandleByIndex", gpu, place)
        except NvmlError:
            continue
        known: dict[str, Fact] = {}
        for name in ("name", "uuid"):
            with suppress(NvmlError):
                known[f"mig{place}_{name}"] = FACTS[name](handle)
        number = None
        with suppress(NvmlError):
            number = int(ask("nvmlDeviceGetGpuInstanceId", handle))
        instances.append(Instance(place, handle, number, known))
    return instances


def _text(call: str) -> Callable[[Any], Fact]:
    return lambda gpu: text(ask(call, gpu))


def _number(call: str, *constants: str, scale: float = 1.0) -> Callable[[Any], Fact]:
    return lambda gpu: float(ask(call, gpu, *map(constant, constants)) * scale)


def _mode(call: str) -> Callable[[Any], Fact]:
    return lambda gpu: bool(ask(call, gpu)[0])


def _clock(kind: str) -> Callable[[Any], Fact]:
    return _number("nvmlDeviceGetMaxClockInfo", f"NVML_CLOCK_{kind}")


def _limit(kind: str) -> Callable[[Any], Fact]:
    return _number("nvmlDeviceGetTemperatureThreshold", f"NVML_TEMPERATURE_THRESHOLD_{kind}")


def _constraint(place: int) -> Callable[[Any], Fact]:
    return lambda gpu: ask("nvmlDeviceGetPowerManagementLimitConstraints", gpu)[place] / 1000


def _one_of(names: tuple[str, ...], number: int) -> str:
    return names[number] if 0 <= number < len(names) else f"unknown ({number})"


FACTS: dict[str, Callable[[Any], Fact]] = {
    "name": _text("nvmlDeviceGetName"),
    "uuid": _text("nvmlDeviceGetUUID"),
    "pci_bus_id": lambda gpu: text(ask("nvmlDeviceGetPciInfo", gpu).busId),
    "compute_capability": lambda gpu: ".".join(map(str, ask("nvmlDeviceGetCudaComputeCapability", gpu))),
    "cores": _number("nvmlDeviceGetNumGpuCores"),
    "memory_total_mib": lambda gpu: ask("nvmlDeviceGetMemoryInfo", gpu).total / MIB,
    "memory_bus_bits": _number("nvmlDeviceGetMemoryBusWidth"),
    "sm_clock_max_mhz": _clock("SM"),
    "memory_clock_max_mhz": _clock("MEM"),
    "graphics_clock_max_mhz": _clock("GRAPHICS"),
    "video_clock_max_mhz": _clock("VIDEO"),
    "power_limit_default_w": _number("nvmlDeviceGetPowerManagementDefaultLimit", scale=0.001),
    "power_limit_min_w": _constraint(0),
    "power_limit_max_w": _constraint(1),
    "temperature_slowdown_c": _limit("SLOWDOWN"),
    "temperature_shutdown_c": _limit("SHUTDOWN"),
    "temperature_max_c": _limit("GPU_MAX"),
    "memory_temperature_max_c": _limit("MEM_MAX"),
    "pcie_generation_max": _number("nvmlDeviceGetMaxPcieLinkGeneration"),
    "pcie_width_max": _number("nvmlDeviceGetMaxPcieLinkWidth"),
    "persistence_mode": lambda gpu: bool(ask("nvmlDeviceGetPersistenceMode", gpu)),
    "driver_model": lambda gpu: _one_of(DRIVER_MODELS, ask("nvmlDeviceGetDriverModel", gpu)[0]),
    "ecc_mode": _mode("nvmlDeviceGetEccMode"),
    "mig_mode": _mode("nvmlDeviceGetMigMode"),
    "virtualization": lambda gpu: _one_of(VIRTUALIZATION, ask("nvmlDeviceGetVirtualizationMode", gpu)),
    "display_active": lambda gpu: bool(ask("nvmlDeviceGetDisplayActive", gpu)),
    "vbios": _text("nvmlDeviceGetVbiosVersion"),
    "gpm": gpm_supported,
    "nvlink_links": lambda gpu: field_values(gpu, [("NVML_FI_DEV_NVLINK_LINK_COUNT", 0)])[0],
}
