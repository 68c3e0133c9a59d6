"""A study of workers on several hosts: which runs this host carries out, and where the other workers are.

`TF_CONFIG` names all workers, as for a training without gpuprobe. `gpuprobe run` is started on each host with the same
options, except the worker's index, which `measure/worker_index.py` may find. All hosts carry out the runs of several
workers in the same order; the k-th run of the plan, counted from 0, uses the port that is k above the named one,
whatever a host skips or leaves out: workers of different runs never meet. The first host leads, and afterwards measures
the runs of a single worker.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from gpuprobe import telemetry
from gpuprobe.errors import UsageError
from gpuprobe.measure.active_run import ActiveRun
from gpuprobe.measure.plan import PlannedRun, plan_rounds
from gpuprobe.measure.worker_index import addresses, find_index
from gpuprobe.recording import RUN_FILE, TELEMETRY_FILE, run_folder
from gpuprobe.records import Job, save
from gpuprobe.strategies.registry import devices_of
from gpuprobe.tf_config import VARIABLE

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping
    from pathlib import Path

    from gpuprobe.measure.process import Launcher
    from gpuprobe.records import Request, Run, RunSpec, Study

POLL_EVERY_S = 0.1
HIGHEST_PORT = 65535


@dataclass(frozen=True)
class JobHost:
    """This host in a job with one worker on each host: the addresses of all workers, and the index of its own."""

    addresses: tuple[str, ...]
    index: int

    @property
    def leads(self) -> bool:
        """Whether this host decides what is measured, and for how long."""
        return self.index == 0

    def job(self, run: int) -> Job:
        """Return the job of this host's worker in the run of several workers with that place in the plan, from 0."""
        workers = tuple(f"{address.rpartition(':')[0]}:{_port(address) + run}" for address in self.addresses)
        return Job(workers=workers, index=self.index)


def with_index(request: Request, environ: Mapping[str, str], machine: str) -> tuple[Request, str]:
    """Return the request with this host's worker index, and a note on where the index comes from.

    Without such a source, or where the index is given or not needed, the request stays as it is and the note is empty.
    `machine` is this machine's name. Raises UsageError as `find_index` does.
    """
    if request.worker_index is not None or len(request.workers) != 1 or request.data_service:
        return request, ""
    worker_index = find_index(request.workers[0], environ, machine)
    if worker_index is None:
        return request, ""
    index, source = worker_index.index, worker_index.source
    note = f"worker {index} of {request.workers[0]}, by {source}; --worker-index names another"
    return msgspec.structs.replace(request, worker_index=index), note


def host_of(request: Request, environ: Mapping[str, str], strategies: Iterable[str]) -> JobHost | None:
    """Return this host's place in the job, None where all workers are started on this host.

    Raises UsageError where TF_CONFIG does not name the requested number of workers, has no such index, or names a port
    above which there are not enough for all runs of several workers under the `strategies`.
    """
    if request.worker_index is None:
        return None
    if len(request.workers) != 1 or request.data_service:
        raise UsageError("--worker-index: give one number to --workers, and no --data-service")
    worker_addresses = _worker_addresses(environ, request.workers[0], request.worker_index)
    ports = request.rounds * sum(devices_of(strategy) > 1 for strategy in strategies)
    for address in worker_addresses:
        if _port(address) + ports - 1 > HIGHEST_PORT:
            raise UsageError(
                f"{VARIABLE}: {address!r} leaves no room: {ports} runs take a port each, from that one on; name one up "
                f"to {HIGHEST_PORT + 1 - ports}"
            )
    return JobHost(worker_addresses, request.worker_index)


def _worker_addresses(environ: Mapping[str, str], workers: int, index: int) -> tuple[str, ...]:
    worker_addresses = addresses(environ)
    if not worker_addresses:
        raise UsageError(
            f"--worker-index: {VARIABLE} does not name the workers; export "
            f'{VARIABLE}=\'{{"cluster": {{"worker": ["host0:port", "host1:port"]}}}}\' on every host'
        )
    if len(worker_addresses) != workers:
        raise UsageError(f"--workers {workers}: {VARIABLE} names {len(worker_addresses)} workers")
    if index >= workers:
        raise UsageError(f"--worker-index {index}: the workers are 0 to {workers - 1}")
    for address in worker_addresses:
        port = address.rpartition(":")[2]
        if not port.isdecimal() or not 0 < int(port) <= HIGHEST_PORT:
            raise UsageError(f"{VARIABLE}: {address!r} is not an address; write it as host:port")
    return worker_addresses


def _port(address: str) -> int:
    return int(address.rpartition(":")[2])


def jobs_of(host: JobHost, study: Study) -> Callable[[RunSpec], Job]:
    """Return what gives the job of this host's worker in a run of several workers of the study."""
    place_by_run = {run: place for place, run in enumerate(runs_of_several_workers(study))}
    return lambda spec: host.job(place_by_run[PlannedRun(spec.round, spec.strategy)])


def runs_of_several_workers(study: Study, skipped: Collection[str] = ()) -> list[PlannedRun]:
    """Return the runs of a study that all hosts carry out, in order."""
    return [run for run in plan_rounds(study, skipped) if devices_of(run.strategy) > 1]


def in_order_of_hosts(study: Study, skipped: Collection[str] = ()) -> list[PlannedRun]:
    """Return the runs of a study with those of several workers first, in the order that all hosts use."""
    runs_of_all_hosts = runs_of_several_workers(study, skipped)
    return [*runs_of_all_hosts, *(run for run in plan_rounds(study, skipped) if run not in runs_of_all_hosts)]


def follow_first_host(
    study: Study,
    folder: Path,
    launcher: Launcher,
    data_folder: str,
    skipped: Collection[str],
    report_run: Callable[[Run], None],
) -> list[Run]:
    """Take part in all runs of several workers, which the first host leads; return the record of each.

    `report_run` gets each record as the run ends. Each run has its own folder, with this worker's trace. A failed run
    does not affect the others.
    """
    ended_runs = []
    for planned in runs_of_several_workers(study, skipped):
        folder_of_run = run_folder(folder, planned.round, planned.strategy)
        folder_of_run.mkdir(parents=True)
        spec = planned.spec(study, data_folder)
        run = ActiveRun(spec, folder_of_run, launcher.start(folder_of_run, spec), study.request.limit_s)
        with telemetry.sampling(folder_of_run / TELEMETRY_FILE, run.worker.pid):
            try:
                while run.outcome is None:
                    run.poll()
                    time.sleep(POLL_EVERY_S)
            finally:
                if run.outcome is None:
                    run.kill()
                save(run.record(), folder_of_run / RUN_FILE)
        ended_runs.append(run.record())
        report_run(ended_runs[-1])
    return ended_runs
