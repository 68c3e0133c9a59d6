"""Whether a fault of one worker costs more than its run: fifteen faults of a job of two real workers.

    python benchmarks/worker_faults.py [--only WORDS]

Told for each: how long the run went on after the fault, its one line, and whether what was measured before was kept and
no process is left. A fault in the middle comes while a run that was measured takes a turn. The last three end the
launcher itself.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Literal

import psutil

from gpuprobe.measure import group
from gpuprobe.measure.group import GroupLauncher
from gpuprobe.measure.live_runs import LiveRuns
from gpuprobe.measure.process import ForkingLauncher
from gpuprobe.records import RunSpec

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gpuprobe.measure.active_run import ActiveRun

# The faulty worker does what `fault.json` says: at the file's import, or in each step once `now` exists.
WORKLOAD = """
import json, os, signal, threading, time
from pathlib import Path
import numpy as np

HERE = Path(__file__).parent
INDEX = json.loads(os.environ.get("TF_CONFIG", '{"task": {"index": -1}}'))["task"]["index"]
FAULT = json.loads((HERE / "fault.json").read_text())

def do(what):
    if what == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if what == "stop":
        os.kill(os.getpid(), signal.SIGSTOP)
    if what == "hang":
        time.sleep(1e6)
    if what == "raise":
        raise ValueError("the fault")
    if what == "full":
        # A trace cannot be written into a folder that is a file.
        (Path(os.readlink("/proc/self/fd/1")).parent / "trace").touch()
    if what == "thread":
        threading.Thread(target=time.sleep, args=(1e6,)).start()

def step():
    if (HERE / "now").exists() and INDEX == FAULT["worker"]:
        do(FAULT["does"])
    return np.float32(0)

if FAULT["import"] and INDEX == FAULT["worker"]:
    do(FAULT["does"])

def workload():
    import keras, tensorflow as tf
    from gpuprobe.workloads.workload import Workload

    class Faulty(keras.Model):
        def train_step(self, data):
            x, y = data
            nothing = tf.numpy_function(step, [], tf.float32)
            nothing.set_shape(())
            return super().train_step((x + nothing, y))

    def model():
        inputs = keras.Input((4,))
        return Faulty(inputs, keras.layers.Dense(1)(inputs))

    x = np.random.default_rng(0).normal(size=(64, 4)).astype("float32")
    return Workload(model=model, data=(x, x[:, :1]), batch_size=8, loss="mse", optimizer="sgd")
"""
NOBODY: Any = SimpleNamespace(run_started=lambda *_: None, run_progress=lambda *_: None, run_finished=lambda *_: None)
# A run that shows no sign of life for so long is ended.
LIMIT_S = 15.0
# How long all may take to end after the limit.
ENDS_S = 10.0
MARK = "GPUPROBE_FAULTS"


@dataclass(frozen=True)
class Fault:
    """What a worker does, and when; `says` is a part of the line that the run ends with, empty where it ends well."""

    name: str
    does: str
    worker: int
    when: Literal["import", "first step", "middle"]
    says: str


FAULTS = (
    Fault("a worker is killed", "kill", 1, "middle", "worker 1 was ended by SIGKILL"),
    Fault("the chief is killed", "kill", 0, "middle", "worker 0 was ended by SIGKILL"),
    Fault("a worker is stopped", "stop", 1, "middle", "worker 1 is stopped"),
    Fault("the chief is stopped", "stop", 0, "middle", "worker 0 is stopped"),
    Fault("a worker hangs", "hang", 1, "middle", "no sign of life"),
    Fault("a worker raises in the middle", "raise", 1, "middle", "the fault"),
    Fault("a worker raises in its first step", "raise", 1, "first step", "the fault"),
    Fault("a worker raises at import", "raise", 1, "import", "could not be imported: ValueError: the fault"),
    Fault("a worker never starts", "", 1, "import", "worker 1 is stopped"),
    Fault("a port is taken", "", 1, "import", "is taken"),
    Fault("a worker cannot write its trace", "full", 1, "first step", ""),
    Fault("a worker keeps a thread after training", "thread", 1, "import", ""),
)
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Absent:
    """Starts all workers, and stops the second one at once."""

    def __init__(self, launcher: ForkingLauncher) -> None:
        self._launcher = launcher

    def start(self, folder: Path, spec: RunSpec) -> Any:
        """Start a worker."""
        started = self._launcher.start(folder, spec)
        if spec.job is not None and spec.job.index == 1:
            while os.getsid(started.pid) != started.pid:
                time.sleep(0.01)
            started.freeze()
        return started

    def close(self) -> None:
        """Do nothing: the launcher is closed by its owner."""


def tried(fault: Fault, folder: Path, launcher: ForkingLauncher) -> str:
    """Carry out a run with a fault; return what is wrong, empty where it ended as it should, and print how it ended."""
    folder.mkdir()
    (folder / "workload.py").write_text(WORKLOAD)
    told = {"does": fault.does, "worker": fault.worker, "import": fault.when == "import"}
    (folder / "fault.json").write_text(json.dumps(told))
    absent = fault.name == "a worker never starts"
    study: Any = SimpleNamespace(request=SimpleNamespace(limit_s=LIMIT_S))
    stage = LiveRuns(study, folder, GroupLauncher(Absent(launcher) if absent else launcher), NOBODY)
    spec = RunSpec(
        strategy="multi_worker_2",
        round=1,
        seed=0,
        batch_size=8,
        steps=12,
        trace_steps=2,
        model=f"{folder / 'workload.py'}:workload",
    )
    if fault.when == "first step":
        (folder / "now").touch()
    began_s = time.monotonic()
    run = stage.start(spec)
    stage.wait_until_warm([run])
    stage.measure(run)
    if fault.when == "middle":
        (folder / "now").touch()
        began_s = time.monotonic()
        if run.outcome is None:
            stage.turn(run, 1, 1.0)
    if run.outcome is None:
        stage.end(run)
    took_s = time.monotonic() - began_s
    stage.stop()
    return judged(fault, run, took_s)


def judged(fault: Fault, run: ActiveRun, took_s: float) -> str:
    """Print how a run ended, and return what is wrong with that."""
    assert run.outcome is not None
    measured = run.record().is_measured
    print(f"{fault.name}: {took_s:.1f} s, {run.outcome.state}: {run.outcome.message or 'ended well'}", flush=True)
    for note in run.record().notes:
        print(f"  note: {note}")
    wrong = []
    if fault.says not in run.outcome.message or (not fault.says and run.outcome.state != "done"):
        wrong.append(f"it should say {fault.says!r}")
    if "\n" in run.outcome.message:
        wrong.append("more than a line")
    if measured != (fault.when == "middle" or not fault.says):
        wrong.append(f"measured: {measured}")
    until_s = time.monotonic() + ENDS_S
    while any(map(psutil.pid_exists, run.worker.pids)) and time.monotonic() < until_s:
        time.sleep(0.1)
    if any(map(psutil.pid_exists, run.worker.pids)):
        wrong.append("a process is left")
    if took_s > LIMIT_S + ENDS_S and fault.says:
        wrong.append("too long")
    return ", ".join(wrong)


def interrupted(number: signal.Signals, folder: Path) -> str:
    """Send a signal to `gpuprobe run` while its first run of two workers is measured; return what is wrong."""
    folder.mkdir()
    (folder / "workload.py").write_text(WORKLOAD)
    (folder / "fault.json").write_text(json.dumps({"does": "", "worker": -2, "import": False}))
    words = ("run", "--workers", "2", "--model", f"{folder / 'workload.py'}:workload", "--out", str(folder / "out"))
    mark = f"{folder.name}-{os.getpid()}"
    command = [sys.executable, "-m", "gpuprobe.cli", *words]
    process = subprocess.Popen(
        command, env={**os.environ, MARK: mark}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    until_s = time.monotonic() + 120
    while not list((folder / "out").glob("*/runs/*multi_worker*/trace")):
        if process.poll() is not None or time.monotonic() > until_s:
            process.kill()
            return f"it did not come to a run of two workers: {process.communicate()[0][-500:]}"
        time.sleep(0.1)
    began_s = time.monotonic()
    process.send_signal(number)
    said, _ = process.communicate(timeout=LIMIT_S + ENDS_S)
    last = said.strip().rpartition("\n")[2]
    print(f"{number.name}: {time.monotonic() - began_s:.1f} s, code {process.returncode}: {last}", flush=True)
    wrong = []
    if "Traceback" in said:
        wrong.append("a traceback")
    if process.returncode not in {130, -number}:
        wrong.append(f"code {process.returncode}")
    if left := marked(mark):
        wrong.append(f"{len(left)} processes are left")
    (study,) = (folder / "out").iterdir()
    done = subprocess.run(
        [sys.executable, "-m", "gpuprobe.cli", "report", str(study)], capture_output=True, check=False
    )
    if done.returncode or "own_loop" not in (study / "report.md").read_text():
        wrong.append("what was measured is not in the report")
    return ", ".join(wrong)


def marked(mark: str) -> list[int]:
    """Return the processes that have this mark in their environment."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARK) == mark:
                found.append(process.pid)
        except psutil.Error:
            continue
    return found


def main(given: Sequence[str] | None = None) -> None:
    """Try all faults, and print what is wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", metavar="WORDS", help="only faults whose name holds these")
    only = parser.parse_args(given).only
    wrong, count, ports = {}, 0, group.free_ports
    launcher = ForkingLauncher()
    with tempfile.TemporaryDirectory() as folder, socket.socket() as held:
        held.bind(("localhost", 0))
        held.listen()
        for fault in FAULTS:
            if only in fault.name:
                count += 1
                if fault.name == "a port is taken":
                    group.free_ports = lambda wanted: [*ports(wanted - 1), held.getsockname()[1]]
                wrong[fault.name] = tried(fault, Path(folder, str(count)), launcher)
                group.free_ports = ports
        launcher.close()
        for number in SIGNALS:
            if only in number.name:
                count += 1
                wrong[number.name] = interrupted(number, Path(folder, str(count)))
    for name, why in wrong.items():
        if why:
            print(f"WRONG {name}: {why}")
    print(f"{sum(not why for why in wrong.values())} of {count} faults ended as they should")


if __name__ == "__main__":
    main()
