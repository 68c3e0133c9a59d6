"""Writes `telemetry.csv` as the sampler would: each column is a function of time, some with noise."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from gpuprobe.simulate.ledger import union
from gpuprobe.simulate.session import Kind, Session
from gpuprobe.telemetry.signals import THROTTLE_REASONS
from gpuprobe.telemetry.writer import Writer
from gpuprobe.units import NS_PER_S

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from gpuprobe.simulate.spec import Spec

TICK_S = 0.05
SLOW_EVERY = 10
# Power of an idle card, as a share of its limit, and its clock.
IDLE_POWER, IDLE_CLOCK = 0.12, 0.45
COOL_C, HOT_C, LIMIT_C = 42.0, 78.0, 87.0
# Cards have an energy counter from Volta on (NVML API Reference, nvmlDeviceGetTotalEnergyConsumption).
ENERGY_COUNTER_FROM = 7.0
PCIE_GENERATION, PCIE_LANES = 3.0, 16.0


def write(
    path: Path,
    start_ns: int,
    end_ns: int,
    columns: Mapping[str, Callable[[float], float]],
    facts: Mapping[str, Mapping[str, float | str]],
) -> None:
    """Write one row for each tick from `start_ns` to `end_ns`; each column is a function of seconds since the start."""
    writer = Writer(path, list(columns))
    for where, device_facts in facts.items():
        writer.facts(where, device_facts)
    for tick, t_ns in enumerate(range(start_ns, end_ns, round(TICK_S * NS_PER_S))):
        seconds = tick * TICK_S
        writer.row(t_ns, {name: column(seconds) for name, column in columns.items()}, "")


class Busy:
    """The busy share of a device over time, where a session repeats endlessly after a warm-up.

    `pauses` are when it stood still, as (seconds since the recording's start, length in seconds), sorted.
    """

    def __init__(
        self, session: Session, device: int, warmup_s: float, pauses: Sequence[tuple[float, float]] = ()
    ) -> None:
        spans = union(
            (op.start_ns, op.end_ns)
            for op in session.ops
            if session.spec.card.on_gpu and op.device == device and op.kind in {Kind.KERNEL, Kind.COLLECTIVE}
        )
        begin = spans[0][0] if spans else 0
        self._cycle_s = max(sum(session.call_ms) / 1000, 1e-9)
        edges = np.array(spans, np.float64).reshape(-1, 2) - begin
        self._edges: NDArray[np.float64] = np.minimum(edges.ravel() / NS_PER_S, self._cycle_s)
        lengths = self._edges[1::2] - self._edges[::2]
        self._done: NDArray[np.float64] = np.repeat(lengths.cumsum(), 2)
        self._done[::2] -= lengths
        self._warmup_s = warmup_s
        begins = np.array([begin for begin, _ in pauses], np.float64)
        lengths_s = np.array([length for _, length in pauses], np.float64)
        # Wall time, and time without pauses, at each begin and end of a pause.
        self._wall_s = np.stack([begins, begins + lengths_s], 1).ravel()
        self._moving_s = np.repeat(begins - (lengths_s.cumsum() - lengths_s), 2)
        self._other = session.spec.card.other_process_share

    def fraction(self, begin_s: float, end_s: float) -> float:
        """Return the share of an interval (0 to 1) in which a kernel of any process ran."""
        own = (self._until(end_s) - self._until(begin_s)) / (end_s - begin_s)
        return own + (1 - own) * self._other

    def _until(self, seconds: float) -> float:
        seconds = self._without_pauses(seconds)
        if seconds <= self._warmup_s or not len(self._edges):
            return 0.0
        cycles, rest = divmod(seconds - self._warmup_s, self._cycle_s)
        return float(cycles * self._done[-1] + np.interp(rest, self._edges, self._done))

    def _without_pauses(self, seconds: float) -> float:
        if not len(self._wall_s) or seconds <= self._wall_s[0]:
            return seconds
        if seconds >= self._wall_s[-1]:
            return float(self._moving_s[-1] + seconds - self._wall_s[-1])
        return float(np.interp(seconds, self._wall_s, self._moving_s))


class _Card:
    """NVML's readings of one GPU, as functions of the seconds since the recording's start."""

    def __init__(self, spec: Spec, index: int, busy: Busy) -> None:
        self._card, self._period_s, self._busy = spec.card, spec.recording.nvml_period_s, busy
        self._fill = min(1.0, 0.4 + 0.6 * spec.kernels.sm_fill)
        self._swing = np.random.default_rng([spec.seed, index, 7]).standard_normal(4096) * 0.02

    def load(self, seconds: float) -> float:
        """The share (0 to 1) of NVML's last whole period in which a kernel ran."""
        whole = int(seconds / self._period_s)
        return self._busy.fraction((whole - 1) * self._period_s, whole * self._period_s) if whole else 0.0

    def power_w(self, seconds: float) -> float:
        effort = self.load(seconds) * self._fill * self._card.clock_fraction**2
        level = self._card.power_limit_w * (IDLE_POWER + (1 - IDLE_POWER) * effort)
        return level * (1 + float(self._swing[int(seconds / TICK_S) % len(self._swing)]))

    def temperature_c(self, seconds: float) -> float:
        if self._card.clock_fraction < 1 and self._card.throttle_reason == "thermal":
            return LIMIT_C
        return COOL_C + (HOT_C - COOL_C) * self.power_w(seconds) / self._card.power_limit_w

    def clock_mhz(self, seconds: float) -> float:
        fraction = self._card.clock_fraction if self.load(seconds) > 0 else IDLE_CLOCK
        return round(self._card.clock_mhz * fraction)

    def throttle_reasons(self, seconds: float) -> float:
        reason = THROTTLE_REASONS["thermal" if self._card.throttle_reason == "thermal" else "power_cap"]
        return reason if self._card.clock_fraction < 1 and self.load(seconds) > 0 else 0


def gpu_columns(spec: Spec, index: int, busy: Busy) -> dict[str, Callable[[float], float]]:
    """Return NVML's columns of one GPU: utilization is the busy share of the last whole period, in whole percent."""
    card, read = spec.card, _Card(spec, index, busy)
    others_mib = card.other_process_mib if card.other_process_share else 0.0
    used_mib = min(card.memory_mib, (card.memory_used_mib if card.on_gpu else 4.0) + others_mib)
    columns: dict[str, Callable[[float], float]] = {
        "utilization_percent": lambda seconds: round(100 * read.load(seconds)),
        "memory_utilization_percent": lambda seconds: round(60 * read.load(seconds)),
        "power_w": read.power_w,
        "sm_clock_mhz": read.clock_mhz,
        "memory_clock_mhz": lambda seconds: 7000.0 if read.load(seconds) > 0 else 405.0,
        "memory_used_mib": lambda _seconds: used_mib,
        "temperature_c": read.temperature_c,
        "throttle_reasons": read.throttle_reasons,
        "other_processes": lambda _seconds: 1.0 if card.other_process_share else 0.0,
        "other_sm_percent": lambda _seconds: round(100 * card.other_process_share),
        "pcie_generation": lambda _seconds: PCIE_GENERATION,
        "pcie_width": lambda _seconds: lanes(card.pcie_fraction),
    }
    if float(card.compute_capability) >= ENERGY_COUNTER_FROM:
        mean_w = card.power_limit_w * (IDLE_POWER + (1 - IDLE_POWER) * busy.fraction(10.0, 20.0))
        columns["energy_j"] = lambda seconds: mean_w * seconds
    return {f"gpu{index}_{name}": column for name, column in columns.items()}


def gpu_facts(spec: Spec) -> dict[str, float | str]:
    """Return the constant facts of a GPU, as the driver gives them."""
    card = spec.card
    return {
        "name": card.name,
        "memory_total_mib": float(card.memory_mib),
        "pcie_generation_max": PCIE_GENERATION,
        "pcie_width_max": PCIE_LANES,
    }


def lanes(fraction: float) -> float:
    """Return the number of PCIe lanes, a power of two, nearest to a share of the link's bandwidth."""
    return min((1.0, 2.0, 4.0, 8.0, 16.0), key=lambda count: abs(math.log(count / PCIE_LANES / fraction)))


def host_columns(spec: Spec, step_ms: float) -> dict[str, Callable[[float], float]]:
    """Return the host's columns: the core of Python, and the cores and the disk that the input pipeline uses."""
    knobs, cores = spec.input, spec.host.cores
    mapped = knobs.map_ms if knobs.cache != "warm" and knobs.feed == "tf_data" else 0.0
    helpers = min(cores - 1.0, (mapped + knobs.batch_ms) / step_ms)
    reads = knobs.read_ms if knobs.cache != "warm" and knobs.feed == "tf_data" else 0.0
    read_share = min(1.0, reads / step_ms)
    read_mib_per_s = spec.copies.batch_mib / (step_ms / 1000) if reads else 0.0
    busy_cores = 1 + helpers
    columns: dict[str, Callable[[float], float]] = {
        "tree_cpu_s": lambda seconds: busy_cores * seconds,
        "tree_memory_mib": lambda _seconds: 1800.0,
        "tree_threads": lambda _seconds: 40.0 + cores,
        "memory_available_mib": lambda _seconds: 9000.0,
        "iowait_s": lambda seconds: read_share * seconds,
        "disk_read_mib": lambda seconds: read_mib_per_s * seconds,
        "disk_written_mib": lambda seconds: 0.1 * seconds,
        "network_received_mib": lambda seconds: 0.01 * seconds,
        "network_sent_mib": lambda seconds: 0.01 * seconds,
    }
    for core in range(cores):
        share = 1.0 if core == 0 else helpers / max(1, cores - 1)
        columns[f"core{core}_busy_s"] = lambda seconds, share=share: share * seconds  # type: ignore[misc]
    return columns
