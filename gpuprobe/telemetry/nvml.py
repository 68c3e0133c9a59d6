"""The boundary to NVIDIA's driver: the only file that imports pynvml, and where its errors become our states.

Source of the calls and codes: NVIDIA, "NVML API Reference".
"""

from __future__ import annotations

import ctypes
import math
from typing import TYPE_CHECKING, Any

import pynvml

from gpuprobe.foreign import visible

if TYPE_CHECKING:
    from collections.abc import Sequence


# No machine has more; a larger count is a driver that does not know.
MOST_GPUS = 256


class NvmlError(Exception):
    """A call to the driver failed: the named state, and why in one line."""

    def __init__(self, state: str, words: str) -> None:
        super().__init__(words)
        self.state = state


def ask(call: str, *arguments: Any) -> Any:
    """Call a function of pynvml by its name. Raises NvmlError, and nothing else, where that fails."""
    try:
        return getattr(pynvml, call)(*arguments)
    except pynvml.NVMLError as error:
        state, words = _ERRORS.get(error.value, ("unreadable", f"{error} (NVML error {error.value})"))
        raise NvmlError(state, words) from error
    except (AttributeError, pynvml.NVMLLibraryMismatchError) as error:
        raise NvmlError("not_known", f"this nvidia-ml-py does not know the call ({error})") from error
    except UnicodeDecodeError as error:
        # pynvml decodes names strictly; not every board's maker writes UTF-8.
        return error.object.decode(errors="replace")
    except (ArithmeticError, LookupError, TypeError, ValueError) as error:
        raise NvmlError("unreadable", f"the driver's answer makes no sense ({error})") from error


def constant(name: str) -> int:
    """Return one of NVML's constants by its name."""
    return int(getattr(pynvml, name))


def start() -> int:
    """Load the driver's library and return how many GPUs it sees. Raises NvmlError where it cannot be used."""
    ask("nvmlInit")
    count = int(ask("nvmlDeviceGetCount"))
    if count == 0:
        raise NvmlError("no_device", "the NVIDIA driver is loaded but sees no GPU")
    if count > MOST_GPUS:
        raise NvmlError("unreadable", f"the driver counts {count} GPUs, which cannot be")
    return count


def versions() -> tuple[str, str]:
    """Return the version of the driver and the newest CUDA version that it supports, as `12.4`; empty if unsaid."""
    try:
        cuda = int(ask("nvmlSystemGetCudaDriverVersion"))
        cuda_version = f"{cuda // 1000}.{cuda % 1000 // 10}"
    except NvmlError:
        cuda_version = ""
    try:
        return text(ask("nvmlSystemGetDriverVersion")), cuda_version
    except NvmlError:
        return "", cuda_version


def text(value: str | bytes) -> str:
    """Return a text that the driver gave, whatever bytes are in it."""
    return visible(value.decode(errors="replace") if isinstance(value, bytes) else value)


def field_values(gpu: Any, fields: Sequence[tuple[str, int]]) -> list[float]:
    """Read values of `nvmlDeviceGetFieldValues`, each by its constant's name and its scope.

    NaN for one that is refused while others are not; raises NvmlError where all are refused.
    """
    found = ask("nvmlDeviceGetFieldValues", gpu, [(constant(name), scope) for name, scope in fields])
    if all(field.nvmlReturn for field in found):
        # The check of a single field's code is the one that pynvml makes for a call.
        ask("_nvmlCheckReturn", found[0].nvmlReturn)
    return [math.nan if field.nvmlReturn else number(field.valueType, field.value) for field in found]


def number(kind: int, union: Any) -> float:
    """Return the member of NVML's value union that its type names."""
    member = _MEMBERS.get(kind)
    if member is None:
        raise NvmlError("not_known", f"the driver gave a value of the unknown type {kind}")
    return float(getattr(union, member))


def vgpu_memory(vgpu: int) -> int:
    """Return the bytes of memory that a virtual GPU uses. Raises NvmlError.

    pynvml's own call takes the 64 bits that nvml.h gives it (nvmlVgpuInstanceGetFbUsage) into 32.
    """
    used = ctypes.c_ulonglong()
    ask("_nvmlCheckReturn", ask("_nvmlGetFunctionPointer", "nvmlVgpuInstanceGetFbUsage")(vgpu, ctypes.byref(used)))
    return used.value


def gpm_sample(gpu: Any, instance: int | None = None) -> Any:
    """Take a sample of the performance monitor of a GPU, or of its MIG instance of that number. Raises NvmlError.

    `gpm_between` compares two of them.
    """
    sample = ask("nvmlGpmSampleAlloc")
    try:
        if instance is not None:
            return ask("nvmlGpmMigSampleGet", gpu, instance, sample)
        return ask("nvmlGpmSampleGet", gpu, sample)
    except NvmlError:
        ask("nvmlGpmSampleFree", sample)
        raise


def gpm_free(sample: Any) -> None:
    """Give a sample back."""
    ask("nvmlGpmSampleFree", sample)


def gpm_supported(gpu: Any) -> bool:
    """Whether the GPU has the performance monitor (Hopper and newer). Raises NvmlError."""
    return bool(ask("nvmlGpmQueryDeviceSupport", gpu).isSupportedDevice)


def gpm_between(first: Any, second: Any, metrics: tuple[str, ...]) -> list[float]:
    """Return metrics, by their constants' names, over the time between two samples. NaN for one not offered."""
    wanted = pynvml.c_nvmlGpmMetricsGet_t()
    wanted.version = pynvml.NVML_GPM_METRICS_GET_VERSION
    wanted.numMetrics = len(metrics)
    wanted.sample1, wanted.sample2 = first, second
    for place, name in enumerate(metrics):
        wanted.metrics[place].metricId = constant(name)
    ask("nvmlGpmMetricsGet", wanted)
    found = [wanted.metrics[place] for place in range(len(metrics))]
    return [float("nan") if metric.nvmlReturn else float(metric.value) for metric in found]


_ERRORS = {
    pynvml.NVML_ERROR_LIBRARY_NOT_FOUND: ("no_driver", "no NVIDIA driver: libnvidia-ml.so.1 does not load"),
    pynvml.NVML_ERROR_DRIVER_NOT_LOADED: ("driver_not_loaded", "the NVIDIA driver is installed but not loaded"),
    pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH: (
        "driver_mismatch",
        "the NVIDIA driver and its library differ in version, reboot or reload the driver",
    ),
    pynvml.NVML_ERROR_NO_PERMISSION: ("no_permission", "no permission to ask the NVIDIA driver"),
    pynvml.NVML_ERROR_NOT_SUPPORTED: ("not_supported", "this GPU does not offer it"),
    pynvml.NVML_ERROR_FREQ_NOT_SUPPORTED: ("not_supported", "this GPU does not offer it"),
    pynvml.NVML_ERROR_VGPU_ECC_NOT_SUPPORTED: ("not_supported", "this virtual GPU does not offer it"),
    pynvml.NVML_ERROR_FUNCTION_NOT_FOUND: ("not_known", "this driver does not know the call"),
    pynvml.NVML_ERROR_ARGUMENT_VERSION_MISMATCH: ("not_known", "this driver knows another version of the call"),
    pynvml.NVML_ERROR_DEPRECATED: ("not_known", "this driver no longer knows the call"),
    pynvml.NVML_ERROR_GPU_IS_LOST: ("gpu_lost", "the GPU has fallen off the bus or is not reachable"),
    pynvml.NVML_ERROR_RESET_REQUIRED: ("driver_reset", "the GPU needs a reset before it can be used again"),
    pynvml.NVML_ERROR_UNINITIALIZED: ("driver_reset", "the driver was unloaded or reset under the sampler"),
    pynvml.NVML_ERROR_GPU_NOT_FOUND: ("vanished", "the GPU is gone from the driver's list"),
    # Of a sensor that the card does not have, and of the handle of a card that has gone: the caller tells which.
    pynvml.NVML_ERROR_INVALID_ARGUMENT: ("invalid", "this GPU does not have it (invalid argument)"),
    0: ("nothing_new", "the driver has nothing to show"),
    pynvml.NVML_ERROR_NOT_FOUND: ("nothing_new", "the driver has nothing to show"),
    pynvml.NVML_ERROR_NO_DATA: ("nothing_new", "the driver has nothing to show"),
}
_MEMBERS = {
    pynvml.NVML_VALUE_TYPE_DOUBLE: "dVal",
    pynvml.NVML_VALUE_TYPE_UNSIGNED_INT: "uiVal",
    pynvml.NVML_VALUE_TYPE_UNSIGNED_LONG: "ulVal",
    pynvml.NVML_VALUE_TYPE_UNSIGNED_LONG_LONG: "ullVal",
    pynvml.NVML_VALUE_TYPE_SIGNED_LONG_LONG: "sllVal",
    pynvml.NVML_VALUE_TYPE_SIGNED_INT: "siVal",
    pynvml.NVML_VALUE_TYPE_UNSIGNED_SHORT: "usVal",
}
