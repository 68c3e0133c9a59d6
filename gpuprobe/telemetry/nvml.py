"""The boundary to NVIDIA's driver: the only file that imports pynvml, and where its errors become our words.

Units as NVML gives them are turned into those of the column names. Source of the calls: NVIDIA, "NVML API Reference".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pynvml

from gpuprobe.records import GpuInfo

if TYPE_CHECKING:
    from collections.abc import Callable

MIB = 2**20


class NvmlError(Exception):
    """A call to the driver failed; the message says why in one line."""


def start() -> int:
    """Load the driver's library and return how many GPUs it sees. Raises NvmlError where it cannot be used."""
    _call(pynvml.nvmlInit)
    count: int = _call(pynvml.nvmlDeviceGetCount)
    if count == 0:
        raise NvmlError("the NVIDIA driver is loaded but sees no GPU")
    return count


def versions() -> tuple[str, str]:
    """Return the version of the driver and the newest CUDA version that it supports, as `12.4`."""
    cuda: int = _call(pynvml.nvmlSystemGetCudaDriverVersion)
    return _text(_call(pynvml.nvmlSystemGetDriverVersion)), f"{cuda // 1000}.{cuda % 1000 // 10}"


def describe(index: int) -> GpuInfo:
    """Describe one GPU; what the driver does not tell stays empty."""
    handle = _call(pynvml.nvmlDeviceGetHandleByIndex, index)
    capability = _or_none(lambda: pynvml.nvmlDeviceGetCudaComputeCapability(handle))
    memory = _or_none(lambda: pynvml.nvmlDeviceGetMemoryInfo(handle).total / MIB)
    return GpuInfo(
        index=index,
        name=_text(_or_none(lambda: pynvml.nvmlDeviceGetName(handle)) or "unnamed GPU"),
        uuid=_text(_or_none(lambda: pynvml.nvmlDeviceGetUUID(handle)) or ""),
        pci_bus_id=_text(_or_none(lambda: pynvml.nvmlDeviceGetPciInfo(handle).busId) or ""),
        compute_capability=".".join(map(str, capability)) if capability else "",
        memory_mib=memory,
    )


# Read at every tick, and only now and then: utilization and clocks change with each kernel, the others slowly.
FAST: dict[str, Callable[[Any], float]] = {
    "utilization_percent": lambda gpu: pynvml.nvmlDeviceGetUtilizationRates(gpu).gpu,
    "memory_utilization_percent": lambda gpu: pynvml.nvmlDeviceGetUtilizationRates(gpu).memory,
    "power_w": lambda gpu: pynvml.nvmlDeviceGetPowerUsage(gpu) / 1000,
    "sm_clock_mhz": lambda gpu: pynvml.nvmlDeviceGetClockInfo(gpu, pynvml.NVML_CLOCK_SM),
    "memory_clock_mhz": lambda gpu: pynvml.nvmlDeviceGetClockInfo(gpu, pynvml.NVML_CLOCK_MEM),
}
SLOW: dict[str, Callable[[Any], float]] = {
    "memory_used_mib": lambda gpu: pynvml.nvmlDeviceGetMemoryInfo(gpu).used / MIB,
    "temperature_c": lambda gpu: pynvml.nvmlDeviceGetTemperature(gpu, pynvml.NVML_TEMPERATURE_GPU),
    "throttle_reasons": pynvml.nvmlDeviceGetCurrentClocksThrottleReasons,
    "energy_j": lambda gpu: pynvml.nvmlDeviceGetTotalEnergyConsumption(gpu) / 1000,
}
FIELDS = (*FAST, *SLOW)


class Device:
    """One GPU to sample. A field that the card does not have is asked for once, and its reason kept."""

    def __init__(self, index: int) -> None:
        self.index = index
        self._handle = _call(pynvml.nvmlDeviceGetHandleByIndex, index)
        self._missing: set[str] = set()
        self.lost = False

    def sample(self, *, slow: bool) -> tuple[dict[str, float], list[str]]:
        """Return the values read now by field name, and what there is to say, in words, about those that failed."""
        values: dict[str, float] = {}
        said: list[str] = []
        if self.lost:
            return values, said
        for name, read in {**FAST, **(SLOW if slow else {})}.items():
            if name in self._missing:
                continue
            try:
                values[name] = float(_call(read, self._handle))
            except NvmlError as error:
                said.append(f"gpu{self.index}.{name}: {error}")
                self._missing.add(name)
                if _means_lost(error):
                    self.lost = True
                    return values, [f"gpu{self.index} is lost: {error}"]
        return values, said


def _means_lost(error: NvmlError) -> bool:
    lost = (pynvml.NVML_ERROR_GPU_IS_LOST, pynvml.NVML_ERROR_UNINITIALIZED, pynvml.NVML_ERROR_RESET_REQUIRED)
    return getattr(error.__cause__, "value", None) in lost


def _call(function: Callable[..., Any], *arguments: Any) -> Any:
    try:
        return function(*arguments)
    except pynvml.NVMLError as error:
        raise NvmlError(_reason(error)) from error
    except (AttributeError, UnicodeDecodeError) as error:
        raise NvmlError(f"this driver or nvidia-ml-py does not know the call ({error})") from error


def _reason(error: Any) -> str:
    known = {
        pynvml.NVML_ERROR_LIBRARY_NOT_FOUND: "no NVIDIA driver: libnvidia-ml.so.1 does not load",
        pynvml.NVML_ERROR_DRIVER_NOT_LOADED: "the NVIDIA driver is installed but not loaded",
        pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH: "the NVIDIA driver and its library differ in version; reboot",
        pynvml.NVML_ERROR_NO_PERMISSION: "no permission to ask the NVIDIA driver",
        pynvml.NVML_ERROR_NOT_SUPPORTED: "this GPU does not offer it",
        pynvml.NVML_ERROR_GPU_IS_LOST: "the GPU has fallen off the bus or is not reachable",
    }
    return known.get(error.value, str(error))


def _or_none(function: Callable[[], Any]) -> Any:
    try:
        return _call(function)
    except NvmlError:
        return None


def _text(value: str | bytes) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else value
