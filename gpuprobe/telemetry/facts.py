"""Facts of a GPU that do not change while sampling: read once, for the inventory and the head of a recording."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from gpuprobe.telemetry.nvml import NvmlError, as_text, ask, constant, field_values, gpm_supported
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
    known_facts: dict[str, Fact] = {}
    missing_facts: dict[str, str] = {}
    for fact_name, read_fact in FACTS.items():
        try:
            known_facts[fact_name] = read_fact(gpu)
        except NvmlError as error:
            if error.state in GPU_GONE:
                raise
            state = "not_supported" if error.state in {"invalid", "nothing_new"} else error.state
            missing_facts[fact_name] = f"{state}: {error}"
    return known_facts, missing_facts


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
        mig_places = range(ask("nvmlDeviceGetMaxMigDeviceCount", gpu))
    except NvmlError:
        return []
    instances = []
    for mig_place in mig_places:
        try:
            handle = ask("nvmlDeviceGetMigDeviceHandleByIndex", gpu, mig_place)
        except NvmlError:
            continue
        instance_facts: dict[str, Fact] = {}
        for fact_name in ("name", "uuid"):
            with suppress(NvmlError):
                instance_facts[f"mig{mig_place}_{fact_name}"] = FACTS[fact_name](handle)
        instance_id = None
        with suppress(NvmlError):
            instance_id = int(ask("nvmlDeviceGetGpuInstanceId", handle))
        instances.append(Instance(mig_place, handle, instance_id, instance_facts))
    return instances


def _text_fact(call: str) -> Callable[[Any], Fact]:
    return lambda gpu: as_text(ask(call, gpu))


def _number_fact(call: str, *constants: str, scale: float = 1.0) -> Callable[[Any], Fact]:
    return lambda gpu: float(ask(call, gpu, *map(constant, constants)) * scale)


def _mode_fact(call: str) -> Callable[[Any], Fact]:
    return lambda gpu: bool(ask(call, gpu)[0])


def _max_clock(kind: str) -> Callable[[Any], Fact]:
    return _number_fact("nvmlDeviceGetMaxClockInfo", f"NVML_CLOCK_{kind}")


def _temperature_threshold(kind: str) -> Callable[[Any], Fact]:
    return _number_fact("nvmlDeviceGetTemperatureThreshold", f"NVML_TEMPERATURE_THRESHOLD_{kind}")


def _power_constraint(position: int) -> Callable[[Any], Fact]:
    return lambda gpu: ask("nvmlDeviceGetPowerManagementLimitConstraints", gpu)[position] / 1000


def _mode_name(mode_names: tuple[str, ...], mode: int) -> str:
    return mode_names[mode] if 0 <= mode < len(mode_names) else f"unknown ({mode})"


FACTS: dict[str, Callable[[Any], Fact]] = {
    "name": _text_fact("nvmlDeviceGetName"),
    "uuid": _text_fact("nvmlDeviceGetUUID"),
    "pci_bus_id": lambda gpu: as_text(ask("nvmlDeviceGetPciInfo", gpu).busId),
    "compute_capability": lambda gpu: ".".join(map(str, ask("nvmlDeviceGetCudaComputeCapability", gpu))),
    "cores": _number_fact("nvmlDeviceGetNumGpuCores"),
    "memory_total_mib": lambda gpu: ask("nvmlDeviceGetMemoryInfo", gpu).total / MIB,
    "memory_bus_bits": _number_fact("nvmlDeviceGetMemoryBusWidth"),
    "sm_clock_max_mhz": _max_clock("SM"),
    "memory_clock_max_mhz": _max_clock("MEM"),
    "graphics_clock_max_mhz": _max_clock("GRAPHICS"),
    "video_clock_max_mhz": _max_clock("VIDEO"),
    "power_limit_default_w": _number_fact("nvmlDeviceGetPowerManagementDefaultLimit", scale=0.001),
    "power_limit_min_w": _power_constraint(0),
    "power_limit_max_w": _power_constraint(1),
    "temperature_slowdown_c": _temperature_threshold("SLOWDOWN"),
    "temperature_shutdown_c": _temperature_threshold("SHUTDOWN"),
    "temperature_max_c": _temperature_threshold("GPU_MAX"),
    "memory_temperature_max_c": _temperature_threshold("MEM_MAX"),
    "pcie_generation_max": _number_fact("nvmlDeviceGetMaxPcieLinkGeneration"),
    "pcie_width_max": _number_fact("nvmlDeviceGetMaxPcieLinkWidth"),
    "persistence_mode": lambda gpu: bool(ask("nvmlDeviceGetPersistenceMode", gpu)),
    "driver_model": lambda gpu: _mode_name(DRIVER_MODELS, ask("nvmlDeviceGetDriverModel", gpu)[0]),
    "ecc_mode": _mode_fact("nvmlDeviceGetEccMode"),
    "mig_mode": _mode_fact("nvmlDeviceGetMigMode"),
    "virtualization": lambda gpu: _mode_name(VIRTUALIZATION, ask("nvmlDeviceGetVirtualizationMode", gpu)),
    "display_active": lambda gpu: bool(ask("nvmlDeviceGetDisplayActive", gpu)),
    "vbios": _text_fact("nvmlDeviceGetVbiosVersion"),
    "gpm": gpm_supported,
    "nvlink_links": lambda gpu: field_values(gpu, [("NVML_FI_DEV_NVLINK_LINK_COUNT", 0)])[0],
}
