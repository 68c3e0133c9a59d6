"""Summarises a stretch of a recording into signals: each a figure with unit, source and count, or why it is missing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gpuprobe.records import Record, Signal
from gpuprobe.telemetry import windows
from gpuprobe.telemetry.matching import by_bus
from gpuprobe.telemetry.signals import (
    GPU_COUNTS_IF_READ,
    GPU_LEVELS,
    GPU_LEVELS_IF_READ,
    GPU_RATES_IF_READ,
    MIG_LEVEL,
    THROTTLE_REASONS,
    THROTTLED,
)
from gpuprobe.units import NS_PER_S

if TYPE_CHECKING:
    from gpuprobe.telemetry.recording import Telemetry

# Below this covered share of the window its energy is not given.
ENOUGH_COVERED = 0.9
# A notice up to this long before a gap may be its reason: a driver counts as hung after 2 s.
REASON_BEFORE_NS = 4_000_000_000


class Gap(Record, frozen=True, kw_only=True):
    """A stretch of the window without readings of `where` (`host`, `gpu0`, ...), and the reason."""

    where: str
    start_ns: int
    end_ns: int
    reason: str


class TelemetrySummary(Record, frozen=True, kw_only=True):
    """The summary of a stretch; `gpus` holds the signals of each GPU, `said` the notices up to its end."""

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

    The GPU at `gpu_pci_bus_id`, if given and found, comes first, whatever its number by the driver.
    """
    window = _Window(telemetry, start_ns, end_ns)
    used = by_bus(gpu_pci_bus_id, telemetry.facts)
    numbers = sorted(telemetry.gpus, key=lambda number: number != used)
    return TelemetrySummary(
        duration_s=(end_ns - start_ns) / NS_PER_S,
        host=window.host(),
        gpus=tuple(window.gpu(f"gpu{number}_") for number in numbers),
        said=tuple(str(said) for said in telemetry.states if said.t_ns <= end_ns),
        gaps=tuple(gap for where in ("host", *(f"gpu{n}" for n in telemetry.gpus)) for gap in window.gaps(where)),
    )


class _Window:
    def __init__(self, telemetry: Telemetry, start_ns: int, end_ns: int) -> None:
        self._telemetry, self._start_ns, self._end_ns = telemetry, start_ns, end_ns
        self._source = telemetry.source

    def host(self) -> tuple[Signal, ...]:
        cores = [name for name in self._telemetry.columns if name.startswith("core")]
        busiest = [signal.value for name in cores if isinstance((signal := self._rate(name, "cores")).value, float)]
        return (
            self._rate("tree_cpu_s", "cores", "cpu_cores"),
            Signal(name="cpu_busiest_core", unit="cores", source="psutil", value=max(busiest, default=None)),
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
            *(self._fact(name, unit) for name, unit in (("cgroup_cpu_limit", "cores"),) if self._has_fact(name)),
        )

    def gpu(self, prefix: str) -> tuple[Signal, ...]:
        read = self._telemetry.columns
        optional = {name: unit for name, unit in GPU_LEVELS_IF_READ.items() if prefix + name in read}
        parts = (name for column in read if MIG_LEVEL.fullmatch(name := column.removeprefix(prefix)))
        optional |= {name: "%" if name.endswith("_percent") else "MiB" for name in parts}
        rates = {name: rate for name, rate in GPU_RATES_IF_READ.items() if prefix + name in read}
        return (
            *(self._level(prefix + name, unit, self._source, name) for name, unit in GPU_LEVELS.items()),
            *self._throttled(prefix),
            self._energy(prefix),
            *self._memory(prefix),
            *(self._level(prefix + name, unit, self._source, name) for name, unit in optional.items()),
            *(self._rate(prefix + name, "MiB/s", rate, self._source) for name, rate in rates.items()),
            *(self._most(prefix + name, name) for name in GPU_COUNTS_IF_READ if prefix + name in read),
        )

    def gaps(self, where: str) -> list[Gap]:
        """Return the stretches in which the most frequent field of the host, or of one GPU, was not read."""
        ours = [
            name
            for name in self._telemetry.columns
            if (name.startswith(f"{where}_") if where != "host" else not name.startswith("gpu"))
            # The driver's buffered samples go on while the sampler is blocked, so they do not count.
            and "_buffer_" not in name
        ]
        if not ours:
            return []
        times, _ = max((self._telemetry.series(name) for name in ours), key=lambda series: len(series[0]))
        held = windows.hold(times, np.zeros(len(times)), self._start_ns, self._end_ns)
        return [Gap(where=where, start_ns=a, end_ns=b, reason=self._reason(where, a, b)) for a, b in held.gaps]

    def _reason(self, where: str, start_ns: int, end_ns: int) -> str:
        near = [
            notice
            for notice in self._telemetry.states
            if notice.where in {where, "driver"} and notice.state != "back" and notice.t_ns <= end_ns
        ]
        within = [notice for notice in near if notice.t_ns >= start_ns - REASON_BEFORE_NS]
        if within or (near and not self._is_back(where, near[-1].t_ns, start_ns)):
            return str((within or near)[-1])
        return "nothing was read: the sampler did not run, or not in time"

    def _is_back(self, where: str, since_ns: int, until_ns: int) -> bool:
        return any(
            notice.where == where and notice.state == "back" and since_ns <= notice.t_ns <= until_ns
            for notice in self._telemetry.states
        )

    def _level(self, column: str, unit: str, source: str, name: str) -> Signal:
        """Return the mean, p5, p50 and p95 of a level, all weighted by time."""
        held = self._held(column)
        if not len(held.values):
            return self._missing(name, unit, source, column)
        low, median, high = (held.quantile(fraction) for fraction in (0.05, 0.5, 0.95))
        return Signal(
            name=name,
            unit=unit,
            source=source,
            value=held.mean(),
            low=low,
            median=median,
            high=high,
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
        reasons = held.values.astype(np.int64)

        def share(name: str, mask: int) -> Signal:
            hit = windows.Held(((reasons & mask) != 0).astype(np.float64), held.weights_ns, held.gaps)
            return Signal(name=name, unit="1", source=self._source, value=hit.mean(), n=len(reasons))

        by_reason = [share(f"throttled_by.{name}", mask) for name, mask in THROTTLE_REASONS.items()]
        return [share("throttled_fraction", THROTTLED), *(signal for signal in by_reason if signal.value)]

    def _energy(self, prefix: str) -> Signal:
        """Return the energy in joules.

        It is from the card's counter, scaled to the window, else from power integrated by trapezoids.
        """
        duration_s = (self._end_ns - self._start_ns) / NS_PER_S
        counter = self._telemetry.series(prefix + "energy_j")
        counted_j, counted_s, readings = windows.growth(*counter, self._start_ns, self._end_ns)
        if counted_s > 0 and counted_s >= ENOUGH_COVERED * duration_s:
            value = counted_j / counted_s * duration_s
            source = f"{self._source} energy counter"
            return Signal(name="energy_j", unit="J", source=source, value=value, n=readings)
        times, watts = self._telemetry.series(prefix + "power_w")
        joules, covered_s = windows.trapezoid(times, watts, self._start_ns, self._end_ns)
        source = f"{self._source} power, integrated over time"
        if covered_s <= 0:
            return self._missing("energy_j", "J", self._source, prefix + "power_w")
        if covered_s < ENOUGH_COVERED * duration_s:
            missing = f"the power was read in only {100 * covered_s / duration_s:.0f} % of the time"
            return Signal(name="energy_j", unit="J", source=source, missing=missing)
        inside = int(((times >= self._start_ns) & (times <= self._end_ns)).sum())
        return Signal(name="energy_j", unit="J", source=source, value=joules / covered_s * duration_s, n=inside)

    def _memory(self, prefix: str) -> list[Signal]:
        """Return the largest memory in use, and the memory that was free at that moment."""
        used, free = self._held(prefix + "memory_used_mib"), self._held(prefix + "memory_free_mib")
        if not len(used.values):
            return []
        peak = float(used.values.max())
        signals = [Signal(name="memory_peak_mib", unit="MiB", source=self._source, value=peak, n=len(used.values))]
        total = self._telemetry.facts.get(prefix[:-1], {}).get("memory_total_mib")
        left = float(free.values.min()) if len(free.values) else float(total) - peak if total else None
        if left is not None:
            signals.append(
                Signal(name="memory_headroom_mib", unit="MiB", source=self._source, value=left, n=len(used.values))
            )
        return signals

    def _held(self, column: str) -> windows.Held:
        return windows.hold(*self._telemetry.series(column), self._start_ns, self._end_ns)

    def _has_fact(self, name: str) -> bool:
        return name in self._telemetry.facts.get("host", {})

    def _fact(self, name: str, unit: str) -> Signal:
        return Signal(name=name, unit=unit, source="cgroup", value=float(self._telemetry.facts["host"][name]))

    def _missing(self, name: str, unit: str, source: str, column: str) -> Signal:
        otherwise = "nothing was read in time" if self._source == "NVML" else f"the log of {self._source} lacks it"
        reason = self._telemetry.why_missing(column) or otherwise
        return Signal(name=name, unit=unit, source=source, missing=reason)
