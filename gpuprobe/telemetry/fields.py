"""The fields that are sampled: each `Reading` is one call to the driver and the fields that it fills.

To sample another field, add one entry. NVML's units are converted to those in the field names.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gpuprobe.telemetry.nvml import NvmlError, ask, constant, field_values
from gpuprobe.telemetry.states import FINAL_STATES
from gpuprobe.units import MIB

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

KIB_PER_MIB = 1024
# The scope that means all links of a card together (nvml.h, NVML_FI_DEV_NVLINK_THROUGHPUT_*).
ALL_LINKS = 0xFFFFFFFF
# No card has more (nvml.h, NVML_NVLINK_MAX_LINKS is 18, doubled for cards to come).
MOST_LINKS = 36
# The largest plausible value, by the end of a field's name. A larger one means that the driver has no value (all bits
# set, in NVML's unit: 2**32 - 1 mW) or is wrong. Fans may turn faster than their rating (nvml.h,
# nvmlDeviceGetFanSpeed), and the performance monitor may pass 100 by rounding.
LARGEST_BY_NAME = {
    "utilization_percent": 100.0,
    "fan_percent": 200.0,
    "_percent": 101.0,
    "_w": 1e5,
    "_mhz": 1e5,
    "_c": 1e3,
    "_per_s": 4e6,
    "_mib": 1e12,
    "_j": 1e15,
    # nvml.h, nvmlPstates_t: 0 to 15, and 32 for unknown.
    "performance_state": 15.0,
    "throttle_reasons": 2.0**63,
}
# For any other field, which is a count.
LARGEST_COUNT = 2.0**32 - 2


@dataclass(frozen=True)
class Reading:
    """One call to the driver: the fields that its answer fills, and the function that makes it, given the GPU's handle.

    The value of a field that the card does not offer is NaN. After each call, `news` returns notices, and `more` the
    fields whose names are not known beforehand, such as those of single processes.
    """

    fields: tuple[str, ...]
    read: Callable[[Any], Sequence[float]]
    news: Callable[[], list[str]] | None = None
    more: Callable[[], dict[str, float]] | None = None


def largest_plausible(field_name: str) -> float:
    """Return the largest plausible value of a field."""
    return next(
        (largest for name_ending, largest in LARGEST_BY_NAME.items() if field_name.endswith(name_ending)), LARGEST_COUNT
    )


def fast_readings() -> list[Reading]:
    """Return the readings taken at every tick: values that change with each kernel."""
    return [
        Reading(("utilization_percent", "memory_utilization_percent"), _utilization),
        Reading(("power_w",), lambda gpu: (ask("nvmlDeviceGetPowerUsage", gpu) / 1000,)),
        Reading(("energy_j",), lambda gpu: (ask("nvmlDeviceGetTotalEnergyConsumption", gpu) / 1000,)),
        Reading(("sm_clock_mhz",), _clock("SM")),
        Reading(
            ("throttle_reasons",),
            first_supported(
                _call("nvmlDeviceGetCurrentClocksEventReasons"), _call("nvmlDeviceGetCurrentClocksThrottleReasons")
            ),
        ),
    ]


def slow_readings() -> list[Reading]:
    """Return the readings taken once a second: values that change slowly, and calls that take long."""
    return [
        Reading(
            ("memory_used_mib", "memory_free_mib", "memory_reserved_mib"),
            first_supported(_memory, _memory_of_older_drivers),
        ),
        Reading(
            ("temperature_c",),
            first_supported(
                _call("nvmlDeviceGetTemperature", "NVML_TEMPERATURE_GPU"),
                _call("nvmlDeviceGetTemperatureV", "NVML_TEMPERATURE_GPU"),
            ),
        ),
        Reading(("memory_temperature_c",), _field_values_reader(("NVML_FI_DEV_MEMORY_TEMP", 0))),
        Reading(("memory_clock_mhz",), _clock("MEM")),
        Reading(("graphics_clock_mhz",), _clock("GRAPHICS")),
        Reading(("video_clock_mhz",), _clock("VIDEO")),
        Reading(("performance_state",), _call("nvmlDeviceGetPerformanceState")),
        Reading(("power_limit_w",), lambda gpu: (ask("nvmlDeviceGetEnforcedPowerLimit", gpu) / 1000,)),
        Reading(("fan_percent",), _call("nvmlDeviceGetFanSpeed")),
        Reading(("encoder_percent",), lambda gpu: (ask("nvmlDeviceGetEncoderUtilization", gpu)[0],)),
        Reading(("decoder_percent",), lambda gpu: (ask("nvmlDeviceGetDecoderUtilization", gpu)[0],)),
        Reading(("pcie_generation",), _call("nvmlDeviceGetCurrPcieLinkGeneration")),
        Reading(("pcie_width",), _call("nvmlDeviceGetCurrPcieLinkWidth")),
        Reading(("pcie_replays",), _call("nvmlDeviceGetPcieReplayCounter")),
        Reading(("nvlink_sent_mib", "nvlink_received_mib"), _nvlink_traffic(ALL_LINKS)),
        Reading(("ecc_corrected",), _ecc_errors("CORRECTED")),
        Reading(("ecc_uncorrected",), _ecc_errors("UNCORRECTED")),
        Reading(
            ("remapped_rows_corrected", "remapped_rows_uncorrected", "remapping_pending", "remapping_failed"),
            lambda gpu: ask("nvmlDeviceGetRemappedRows", gpu)[:4],
        ),
        # Last, because the driver counts for 20 ms before each answer (nvml.h, nvmlDeviceGetPcieThroughput).
        Reading(("pcie_sent_mib_per_s",), _pcie_traffic("TX")),
        Reading(("pcie_received_mib_per_s",), _pcie_traffic("RX")),
    ]


def nvlink_readings(link_count: int) -> list[Reading]:
    """Return the reading of each NVLink's traffic, one call for all links, made once a second; none without links."""
    link_numbers = range(min(link_count, MOST_LINKS))
    if not link_numbers:
        return []
    field_names = [f"nvlink{link}_{direction}_mib" for link in link_numbers for direction in ("sent", "received")]
    return [Reading(tuple(field_names), _nvlink_traffic(*link_numbers))]


def first_supported(*calls: Callable[[Any], Sequence[Any]]) -> Callable[[Any], Sequence[Any]]:
    """Return a function that makes the first of these calls that the driver knows; the others are not tried again."""
    calls_left = list(calls)

    def read(gpu: Any) -> Sequence[Any]:
        while True:
            try:
                return calls_left[0](gpu)
            except NvmlError as error:
                if len(calls_left) == 1 or error.state not in FINAL_STATES:
                    raise
                calls_left.pop(0)

    return read


def _utilization(gpu: Any) -> Sequence[float]:
    rates = ask("nvmlDeviceGetUtilizationRates", gpu)
    return rates.gpu, rates.memory


def _memory(gpu: Any) -> Sequence[float]:
    memory = ask("nvmlDeviceGetMemoryInfo", gpu, constant("nvmlMemory_v2"))
    return memory.used / MIB, memory.free / MIB, memory.reserved / MIB


def _memory_of_older_drivers(gpu: Any) -> Sequence[float]:
    memory = ask("nvmlDeviceGetMemoryInfo", gpu)
    return memory.used / MIB, memory.free / MIB, math.nan


def _call(nvml_call: str, *constants: str) -> Callable[[Any], Sequence[float]]:
    constant_values = tuple(map(constant, constants))
    return lambda gpu: (ask(nvml_call, gpu, *constant_values),)


def _clock(kind: str) -> Callable[[Any], Sequence[float]]:
    return _call("nvmlDeviceGetClockInfo", f"NVML_CLOCK_{kind}")


def _ecc_errors(kind: str) -> Callable[[Any], Sequence[float]]:
    return _call("nvmlDeviceGetTotalEccErrors", f"NVML_MEMORY_ERROR_TYPE_{kind}", "NVML_VOLATILE_ECC")


def _pcie_traffic(direction: str) -> Callable[[Any], Sequence[float]]:
    counter = constant(f"NVML_PCIE_UTIL_{direction}_BYTES")
    return lambda gpu: (ask("nvmlDeviceGetPcieThroughput", gpu, counter) / KIB_PER_MIB,)


def _nvlink_traffic(*scopes: int) -> Callable[[Any], Sequence[float]]:
    """Return a function that reads the MiB sent and received by each scope, by counters in KiB or in bytes."""
    return first_supported(
        _field_values_reader(
            *_both_directions("THROUGHPUT_DATA_TX", "THROUGHPUT_DATA_RX", scopes), scale=1 / KIB_PER_MIB
        ),
        _field_values_reader(*_both_directions("COUNT_XMIT_BYTES", "COUNT_RCV_BYTES", scopes), scale=1 / MIB),
    )


def _both_directions(sent: str, received: str, scopes: Sequence[int]) -> list[tuple[str, int]]:
    return [(f"NVML_FI_DEV_NVLINK_{counter}", scope) for scope in scopes for counter in (sent, received)]


def _field_values_reader(*fields: tuple[str, int], scale: float = 1.0) -> Callable[[Any], Sequence[float]]:
    return lambda gpu: [field_value * scale for field_value in field_values(gpu, fields)]
