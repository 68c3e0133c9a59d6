"""What `gpuprobe watch` saw: `watch.json`."""

from __future__ import annotations

from gpuprobe.records.base import SCHEMA, Record
from gpuprobe.records.run import Outcome
from gpuprobe.records.study import Environment


class ThreadUse(Record, frozen=True, kw_only=True):
    """CPU seconds that one thread of the watched tree used while it was looked at, from first to last look."""

    pid: int
    tid: int
    name: str
    cpu_s: float
    seen_s: float


class Watch(Record, frozen=True, kw_only=True):
    """One command that was watched: `watch.json`, beside its `telemetry.csv`.

    It is saved when the command starts and again when it has ended: without `ended_ns` the watcher was killed
    before. `cpu_limit` is how many processors the command may use, by affinity and container, in cores.
    """

    schema: int = SCHEMA
    name: str
    command: tuple[str, ...]
    started_ns: int
    ended_ns: int | None = None
    outcome: Outcome | None = None
    environment: Environment | None = None
    cpu_limit: float | None = None
    threads: tuple[ThreadUse, ...] = ()
    notes: tuple[str, ...] = ()
