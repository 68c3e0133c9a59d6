"""What a recording says about a stretch of time: figures with their unit, source and count, or why they are missing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gpuprobe.records import Record, Signal

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from gpuprobe.telemetry.recording import Telemetry

NS = 1e9
# Clocks held down by heat or power (nvml.h, nvmlClocksEventReasons*): software power cap 0x4, hardware slowdown
# 0x8, software thermal 0x20, hardware thermal 0x40, hardware power brake 0x80.
THROTTLED = 0x4 | 0x8 | 0x20 | 0x40 | 0x80


class TelemetrySummary(Record, frozen=True, kw_only=True):
    """One stretch of a recording; `gpus` holds the signals of each GPU, `said` what was said in words then."""

    duration_s: float
    host: tuple[Signal, ...]
    gpus: tuple[tuple[Signal, ...], ...] = ()
    said: tuple[str, ...] = ()

    def signal(self, name: str, gpu: int | None = None) -> Signal | None:
        """Return a signal of the host, or of the GPU of that place, by its name."""
        if gpu is not None and gpu >= len(self.gpus):
            return None
        signals = self.host if gpu is None else self.gpus[gpu]
        return next((signal for signal in signals if signal.name == name), None)


def summarize(telemetry: Telemetry, start_ns: int, end_ns: int) -> TelemetrySummary:
    """Summarise from `start_ns` to `end_ns`. Levels are weighted by time; counters are differences of two readings."""
    window = _Window(telemetry, start_ns, end_ns)
    cores = [name for name in telemetry.columns if name.startswith("core")]
    busiest = [signal.value for name in cores if isinstance((signal := window.rate(name, "cores")).value, float)]
    host = [
        window.rate("tree_cpu_s", "cores", name="cpu_cores"),
        Signal(name="cpu_busiest_core", unit="cores", source="psutil", value=max(busiest, default=None)),
        window.level("tree_memory_mib", "MiB", "psutil", name="host_memory_mib"),
        window.rate("iowait_s", "cores", name="iowait_cores"),
        window.rate("disk_read_mib", "MiB/s", name="disk_read_mib_per_s"),
        window.rate("disk_written_mib", "MiB/s", name="disk_written_mib_per_s"),
        window.rate("network_received_mib", "MiB/s", name="network_received_mib_per_s"),
        window.rate("network_sent_mib", "MiB/s", name="network_sent_mib_per_s"),
    ]
    said = tuple(words for t_ns, words in telemetry.said if t_ns <= end_ns)
    gpus = tuple(_gpu(window, number) for number in telemetry.gpus)
    return TelemetrySummary(duration_s=(end_ns - start_ns) / NS, host=tuple(host), gpus=gpus, said=said)


def _gpu(window: _Window, number: int) -> tuple[Signal, ...]:
    source, prefix = "NVML", f"gpu{number}_"
    levels = {
        "utilization_percent": "%",
        "memory_utilization_percent": "%",
        "power_w": "W",
        "sm_clock_mhz": "MHz",
        "memory_clock_mhz": "MHz",
        "memory_used_mib": "MiB",
        "temperature_c": "deg C",
    }
    signals = [window.level(prefix + name, unit, source, name=name) for name, unit in levels.items()]
    return (*signals, window.throttled(prefix), window.energy(prefix))


class _Window:
    def __init__(self, telemetry: Telemetry, start_ns: int, end_ns: int) -> None:
        self._telemetry, self._start_ns, self._end_ns = telemetry, start_ns, end_ns

    def level(self, column: str, unit: str, source: str, *, name: str) -> Signal:
        """Mean weighted by time, p5 and p95 as `low` and `high` of a quantity that goes up and down."""
        times, values = self._inside(column)
        if not len(values):
            return self._missing(name, unit, source, column)
        weights = np.diff(np.append(times, self._end_ns)).clip(0) if len(times) > 1 else np.ones(1)
        mean = float(np.average(values, weights=weights if weights.sum() else None))
        low, high = (float(value) for value in np.percentile(values, (5, 95)))
        return Signal(name=name, unit=unit, source=source, value=mean, low=low, high=high, n=len(values))

    def rate(self, column: str, unit: str, name: str | None = None) -> Signal:
        """Mean rate of a counter: its growth between the readings next to the edges, over the time between them."""
        name = name or column
        times, values = self._telemetry.series(column)
        first, last = self._nearest(times, self._start_ns), self._nearest(times, self._end_ns)
        if first is None or last is None or times[last] <= times[first]:
            return self._missing(name, unit, "psutil", column)
        rate = (values[last] - values[first]) / ((times[last] - times[first]) / NS)
        return Signal(name=name, unit=unit, source="psutil", value=float(rate), n=int(last - first + 1))

    def throttled(self, prefix: str) -> Signal:
        """Share of the readings in which heat or power held the clocks down."""
        _, values = self._inside(prefix + "throttle_reasons")
        if not len(values):
            return self._missing("throttled_fraction", "1", "NVML", prefix + "throttle_reasons")
        held = (values.astype(np.int64) & THROTTLED) != 0
        return Signal(name="throttled_fraction", unit="1", source="NVML", value=float(held.mean()), n=len(values))

    def energy(self, prefix: str) -> Signal:
        """Energy in joules: by the card's counter scaled to the window, else the power integrated by trapezoids."""
        duration_s = (self._end_ns - self._start_ns) / NS
        counted = self.rate(prefix + "energy_j", "W", "energy_j")
        if isinstance(counted.value, float):
            value = counted.value * duration_s
            return Signal(name="energy_j", unit="J", source="NVML energy counter", value=value, n=counted.n)
        times, watts = self._inside(prefix + "power_w")
        if len(watts) < 2:
            return self._missing("energy_j", "J", "NVML", prefix + "power_w")
        seconds = times / NS - times[0] / NS
        mean = float(np.sum((watts[1:] + watts[:-1]) / 2 * np.diff(seconds)) / (seconds[-1] - seconds[0]))
        source = "NVML power, integrated over time"
        return Signal(name="energy_j", unit="J", source=source, value=mean * duration_s, n=len(watts))

    def _inside(self, column: str) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        times, values = self._telemetry.series(column)
        inside = (times >= self._start_ns) & (times <= self._end_ns)
        return times[inside], values[inside]

    @staticmethod
    def _nearest(times: NDArray[np.int64], t_ns: int) -> int | None:
        return int(np.abs(times - t_ns).argmin()) if len(times) else None

    def _missing(self, name: str, unit: str, source: str, column: str) -> Signal:
        reasons = [
            words for _, words in self._telemetry.said if column.replace("_", ".", 1) in words or "no GPU" in words
        ]
        return Signal(
            name=name, unit=unit, source=source, missing=reasons[0] if reasons else "nothing was read in time"
        )
