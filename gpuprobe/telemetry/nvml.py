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

    def __init__(self, state: str, reason: str) -> None:
        super().__init__(reason)
        self.state = state


def ask(function: str, *arguments: Any) -> Any:
    """Call a function of pynvml by name. Raises NvmlError, and no other error, where that fails."""
    try:
        return getattr(pynvml, function)(*arguments)
    except pynvml.NVMLError as error:
        state, reason = _STATE_BY_ERROR.get(error.value, ("unreadable", f"{error} (NVML error {error.value})"))
        raise NvmlError(state, reason) from error
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
    gpu_count = int(ask("nvmlDeviceGetCount"))
    if gpu_count == 0:
        raise NvmlError("no_device", "the NVIDIA driver is loaded but sees no GPU")
    if gpu_count > MOST_GPUS:
        raise NvmlError("unreadable", f"the driver counts {gpu_count} GPUs, which is not plausible")
    return gpu_count


def versions() -> tuple[str, str]:
    """Return the versions of the driver and of the newest CUDA that it supports (`12.4`); empty where not given."""
    try:
        cuda = int(ask("nvmlSystemGetCudaDriverVersion"))
        cuda_version = f"{cuda // 1000}.{cuda % 1000 // 10}"
    except NvmlError:
        cuda_version = ""
    try:
        return as_text(ask("nvmlSystemGetDriverVersion")), cuda_version
    except NvmlError:
        return "", cuda_version


def as_text(driver_text: str | bytes) -> str:
    """Return the driver's bytes as text, with undecodable bytes replaced."""
    return visible(driver_text.decode(errors="replace") if isinstance(driver_text, bytes) else driver_text)


def field_values(gpu: Any, fields: Sequence[tuple[str, int]]) -> list[float]:
    """Return values of `nvmlDeviceGetFieldValues`, each requested by the name of its constant and its scope.

    NaN where single values are refused; raises NvmlError where all are.
    """
    answered_fields = ask("nvmlDeviceGetFieldValues", gpu, [(constant(name), scope) for name, scope in fields])
    if all(answered_field.nvmlReturn for answered_field in answered_fields):
        # A field's return code is checked as pynvml checks that of a call.
        ask("_nvmlCheckReturn", answered_fields[0].nvmlReturn)
    return [
        math.nan if answered_field.nvmlReturn else number_in_union(answered_field.valueType, answered_field.value)
        for answered_field in answered_fields
    ]


def number_in_union(value_type: int, union: Any) -> float:
    """Return the number in NVML's value union, by its type. Raises NvmlError where the type is not known."""
    union_member = _MEMBER_BY_TYPE.get(value_type)
    if union_member is None:
        raise NvmlError("not_known", f"the driver gave a value of the unknown type {value_type}")
    return float(getattr(union, union_member))


def vgpu_memory(vgpu: int) -> int:
    """Return the bytes of memory that a virtual GPU uses. Raises NvmlError.

    pynvml's own wrapper truncates the 64 bits of nvml.h (nvmlVgpuInstanceGetFbUsage) to 32.
    """
    used_bytes = ctypes.c_ulonglong()
    ask(
        "_nvmlCheckReturn", ask("_nvmlGetFunctionPointer", "nvmlVgpuInstanceGetFbUsage")(vgpu, ctypes.byref(used_bytes))
    )
    return used_bytes.value


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


def gpm_between(first_sample: Any, second_sample: Any, metrics: tuple[str, ...]) -> list[float]:
    """Return metrics, by the names of their constants, over the time between two samples; NaN where not offered."""
    metrics_query = pynvml.c_nvmlGpmMetricsGet_t()
    metrics_query.version = pynvml.NVML_GPM_METRICS_GET_VERSION
    metrics_query.numMetrics = len(metrics)
    metrics_query.sample1, metrics_query.sample2 = first_sample, second_sample
    for metric_index, metric_constant in enumerate(metrics):
        metrics_query.metrics[metric_index].metricId = constant(metric_constant)
    ask("nvmlGpmMetricsGet", metrics_query)
    metrics_read = [metrics_query.metrics[metric_index] for metric_index in range(len(metrics))]
    return [float("nan") if metric.nvmlReturn else float(metric.value) for metric in metrics_read]


_STATE_BY_ERROR = {
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
_MEMBER_BY_TYPE = {
    pynvml.NVML_VALUE_TYPE_DOUBLE: "dVal",
    pynvml.NVML_VALUE_TYPE_UNSIGNED_INT: "uiVal",
    pynvml.NVML_VALUE_TYPE_UNSIGNED_LONG: "ulVal",
    pynvml.NVML_VALUE_TYPE_UNSIGNED_LONG_LONG: "ullVal",
    pynvml.NVML_VALUE_TYPE_SIGNED_LONG_LONG: "sllVal",
    pynvml.NVML_VALUE_TYPE_SIGNED_INT: "siVal",
    pynvml.NVML_VALUE_TYPE_UNSIGNED_SHORT: "usVal",
}
