"""The boundary to NVIDIA's driver: the only file that imports pynvml. Its errors become named states (see `states`).

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


# A larger count of GPUs is an error of the driver.
MOST_GPUS = 256


class NvmlError(Exception):
    """A call to the driver failed: its state and the reason in one line."""

    def __init__(self, state: str, words: str) -> None:
        super().__init__(words)
        self.state = state


def ask(call: str, *arguments: Any) -> Any:
    """Call a function of pynvml by name. Raises NvmlError, and no other error, where that fails."""
    try:
        return getattr(pynvml, call)(*arguments)
    except pynvml.NVMLError as error:
        state, words = _ERRORS.get(error.value, ("unreadable", f"{error} (NVML error {error.value})"))
        raise NvmlError(state, words) from error
    except (AttributeError, pynvml.NVMLLibraryMismatchError) as error:
        raise NvmlError("not_known", f"this nvidia-ml-py does not know the call ({error})") from error
    except UnicodeDecodeError as error:
        # pynvml decodes strictly, and names from some makers of boards are no UTF-8.
        return error.object.decode(errors="replace")
    except (ArithmeticError, LookupError, TypeError, ValueError) as error:
        raise NvmlError("unreadable", f"the driver's answer makes no sense ({error})") from error


def constant(name: str) -> int:
    """Return an NVML constant by its name."""
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
    """Return the versions of the driver and of the newest CUDA that it supports (`12.4`); empty where not given."""
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
    """Return the driver's bytes as text, with undecodable bytes replaced."""
    return visible(value.decode(errors="replace") if isinstance(value, bytes) else value)


def field_values(gpu: Any, fields: Sequence[tuple[str, int]]) -> list[float]:
    """Return values of `nvmlDeviceGetFieldValues`, each requested by the name of its constant and its scope.

    NaN where single values are refused; raises NvmlError where all are.
    """
    values = ask("nvmlDeviceGetFieldValues", gpu, [(constant(name), scope) for name, scope in fields])
    if all(field.nvmlReturn for field in values):
        # A field's return code is checked as pynvml checks that of a call.
        ask("_nvmlCheckReturn", values[0].nvmlReturn)
    return [math.nan if field.nvmlReturn else number(field.valueType, field.value) for field in values]


def number(kind: int, union: Any) -> float:
    """Return the number in NVML's value union, by its type."""
    member = _MEMBERS.get(kind)
    if member is None:
        raise NvmlError("not_known", f"the driver gave a value of the unknown type {kind}")
    return float(getattr(union, member))


def vgpu_memory(vgpu: int) -> int:
    """Return the bytes of memory that a virtual GPU uses. Raises NvmlError.

    pynvml's own wrapper truncates the 64 bits of nvml.h (nvmlVgpuInstanceGetFbUsage) to 32.
    """
    used = ctypes.c_ulonglong()
    ask("_nvmlCheckReturn", ask("_nvmlGetFunctionPointer", "nvmlVgpuInstanceGetFbUsage")(vgpu, ctypes.byref(used)))
    return used.value


def gpm_sample(gpu: Any, instance: int | None = None) -> Any:
    """Take a sample of the performance monitor of a GPU, or of its MIG instance `instance`. Raises NvmlError.

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
    """Free a sample."""
    ask("nvmlGpmSampleFree", sample)


def gpm_supported(gpu: Any) -> bool:
    """Whether the GPU has the performance monitor (Hopper and newer). Raises NvmlError."""
    return bool(ask("nvmlGpmQueryDeviceSupport", gpu).isSupportedDevice)


def gpm_between(first: Any, second: Any, metrics: tuple[str, ...]) -> list[float]:
    """Return metrics, by the names of their constants, over the time between two samples; NaN where not offered."""
    wanted = pynvml.c_nvmlGpmMetricsGet_t()
    wanted.version = pynvml.NVML_GPM_METRICS_GET_VERSION
    wanted.numMetrics = len(metrics)
    wanted.sample1, wanted.sample2 = first, second
    for place, name in enumerate(metrics):
        wanted.metrics[place].metricId = constant(name)
    ask("nvmlGpmMetricsGet", wanted)
    metrics_read = [wanted.metrics[place] for place in range(len(metrics))]
    return [float("nan") if metric.nvmlReturn else float(metric.value) for metric in metrics_read]


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
    # Either the card lacks a sensor, or the handle is that of a lost card: the caller decides which.
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
