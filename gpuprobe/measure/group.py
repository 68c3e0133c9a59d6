"""The processes of a run with several workers: started and ended together, with one outcome.

The first process writes the run's recording; each other one has a folder within it, with its log and its trace.
"""

from __future__ import annotations

import shutil
import socket
import time
from contextlib import suppress
from typing import TYPE_CHECKING

import msgspec

from gpuprobe import child
from gpuprobe.errors import OutputError
from gpuprobe.measure.event_log import EventLog
from gpuprobe.measure.worker_failure import WorkerStatus, awaited_worker, first_failure
from gpuprobe.recording import TRACE_FOLDER, WORKERS_FOLDER
from gpuprobe.records import Job
from gpuprobe.strategies.registry import plan_anywhere

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from gpuprobe.measure.process import Launcher, Worker
    from gpuprobe.records import Outcome, RunSpec

# How long to wait for the other processes to end once one has: their events show which failed first.
EVENTS_WAIT_S = 1.5
# How long they may take to end after SIGTERM.
TERM_WAIT_S = 2.0
POLL_EVERY_S = 0.05
PROFILE_FOLDER = f"{TRACE_FOLDER}/plugins/profile"
TRACE_ENDING = ".xplane.pb"


class GroupLauncher:
    """Starts runs of several processes, each through the launcher of a single one.

    Where each worker has a host of its own, `job_here` gives the job of this host's worker in a run of several.
    """

    def __init__(self, launcher: Launcher, job_here: Callable[[RunSpec], Job] | None = None) -> None:
        self._launcher, self._job_here = launcher, job_here

    def start(self, folder: Path, spec: RunSpec) -> Worker:
        """Start all processes of the run. Raises OutputError where a folder of theirs cannot be made."""
        plan = plan_anywhere(spec)
        if plan.workers == 1 and not plan.servers:
            return self._launcher.start(folder, spec)
        if self._job_here is not None:
            # The other workers are started on their own hosts.
            job = self._job_here(spec)
            own_worker = self._launcher.start(folder, msgspec.structs.replace(spec, job=job))
            return Group(folder, [(f"worker {job.index}", folder, own_worker)])
        members: list[tuple[str, Path, Worker]] = []
        try:
            for number, (name, job) in enumerate(_jobs(plan.workers, plan.servers)):
                member_folder = _member_folder(folder, number)
                worker = self._launcher.start(member_folder, msgspec.structs.replace(spec, job=job))
                members.append((name, member_folder, worker))
        except BaseException:
            # Where one cannot be started, or on Ctrl-C, the others must not stay and wait for it.
            for _, _, worker in members:
                worker.kill()
            raise
        return Group(folder, members)

    def close(self) -> None:
        """Release what is kept between workers."""
        self._launcher.close()


class Group:
    """Several processes as one worker. `freeze` and `thaw` do nothing.

    TensorFlow's coordination service takes a worker that is suspended for seconds for dead. Freezing is not needed
    either: while the first worker waits at its gate, the others wait for it in their next step, which takes no CPU
    time.
    """

    def __init__(self, folder: Path, members: Sequence[tuple[str, Path, Worker]]) -> None:
        self._folder, self._members = folder, members
        self._first_ended_s: float | None = None
        self._code: int | None = None
        self._outcome: Outcome | None = None

    @property
    def pid(self) -> int:
        """The id of the first process."""
        return self._members[0][2].pid

    @property
    def pids(self) -> tuple[int, ...]:
        """The ids of all processes."""
        return tuple(worker.pid for _, _, worker in self._members)

    def exit_code(self) -> int | None:
        """Return None until the first process has ended, or any has failed.

        Then all are killed, and the code is 0, or that of the one that failed first.
        """
        if self._code is not None:
            return self._code
        codes = [worker.exit_code() for _, _, worker in self._members]
        if all(code is None for code in codes):
            return None
        now_s = time.monotonic()
        self._first_ended_s = self._first_ended_s or now_s
        if codes[0] == 0:
            # The first process has told the others to end, and they only wait for its end.
            self._end()
            self._code = 0
            return 0
        if any(code is None for code in codes) and now_s - self._first_ended_s < EVENTS_WAIT_S:
            return None
        self._outcome = first_failure(self._statuses())
        self._end()
        self._code = self._outcome.exit_code if self._outcome.exit_code is not None else 1
        return self._code

    def outcome(self) -> Outcome | None:
        """Return the outcome of the process that failed first, if any."""
        return self._outcome

    def hint(self) -> str:
        """Return which process keeps the others waiting, empty where that is unknown."""
        return awaited_worker(self._statuses())

    def kill(self) -> None:
        """End all processes by SIGTERM, and those left soon after by SIGKILL."""
        self._end()

    def freeze(self) -> None:
        """Do nothing: see the class."""

    def thaw(self) -> None:
        """Do nothing: see the class."""

    def _statuses(self) -> list[WorkerStatus]:
        return [WorkerStatus(name, folder, worker.pid, worker.exit_code()) for name, folder, worker in self._members]

    def _end(self) -> None:
        alive = [worker for _, _, worker in self._members if worker.exit_code() is None]
        for worker in alive:
            child.ask_session(worker.pid)
        until_s = time.monotonic() + TERM_WAIT_S
        while any(worker.exit_code() is None for worker in alive) and time.monotonic() < until_s:
            time.sleep(POLL_EVERY_S)
        for worker in alive:
            worker.kill()
        gather_traces(self._folder, {name.replace(" ", ""): folder for name, folder, _ in self._members})
        self._note_lost_traces()

    def _note_lost_traces(self) -> None:
        """Write into the run's events which of the other workers could not be traced, and why."""
        notes = [
            f"{worker_status.name} was not traced: {why}"
            for worker_status in self._statuses()[1:]
            if (why := worker_status.trace_missing)
        ]
        # The processes may have been ended because the folder is gone or the disk is full.
        with suppress(OSError):
            log = EventLog(self._folder)
            for text in notes:
                log.write("note", text=text)
            log.close()


def free_ports(count: int) -> list[int]:
    """Return so many free ports of this machine."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for bound_socket in sockets:
            bound_socket.bind(("localhost", 0))
        return [bound_socket.getsockname()[1] for bound_socket in sockets]
    finally:
        for bound_socket in sockets:
            bound_socket.close()


def gather_traces(folder: Path, worker_folders: Mapping[str, Path]) -> None:
    """Move the traces of all workers into the session of the first, in TensorFlow's layout for several hosts.

    All have the same host name, so each is named after its worker. Traces that cannot be moved stay where they are.
    """
    sessions = sorted((folder / PROFILE_FOLDER).glob(f"*/*{TRACE_ENDING}"))
    if not sessions:
        return
    session = sessions[-1].parent
    for worker_name, worker_folder in worker_folders.items():
        own_traces = sorted((worker_folder / PROFILE_FOLDER).glob(f"*/*{TRACE_ENDING}"))
        target = session / f"{worker_name}{TRACE_ENDING}"
        if own_traces and not target.exists():
            with suppress(OSError):
                shutil.move(own_traces[-1], target)


def _jobs(workers: int, servers: int) -> list[tuple[str, Job]]:
    """Return the name and the job of each process of a run, the first worker first."""
    service_address, *worker_addresses = (f"localhost:{port}" for port in free_ports(workers + 1))
    service = service_address if servers else ""
    if workers == 1:
        jobs = [("the training", Job(service=service))]
    else:
        jobs = [
            (f"worker {index}", Job(workers=tuple(worker_addresses), index=index, gpu=index, service=service))
            for index in range(workers)
        ]
    if servers:
        jobs.append(("the dispatcher of tf.data service", Job(service=service, role="dispatches")))
    server_names = [f"server {number} of tf.data service" for number in range(servers)]
    return [*jobs, *((name, Job(service=service, role="serves")) for name in server_names)]


def _member_folder(folder: Path, number: int) -> Path:
    if number == 0:
        return folder
    member_folder = folder / WORKERS_FOLDER / str(number)
    try:
        member_folder.mkdir(parents=True)
    except OSError as error:
        raise OutputError(f"{member_folder}: cannot be made ({error.strerror})") from error
    return member_folder
