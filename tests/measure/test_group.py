"""Several processes as one run: their traces are gathered, all end together, and who failed first is named."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from gpuprobe import child
from gpuprobe.errors import OutputError
from gpuprobe.measure.event_log import EventLog, EventReader
from gpuprobe.measure.group import Group, GroupLauncher, free_ports, gather_traces
from gpuprobe.measure.worker_failure import WorkerStatus, awaited_worker, first_failure
from gpuprobe.records import RunSpec, TraceInfo
from tests.helpers.waiting import until, until_gone

if TYPE_CHECKING:
    from pathlib import Path

DEAF = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True); time.sleep(1000)"
QUIET = "import time; print(flush=True); time.sleep(1000)"


class Program:
    """A process that leads a session of its own, as a worker does."""

    def __init__(self, code: str) -> None:
        command = [sys.executable, "-c", code]
        self.process = subprocess.Popen(command, start_new_session=True, stdout=subprocess.PIPE)
        assert self.process.stdout is not None
        self.process.stdout.readline()
        self.pid = self.process.pid
        self.pids = (self.pid,)

    def exit_code(self) -> int | None:
        return self.process.poll()

    def kill(self) -> None:
        child.end(self.process)

    def outcome(self) -> None:
        return None

    def hint(self) -> str:
        return ""

    def freeze(self) -> None:
        raise AssertionError("a worker that is stopped is taken for dead by the others")

    def thaw(self) -> None:
        return


def group(folder: Path, *codes: str) -> Group:
    started = []
    for index, code in enumerate(codes):
        where = folder / f"of-{index}"
        where.mkdir()
        EventLog(where).write("phase", name="build")
        started.append((f"worker {index}", where, Program(code)))
    return Group(folder, started)


def fail(folder: Path, index: int, message: str, t_ns: int) -> None:
    EventLog(folder / f"of-{index}").write("error", t_ns, state="failed", message=message)


def ended(made: Group) -> int:
    codes: list[int] = []

    def has_ended() -> bool:
        codes.extend(code for code in [made.exit_code()] if code is not None)
        return bool(codes)

    until(has_ended)
    return codes[0]


def test_when_the_first_is_done_all_are(tmp_path: Path) -> None:
    made = group(tmp_path, "print(flush=True)", QUIET, DEAF)
    assert len(made.pids) == 3
    assert ended(made) == 0
    assert made.outcome() is None
    for pid in made.pids:
        until_gone(pid)


def test_one_that_is_killed_is_blamed_and_takes_the_others_along(tmp_path: Path) -> None:
    made = group(tmp_path, QUIET, QUIET, QUIET)
    assert made.exit_code() is None
    # The others see only that it is gone.
    fail(tmp_path, 0, "UnavailableError: Collective ops is aborted by: Socket closed", 1)
    os.kill(made.pids[2], signal.SIGKILL)
    assert ended(made) == -signal.SIGKILL
    outcome = made.outcome()
    assert outcome is not None
    assert outcome.state == "killed"
    assert outcome.message.startswith("worker 2 was ended by SIGKILL")
    for pid in made.pids:
        until_gone(pid)


def test_the_first_error_of_ones_own_is_told(tmp_path: Path) -> None:
    made = group(tmp_path, QUIET, "print(flush=True); raise SystemExit(1)")
    fail(tmp_path, 0, "UnavailableError: The tasks have crashed", 1)
    fail(tmp_path, 1, "ValueError: no such file", 2)
    assert ended(made) == 1
    outcome = made.outcome()
    assert outcome is not None
    assert (outcome.state, outcome.message) == ("failed", "worker 1: ValueError: no such file")


def test_a_worker_without_a_trace_costs_no_more_than_its_trace(tmp_path: Path) -> None:
    made = group(tmp_path, "print(flush=True)", QUIET)
    EventLog(tmp_path / "of-1").write("trace", trace=TraceInfo(path=None, missing="the profiler saved nothing: full"))
    assert ended(made) == 0
    assert made.outcome() is None
    notes = [event["text"] for event in EventReader(tmp_path).new() if event["event"] == "note"]
    assert notes == ["worker 1 was not traced: the profiler saved nothing: full"]


def test_when_one_cannot_be_started_none_is_left(tmp_path: Path) -> None:
    class Full:
        def __init__(self) -> None:
            self.started: list[Program] = []

        def start(self, _folder: Path, _spec: RunSpec) -> Program:
            if self.started:
                raise OutputError("no space is left")
            self.started.append(Program(QUIET))
            return self.started[0]

        def close(self) -> None:
            return

    spec = RunSpec(strategy="multi_worker_3", round=1, seed=0, batch_size=6)
    launcher = Full()
    with pytest.raises(OutputError):
        GroupLauncher(launcher).start(tmp_path, spec)
    until_gone(launcher.started[0].pid)


def test_one_that_is_stopped_is_named(tmp_path: Path) -> None:
    made = group(tmp_path, QUIET, QUIET)
    os.kill(made.pids[1], signal.SIGSTOP)
    until(lambda: "worker 1 is stopped" in made.hint())
    fail(tmp_path, 0, "UnavailableError: The tasks have crashed", 1)
    codes = {0: 1, 1: None}
    seen = [
        WorkerStatus(f"worker {index}", tmp_path / f"of-{index}", made.pids[index], codes[index]) for index in codes
    ]
    assert first_failure(seen).message.startswith("worker 1 is stopped (SIGSTOP)")
    made.kill()
    for pid in made.pids:
        until_gone(pid)


def test_one_that_never_comes_is_named(tmp_path: Path) -> None:
    seen = []
    for index in range(3):
        where = tmp_path / str(index)
        where.mkdir()
        seen.append(WorkerStatus(f"worker {index}", where, os.getpid(), None))
    for one in seen[:2]:
        EventLog(one.folder).write("phase", name="build")
    assert awaited_worker(seen) == "worker 2 did not start"


def test_one_that_says_nothing_has_its_log_named(tmp_path: Path) -> None:
    where = tmp_path / "1"
    where.mkdir()
    assert (
        first_failure([WorkerStatus("worker 1", where, os.getpid(), 3)]).message
        == "worker 1 ended early; see 1/log.txt"
    )


def test_ports_are_free_and_differ() -> None:
    ports = free_ports(3)
    assert len(set(ports)) == 3
    for port in ports:
        with socket.socket() as one:
            one.bind(("localhost", port))


@pytest.mark.parametrize("count", [1, 3])
def test_traces_are_gathered_in_the_session_of_the_first(tmp_path: Path, count: int) -> None:
    members = [tmp_path, *(tmp_path / "workers" / str(index) for index in range(1, count))]
    for index, member in enumerate(members):
        session = member / "trace" / "plugins" / "profile" / f"2026_01_0{index + 1}"
        session.mkdir(parents=True)
        (session / "host.xplane.pb").write_text(str(index))
    gather_traces(tmp_path, {f"worker{index}": member for index, member in enumerate(members)})
    session = tmp_path / "trace" / "plugins" / "profile" / "2026_01_01"
    assert {file.name: file.read_text() for file in session.iterdir()} == {
        f"worker{index}.xplane.pb": str(index) for index in range(count)
    }
