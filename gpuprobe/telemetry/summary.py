"""Summarises an interval of a recording into signals, each with unit, source and count, or why it is missing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gpuprobe.records import Record, Signal
from gpuprobe.telemetry import windows
from gpuprobe.telemetry.gaps import Gap, gaps_of
from gpuprobe.telemetry.matching import gpu_at_bus
from gpuprobe.telemetry.signals import (
    GPU_COUNTS_IF_READ,
    GPU_LEVELS,
    GPU_LEVELS_IF_READ,
    GPU_RATES_IF_READ,
    MIG_LEVEL,
    THROTTLE_REASONS,
    THROTTLED_MASK,
)
from gpuprobe.units import NS_PER_S

if TYPE_CHECKING:
    from gpuprobe.telemetry.recording import Telemetry

# Below this covered share of the window its energy is not given.
ENOUGH_COVERED = 0.9


class TelemetrySummary(Record, frozen=True, kw_only=True):
    """The summary of an interval; `gpus` holds the signals of each GPU, `said` the notices up to its end."""

    duration_s: float
    host: tuple[Signal, ...]
    gpus: tuple[tuple[Signal, ...], ...] = ()
    said: tuple[str, ...] = ()
    gaps: tuple[Gap, ...] = ()

    def signal(self, name: str, gpu: int | None = None) -> Signal | None:
        """Return a signal by name, of the host or of the GPU at that index in `gpus`."""
        if gpu is not None and gpu >= len(self.gpus):
            return None
        signals = self.host if gpu is None else self.gpus[gpu]
        return next((signal for signal in signals if signal.name == name), None)


def summarize(telemetry: Telemetry, start_ns: int, end_ns: int, *, gpu_pci_bus_id: str = "") -> TelemetrySummary:
    """Summarise from `start_ns` to `end_ns`. Levels are weighted by time; counters are differences of two readings.

    The GPU at `gpu_pci_bus_id`, if given and found, comes first, whatever number the driver gives it.
    """
    window = _WindowSummary(telemetry, start_ns, end_ns)
    used_gpu = gpu_at_bus(gpu_pci_bus_id, telemetry.facts)
    gpu_numbers = sorted(telemetry.gpus, key=lambda gpu_number: gpu_number != used_gpu)
    return TelemetrySummary(
        duration_s=(end_ns - start_ns) / NS_PER_S,
        host=window.host(),
        gpus=tuple(window.gpu(f"gpu{gpu_number}_") for gpu_number in gpu_numbers),
        said=tuple(str(notice) for notice in telemetry.states if notice.t_ns <= end_ns),
        gaps=tuple(
            gap
            for device in ("host", *(f"gpu{gpu_index}" for gpu_index in telemetry.gpus))
            for gap in gaps_of(telemetry, device, start_ns, end_ns)
        ),
    )


class _WindowSummary:
    def __init__(self, telemetry: Telemetry, start_ns: int, end_ns: int) -> None:
        self._telemetry, self._start_ns, self._end_ns = telemetry, start_ns, end_ns
        self._source = telemetry.source

    def host(self) -> tuple[Signal, ...]:
        core_columns = [column for column in self._telemetry.columns if column.startswith("core")]
        core_rates = [
            signal.value for column in core_columns if isinstance((signal := self._rate(column, "cores")).value, float)
        ]
        return (
            self._rate("tree_cpu_s", "cores", "cpu_cores"),
            Signal(name="cpu_busiest_core", unit="cores", source="psutil", value=max(core_rates, default=None)),
            self._level("tree_memory_mib", "MiB", "psutil", "host_memory_mib"),
            self._rate("iowait_s", "cores", "iowait_cores"),
            self._rate("disk_read_mib", "MiB/s", "disk_read_mib_per_s"),
            self._rate("disk_written_mib", "MiB/s", "disk_written_mib_per_s"),
            self._rate("network_received_mib", "MiB/s", "network_received_mib_per_s"),
            self._rate("network_sent_mib", "MiB/s", "network_sent_mib_per_s"),
            *self._if_read("tree_threads", "", "host_threads"),
            *self._if_read("tree_processes", "", "host_processes"),
            *self._if_read("run_queue", ""),
            *self._if_read("memory_available_mib", "MiB"),
            *self._if_read("swap_used_mib", "MiB"),
            *self._rate_if_read("swap_in_mib", "MiB/s", "swap_in_mib_per_s"),
            *self._rate_if_read("swap_out_mib", "MiB/s", "swap_out_mib_per_s"),
            *self._rate_if_read("tree_major_faults", "1/s", "major_faults_per_s"),
            *self._rate_if_read("tree_minor_faults", "1/s", "minor_faults_per_s"),
            *self._rate_if_read("cgroup_throttled_s", "1", "cgroup_throttled_fraction"),
            *(self._fact(column, unit) for column, unit in (("cgroup_cpu_limit", "cores"),) if self._has_fact(column)),
        )

    def gpu(self, prefix: str) -> tuple[Signal, ...]:
        columns_read = self._telemetry.columns
        optional_units = {field: unit for field, unit in GPU_LEVELS_IF_READ.items() if prefix + field in columns_read}
        mig_fields = (field for column in columns_read if MIG_LEVEL.fullmatch(field := column.removeprefix(prefix)))
        optional_units |= {field: "%" if field.endswith("_percent") else "MiB" for field in mig_fields}
        rates = {field: rate for field, rate in GPU_RATES_IF_READ.items() if prefix + field in columns_read}
        return (
            *(self._level(prefix + field, unit, self._source, field) for field, unit in GPU_LEVELS.items()),
            *self._throttled(prefix),
            self._energy(prefix),
            *self._memory(prefix),
            *(self._level(prefix + field, unit, self._source, field) for field, unit in optional_units.items()),
            *(self._rate(prefix + field, "MiB/s", rate, self._source) for field, rate in rates.items()),
            *(self._most(prefix + field, field) for field in GPU_COUNTS_IF_READ if prefix + field in columns_read),
        )

    def _level(self, column: str, unit: str, source: str, name: str) -> Signal:
        """Return the mean, p5, p50 and p95 of a level, all weighted by time."""
        held = self._held(column)
        if not len(held.values):
            return self._missing(name, unit, source, column)
        p5, median, p95 = (held.quantile(fraction) for fraction in (0.05, 0.5, 0.95))
        return Signal(
            name=name,
            unit=unit,
            source=source,
            value=held.mean(),
            low=p5,
            median=median,
            high=p95,
            n=len(held.values),
        )

    def _if_read(self, column: str, unit: str, name: str | None = None) -> tuple[Signal, ...]:
        return (self._level(column, unit, "psutil", name or column),) if column in self._telemetry.columns else ()

    def _rate(self, column: str, unit: str, name: str | None = None, source: str = "psutil") -> Signal:
        """Return the mean rate of a counter, between the readings nearest to the window's edges."""
        name = name or column
        grown, seconds, readings = windows.growth(*self._telemetry.series(column), self._start_ns, self._end_ns)
        if seconds <= 0:
            return self._missing(name, unit, source, column)
        return Signal(name=name, unit=unit, source=source, value=grown / seconds, n=readings)

    def _rate_if_read(self, column: str, unit: str, name: str) -> tuple[Signal, ...]:
        return (self._rate(column, unit, name),) if column in self._telemetry.columns else ()

    def _most(self, column: str, name: str) -> Signal:
        held = self._held(column)
        if not len(held.values):
            return self._missing(name, "", self._source, column)
        return Signal(name=name, unit="", source=self._source, value=float(held.values.max()), n=len(held.values))

    def _throttled(self, prefix: str) -> list[Signal]:
        """Return the share of the time with clocks reduced by heat or power, and that of each reason that occurred."""
        held = self._held(prefix + "throttle_reasons")
        if not len(held.values):
            return [self._missing("throttled_fraction", "1", self._source, prefix + "throttle_reasons")]
        reason_masks = held.values.astype(np.int64)

        def share(name: str, mask: int) -> Signal:
            reason_held = windows.Held(((reason_masks & mask) != 0).astype(np.float64), held.weights_ns, held.gaps)
            return Signal(name=name, unit="1", source=self._source, value=reason_held.mean(), n=len(reason_masks))

        reason_signals = [share(f"throttled_by.{name}", mask) for name, mask in THROTTLE_REASONS.items()]
        return [share("throttled_fraction", THROTTLED_MASK), *(signal for signal in reason_signals if signal.value)]

    def _energy(self, prefix: str) -> Signal:
        """Return the energy in joules.

        It is from the card's counter, scaled to the window, else from power integrated by trapezoids.
        """
        duration_s = (self._end_ns - self._start_ns) / NS_PER_S
        counter = self._telemetry.series(prefix + "energy_j")
        counted_j, counted_s, readings = windows.growth(*counter, self._start_ns, self._end_ns)
        if counted_s > 0 and counted_s >= ENOUGH_COVERED * duration_s:
            window_j = counted_j / counted_s * duration_s
            source = f"{self._source} energy counter"
            return Signal(name="energy_j", unit="J", source=source, value=window_j, n=readings)
        power_times, watts = self._telemetry.series(prefix + "power_w")
        joules, covered_s = windows.trapezoid(power_times, watts, self._start_ns, self._end_ns)
        source = f"{self._source} power, integrated over time"
        if covered_s <= 0:
            return self._missing("energy_j", "J", self._source, prefix + "power_w")
        if covered_s < ENOUGH_COVERED * duration_s:
            too_short = f"the power was read in only {100 * covered_s / duration_s:.0f} % of the time"
            return Signal(name="energy_j", unit="J", source=source, missing=too_short)
        readings_inside = int(((power_times >= self._start_ns) & (power_times <= self._end_ns)).sum())
        return Signal(
            name="energy_j", unit="J", source=source, value=joules / covered_s * duration_s, n=readings_inside
        )

    def _memory(self, prefix: str) -> list[Signal]:
        """Return the largest memory in use, and the memory that was free at that moment."""
        memory_used, memory_free = self._held(prefix + "memory_used_mib"), self._held(prefix + "memory_free_mib")
        if not len(memory_used.values):
            return []
        peak_mib = float(memory_used.values.max())
        signals = [
            Signal(name="memory_peak_mib", unit="MiB", source=self._source, value=peak_mib, n=len(memory_used.values))
        ]
        total_mib = self._telemetry.facts.get(prefix[:-1], {}).get("memory_total_mib")
        headroom_mib = (
            float(memory_free.values.min())
            if len(memory_free.values)
            else float(total_mib) - peak_mib
            if total_mib
            else None
        )
        if headroom_mib is not None:
            signals.append(
                Signal(
                    name="memory_headroom_mib",
                    unit="MiB",
                    source=self._source,
                    value=headroom_mib,
                    n=len(memory_used.values),
                )
            )
        return signals

    def _held(self, column: str) -> windows.Held:
        return windows.hold_readings(*self._telemetry.series(column), self._start_ns, self._end_ns)

    def _has_fact(self, name: str) -> bool:
        return name in self._telemetry.facts.get("host", {})

    def _fact(self, name: str, unit: str) -> Signal:
        return Signal(name=name, unit=unit, source="cgroup", value=float(self._telemetry.facts["host"][name]))

    def _missing(self, name: str, unit: str, source: str, column: str) -> Signal:
        default_reason = "nothing was read in time" if self._source == "NVML" else f"the log of {self._source} lacks it"
        reason = self._telemetry.why_missing(column) or default_reason
        return Signal(name=name, unit=unit, source=source, missing=reason)
