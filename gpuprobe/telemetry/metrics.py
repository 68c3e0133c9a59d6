"""Serves the latest readings to Prometheus, by following the recording: the sampler has no extra work."""

from __future__ import annotations

import re
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from gpuprobe.errors import UsageError
from gpuprobe.telemetry.follow import STALE_AFTER_NS, Follower
from gpuprobe.telemetry.states import parse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from prometheus_client.core import Metric

LOOPBACK = "127.0.0.1"
DEVICE_COLUMN = re.compile(r"(gpu|core)(\d+)_(?:(process|mig|nvlink)(\d+)_)?(.+)")
COUNTER_FIELDS = re.compile(
    r"(?:.*_)?(cpu_s|busy_s|throttled_s|iowait_s|faults|energy_j|pcie_replays|ecc_corrected|ecc_uncorrected)"
    r"|(disk_|network_|swap_in_|swap_out_|nvlink_).*_mib"
)
SECONDS_ENDING = re.compile(r"_s$")


class RecordingCollector(Collector):
    """A Prometheus collector of a recording's last readings, as gauges and counters, and of the current states."""

    def __init__(self, path: Path, clock_ns: Callable[[], int] = time.time_ns) -> None:
        self._follower, self._clock_ns = Follower(path), clock_ns
        self._states: dict[str, str] = {}
        self._lock = threading.Lock()

    def collect(self) -> Iterator[Metric]:
        """Yield one metric family for each field with a recent value, labelled by GPU or core."""
        with self._lock:
            self._follower.look()
            self._take_states()
            latest, states = dict(self._follower.latest), dict(self._states)
        families: dict[str, Metric] = {}
        for column, (t_ns, value) in latest.items():
            if self._clock_ns() - t_ns < STALE_AFTER_NS:
                _add_metric(families, column, value)
        yield from families.values()
        state_family = GaugeMetricFamily(
            "gpuprobe_state", "A named state that holds now, such as gpu_lost.", labels=["where", "state"]
        )
        for device, state in states.items():
            state_family.add_metric([device, state], 1.0)
        yield state_family

    def describe(self) -> Iterator[Metric]:
        """Yield nothing: the fields are only known once they are read."""
        return iter(())

    def _take_states(self) -> None:
        for said_cell in self._follower.said:
            for notice in parse(0, said_cell):
                if notice.state == "back":
                    self._states.pop(notice.where, None)
                elif notice.state and notice.state != "clock_stepped":
                    self._states[notice.where] = notice.state
        self._follower.said.clear()


def _add_metric(families: dict[str, Metric], column: str, value: float) -> None:
    column_match = DEVICE_COLUMN.fullmatch(column)
    device_kind, device_number, part_kind, part_number, field = (
        column_match.groups() if column_match else ("host", None, None, None, column)
    )
    metric_prefix = f"{device_kind}_each_{part_kind}" if part_kind else device_kind
    metric_name = f"gpuprobe_{metric_prefix}_{SECONDS_ENDING.sub('_seconds', field)}"
    family = families.get(metric_name)
    if family is None:
        family_class = (
            CounterMetricFamily
            if COUNTER_FIELDS.fullmatch(f"{part_kind}_{field}" if part_kind else field)
            else GaugeMetricFamily
        )
        labels = [str(label) for label, value in ((device_kind, device_number), (part_kind, part_number)) if value]
        help_text = f"{field} of the {part_kind or device_kind}, as in gpuprobe's recording."
        family = families[metric_name] = family_class(metric_name, help_text, labels=labels)
    family.add_metric([value for value in (device_number, part_number) if value], value)  # type: ignore[attr-defined]


@contextmanager
def serving(path: Path, port: int) -> Iterator[str]:
    """Serve the recording at `path` over HTTP during a block; yields the URL to scrape. Port 0 takes a free one.

    The format is text or OpenMetrics, as the scraper asks. Raises UsageError where the port cannot be used.
    """
    registry = CollectorRegistry()
    registry.register(RecordingCollector(path))
    try:
        server, thread = start_http_server(port, LOOPBACK, registry)
    except (OSError, OverflowError) as error:
        raise UsageError(f"--metrics-port: {LOOPBACK}:{port} cannot be used ({error}); choose another") from error
    try:
        yield f"http://{LOOPBACK}:{server.server_port}/metrics"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
