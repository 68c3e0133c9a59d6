"""A study of workers on several hosts: which runs this host carries out, and where the other workers are.

`TF_CONFIG` names all workers, as for a training without gpuprobe. `gpuprobe run` is started on each host, with the same
options but for the worker's index, which `measure/worker_index.py` may find. All hosts carry out the runs of several
workers in the same order, the k-th run on the k-th port after the named one. The first host leads, and afterwards
measures the runs of a single worker.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from gpuprobe import telemetry
from gpuprobe.errors import UsageError
from gpuprobe.measure.active import ActiveRun
from gpuprobe.measure.plan import plan_rounds
from gpuprobe.measure.worker_index import addresses, find_index
from gpuprobe.recording import RUN_FILE, TELEMETRY_FILE, run_folder
from gpuprobe.records import Job, save
from gpuprobe.strategies.registry import devices_of
from gpuprobe.tf_config import VARIABLE

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping
    from pathlib import Path

    from gpuprobe.measure.plan import Planned
    from gpuprobe.measure.process import Launcher
    from gpuprobe.records import Request, Run, Study

LOOK_EVERY_S = 0.1
HIGHEST_PORT = 65535


@dataclass(frozen=True)
class Host:
    """The place of this host among those of a job, which has one worker on each host."""

    addresses: tuple[str, ...]
    index: int

    @property
    def leads(self) -> bool:
        """Whether this host decides what is measured, and for how long."""
        return self.index == 0

    def job(self, run: int) -> Job:
        """Return the job of this host's worker in the run of several workers with that number, from 0."""
        parts = [address.rpartition(":") for address in self.addresses]
        return Job(workers=tuple(f"{host}:{int(port) + run}" for host, _, port in parts), index=self.index)


def with_index(request: Request, environ: Mapping[str, str], machine: str) -> tuple[Request, str]:
    """Return the request with this host's index where what started it says that, and what does; empty otherwise.

    `machine` is this machine's name. Raises UsageError as `find_index` does.
    """
    if request.worker_index is not None or len(request.workers) != 1 or request.data_service:
        return request, ""
    found = find_index(request.workers[0], environ, machine)
    if found is None:
        return request, ""
    note = f"worker {found.index} of {request.workers[0]}, by {found.source}; --worker-index names another"
    return msgspec.structs.replace(request, worker_index=found.index), note


def host_of(request: Request, environ: Mapping[str, str]) -> Host | None:
    """Return this host's place, None where all workers are started here.

    Raises UsageError where TF_CONFIG does not name the requested number of workers, or has no such index.
    """
    if request.worker_index is None:
        return None
    if len(request.workers) != 1 or request.data_service:
        raise UsageError("--worker-index: name one number of --workers, and no --data-service")
    return Host(_worker_addresses(environ, request.workers[0], request.worker_index), request.worker_index)


def _worker_addresses(environ: Mapping[str, str], workers: int, index: int) -> tuple[str, ...]:
    named = addresses(environ)
    if not named:
        raise UsageError(
            f"--worker-index: {VARIABLE} does not name the workers; export "
            f'{VARIABLE}=\'{{"cluster": {{"worker": ["host0:port", "host1:port"]}}}}\' on every host'
        )
    if len(named) != workers:
        raise UsageError(f"--workers {workers}: {VARIABLE} names {len(named)} workers")
    if index >= workers:
        raise UsageError(f"--worker-index {index}: the workers are 0 to {workers - 1}")
    for address in named:
        port = address.rpartition(":")[2]
        if not port.isdecimal() or not 0 < int(port) <= HIGHEST_PORT:
            raise UsageError(f"{VARIABLE}: {address!r} is not an address; write it as host:port")
    return named


def in_order_of_hosts(study: Study, skipped: Collection[str] = ()) -> list[Planned]:
    """Return the runs of a study with those of several workers first, in the order that all hosts use."""
    planned = plan_rounds(study, skipped)
    together = [run for run in planned if devices_of(run.strategy) > 1]
    return [*together, *(run for run in planned if run not in together)]


def follow(
    study: Study,
    folder: Path,
    launcher: Launcher,
    data_folder: str,
    skipped: Collection[str],
    tell: Callable[[Run], None],
) -> list[Run]:
    """Take part in all runs of several workers, led by the first host; return the outcome of each.

    Each run has its own folder, with this worker's trace. A failed run does not affect the others.
    """
    ended = []
    for planned in in_order_of_hosts(study, skipped):
        if devices_of(planned.strategy) == 1:
            continue
        where = run_folder(folder, planned.round, planned.strategy)
        where.mkdir(parents=True)
        spec = planned.spec(study, data_folder)
        run = ActiveRun(spec, where, launcher.start(where, spec), study.request.limit_s)
        with telemetry.sampling(where / TELEMETRY_FILE, run.worker.pid):
            try:
                while run.outcome is None:
                    run.look()
                    time.sleep(LOOK_EVERY_S)
            finally:
                if run.outcome is None:
                    run.kill()
                save(run.record(), where / RUN_FILE)
        ended.append(run.record())
        tell(ended[-1])
    return ended
