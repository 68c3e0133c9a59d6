"""The newest values of a watch for a Prometheus server to fetch, through Prometheus's own client library."""

from __future__ import annotations

import re
import time
from contextlib import contextmanager
from threading import Lock
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

from gpuprobe.errors import UsageError
from gpuprobe.watch.latest import STALE_NS, Latest

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

Family = CounterMetricFamily | GaugeMetricFamily
LOOPBACK = "127.0.0.1"
# Columns of the recording that only grow.
COUNTER = re.compile(r"(?:^tree_cpu_s|^iowait_s|_busy_s|_energy_j|^(?:disk|network)_\w+_mib)$")
NUMBERED = re.compile(r"^(gpu|core)(\d+)_(.+)$")


class Collector:
    """Turns the columns of a recording into metrics; the number of a GPU or core becomes a label."""

    def __init__(self, path: Path) -> None:
        self._latest = Latest(path)
        # Several may fetch at a time, each in a thread of its own.
        self._lock = Lock()

    def collect(self) -> Iterable[Family]:
        """Yield what was read last; nothing once the recording has stopped growing."""
        with self._lock:
            self._latest.look()
            values, t_ns = self._latest.values, self._latest.t_ns
        if t_ns is None or time.time_ns() - t_ns > STALE_NS:
            return []
        families: dict[str, Family] = {}
        for column, value in values.items():
            numbered = NUMBERED.match(column)
            kind, number, field = numbered.groups() if numbered else ("", "", column)
            labels = [kind] if kind else []
            name = "_".join(["gpuprobe", *labels, field])
            if name not in families:
                make = CounterMetricFamily if COUNTER.search(column) else GaugeMetricFamily
                families[name] = make(name, f"{field}, as in the recording's columns", labels=labels)
            families[name].add_metric([number] if number else [], value)
        return families.values()


@contextmanager
def serving(path: Path, port: int) -> Iterator[int]:
    """Serve the metrics on this machine alone, around a block; gives the port. Raises UsageError where it is taken."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(Collector(path))
    try:
        server, thread = start_http_server(port, addr=LOOPBACK, registry=registry)
    except OSError as error:
        raise UsageError(f"--metrics-port {port}: cannot be served ({error.strerror}); name another") from error
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
