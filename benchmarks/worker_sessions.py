"""Whether the late worker of a real job is named, and why it is late; and how often one is named where none is late.

    python benchmarks/worker_sessions.py [--sessions 30] [--first 0] [--keep FOLDER]

Each session is a job of two or three real processes under MultiWorkerMirroredStrategy, whose trouble is drawn by seed:
one worker's input is slow, one worker's step is slow, the link between all is slow, or nothing is wrong. Steps and
inputs mostly sleep, so that three workers run side by side on two cores. A slow link is a network namespace whose
loopback `tc` limits, which takes root; without it these sessions are left out. Each worker records itself with
`gpuprobe.window`; `gpuprobe diagnose FOLDER --json` judges their recordings together. A worker is named where the
cause `straggler` is found with high confidence. A session is right where the late worker is named and the first cause
is of its kind, or where, with a slow link or in a healthy job, no worker is named.

The workers also note when each comes to its exchange, by the clock that all share. A session in which that does not
show what was drawn, since a busy machine delayed a worker, is void.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from gpuprobe.measure.group import free_ports

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

Trouble = Literal["input", "compute", "link", "none"]
TROUBLES: tuple[Trouble, ...] = get_args(Trouble)
# What the diagnosis may lead with. A step that sleeps is an operation that calls Python, and work of one worker alone.
LEADS: dict[Trouble, frozenset[str]] = {
    "input": frozenset({"input_bound"}),
    "compute": frozenset({"straggler", "host_work", "compute_bound"}),
    "link": frozenset({"collective_bound"}),
}
OF_ONE: tuple[Trouble, ...] = ("input", "compute")
STRAGGLER = "straggler"
# A worker is late if it comes later than all others by this share of a step, in the median.
LATE = 0.05
STEPS, TRACE_AT = 24, 6
# The steps that are judged: one came before the window, and the first traced one is left out.
JUDGED = slice(TRACE_AT + 2, TRACE_AT + 7)
# Each variable is a square of so many numbers of four bytes.
SIDE, LARGE_SIDE, BYTES = 128, 512, 4
# setns(2)
CLONE_NEWNET = 0x40000000
# A job that takes longer hangs.
LIMIT_S = 120.0


@dataclass(frozen=True)
class Session:
    """A job: what each worker's step and input take (ms), what is wrong, and whose fault it is.

    `ahead` is how many batches are prefetched. `link_mbit` is the rate of the link (Mbit/s), 0 where nothing limits it.
    """

    trouble: Trouble
    culprit: str | None
    step_ms: tuple[float, ...]
    input_ms: tuple[float, ...]
    ahead: int
    variables: int
    side: int
    jitter: float
    link_mbit: float = 0.0


def drawn(seed: int) -> Session:
    """Draw a session: every trouble as often as the others."""
    random = np.random.default_rng([16, seed])
    trouble = TROUBLES[seed % len(TROUBLES)]
    count, base_ms = int(random.integers(2, 4)), float(random.uniform(40, 120))
    step_ms = [base_ms] * count
    input_ms = [base_ms * float(random.uniform(0.1, 0.5))] * count
    place, times = int(random.integers(count)), float(random.uniform(1.3, 2.0))
    if trouble == "input":
        input_ms[place] = times * base_ms
    elif trouble == "compute":
        step_ms[place] = times * base_ms
    variables, link_mbit = int(random.integers(1, 5)), 0.0
    side = LARGE_SIDE if trouble == "link" else SIDE
    if trouble == "link":
        # A ring sends each variable 2 (N - 1) times over the loopback that all share.
        sent = 2 * (count - 1) * variables * BYTES * side**2
        link_mbit = 8e-6 * sent / (times * base_ms / 1000)
    return Session(
        trouble=trouble,
        culprit=f"worker{place}" if trouble in OF_ONE else None,
        step_ms=tuple(step_ms),
        input_ms=tuple(input_ms),
        ahead=int(random.integers(1, 3)),
        variables=variables,
        side=side,
        jitter=float(random.uniform(0.0, 0.05)),
        link_mbit=link_mbit,
    )


def train(session: Session, addresses: list[str], index: int, folder: Path, network: str) -> None:
    """Train as one worker of the job, and record it (a process of its own)."""
    if network:
        _enter(network)
    os.environ["TF_CONFIG"] = json.dumps({"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}})
    import tensorflow as tf

    import gpuprobe

    strategy = tf.distribute.MultiWorkerMirroredStrategy()
    with strategy.scope():
        weights = [tf.Variable(tf.eye(session.side)) for _ in range(session.variables)]
    came: list[float] = []
    work = _sleep(session.step_ms[index], session.jitter, index, came)

    def of_replica(x: Any) -> Any:
        with tf.GradientTape() as tape:
            y = x + work(x)
            for weight in weights:
                y = y @ weight
            loss = tf.reduce_mean(tf.square(y))
        gradients = tape.gradient(loss, weights)
        context = tf.distribute.get_replica_context()
        for weight, gradient in zip(weights, context.all_reduce("mean", gradients), strict=True):
            weight.assign_sub(1e-4 * gradient)
        return loss

    @tf.function
    def train_step(iterator: Any) -> Any:
        return strategy.run(of_replica, args=(next(iterator),))

    prepare = _sleep(session.input_ms[index], session.jitter, 10 + index, [])
    data = tf.data.Dataset.from_tensors(tf.ones([32, session.side])).repeat()
    batches = iter(data.map(lambda x: x + prepare(x)).prefetch(session.ahead))
    train_step(batches)
    with gpuprobe.window("job", out=folder, trace_at=TRACE_AT, verbose=False) as steps:
        for _ in range(STEPS):
            train_step(batches)
            steps.step()
    _times(folder).write_text(json.dumps(came))


def _times(folder: Path) -> Path:
    """Return the file in which a worker notes when it came to its exchanges (s, `time.monotonic`)."""
    return folder.with_suffix(".times")


def _sleep(mean_ms: float, jitter: float, seed: int, ends_s: list[float]) -> Callable[[Any], Any]:
    """Return an operation that sleeps, each time a little longer or shorter, notes its end, and returns zero."""
    import tensorflow as tf

    random = np.random.default_rng(seed)

    def sleep(_: Any) -> np.float32:
        time.sleep(max(0.0, mean_ms * (1 + jitter * random.normal())) / 1000)
        ends_s.append(time.monotonic())
        return np.float32(0)

    def operation(x: Any) -> Any:
        # It begins once its input is there.
        slept = tf.numpy_function(sleep, [x[0, 0]], tf.float32)
        slept.set_shape(())
        return slept

    return operation


@contextmanager
def network_of(session: Session) -> Iterator[str]:
    """Yield the name of a network namespace whose link is as slow as the session's, empty where it needs none."""
    if not session.link_mbit:
        yield ""
        return
    name = f"gpuprobe-{os.getpid()}"
    within = ("ip", "netns", "exec", name)
    _sh("ip", "netns", "add", name)
    try:
        _sh(*within, "ip", "link", "set", "lo", "up")
        limit = ("rate", f"{session.link_mbit:.1f}mbit", "burst", "128kb", "latency", "1s")
        _sh(*within, "tc", "qdisc", "add", "dev", "lo", "root", "tbf", *limit)
        yield name
    finally:
        _sh("ip", "netns", "del", name)


def _sh(*words: str) -> None:
    subprocess.run(words, check=True, timeout=LIMIT_S)


def _enter(network: str) -> None:
    """Move this thread, and those that it starts, into a network namespace. Raises OSError where that fails."""
    with Path("/run/netns", network).open() as file:
        if ctypes.CDLL(None, use_errno=True).setns(file.fileno(), CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), f"setns: {network}")


def carried_out(session: Session, folder: Path, network: str) -> None:
    """Let the workers of a session train. Raises RuntimeError where one fails or hangs."""
    # Forked from a process that has imported TensorFlow and started nothing: each begins as a new one does.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["keras", "tensorflow"])
    addresses = [f"localhost:{port}" for port in free_ports(len(session.step_ms))]
    workers = [
        context.Process(target=train, args=(session, addresses, index, folder / f"of-{index}", network))
        for index in range(len(addresses))
    ]
    for worker in workers:
        worker.start()
    until_s = time.monotonic() + LIMIT_S
    for worker in workers:
        worker.join(max(0.0, until_s - time.monotonic()))
    codes = [worker.exitcode for worker in workers]
    for worker in workers:
        worker.kill()
    if any(codes):
        raise RuntimeError(f"the workers ended with {codes}")


def truly_late(folder: Path, workers: int) -> str | None:
    """Return the worker that came late to the judged steps' exchanges, by the clock of all; None where none did."""
    steps = came_at_s(folder, workers)[:, JUDGED]
    step_s = float(np.median(np.diff(steps.max(axis=0))))
    late_s = [np.median(own - np.delete(steps, index, 0).max(axis=0)) for index, own in enumerate(steps)]
    last = int(np.argmax(late_s))
    return f"worker{last}" if late_s[last] > LATE * step_s else None


def came_at_s(folder: Path, workers: int) -> Floats:
    """Return when each worker came to its exchanges (workers, steps), in s of the clock that all share."""
    return np.array([json.loads(_times(folder / f"of-{index}").read_text()) for index in range(workers)])


def diagnosed(folder: Path) -> dict[str, Any]:
    """Return what `gpuprobe diagnose FOLDER --json` says of the recordings."""
    command = [sys.executable, "-m", "gpuprobe.cli", "diagnose", str(folder), "--json"]
    said: dict[str, Any] = json.loads(subprocess.run(command, capture_output=True, check=True, timeout=LIMIT_S).stdout)
    return said


def told(folder: Path) -> tuple[str | None, str | None]:
    """Return which worker the diagnosis of the recordings names, None where it names none, and its first cause."""
    said = diagnosed(folder)
    first = next((finding["cause"] for finding in said["findings"] if finding["primary"]), None)
    if not any(one["cause"] == STRAGGLER and one["confidence"] == "high" for one in said["findings"]):
        return None, first
    kept = max(said["peers"], key=lambda peer: peer["kept_ms"])
    return said["devices"][kept["device"]]["host"], first


def carried_out_and_told(session: Session, folder: Path) -> tuple[str, str]:
    """Carry out a session; return `right`, `WRONG`, `void` or `failed`, and what was found."""
    try:
        with network_of(session) as network:
            carried_out(session, folder, network)
    except RuntimeError as error:
        return "failed", str(error)
    named, first = told(folder)
    said = f"named {named}, {first}"
    late = truly_late(folder, len(session.step_ms))
    if late != session.culprit:
        return "void", f"{said}; {late} was late"
    is_right = named == session.culprit and first in LEADS.get(session.trouble, {first})
    return "right" if is_right else "WRONG", said


def main() -> None:
    """Carry out the sessions, and print each and how many are right."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sessions", type=int, default=30)
    parser.add_argument("--first", type=int, default=0, metavar="SEED")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="keep the recordings in this new folder")
    given = parser.parse_args()
    ended: dict[str, Counter[str]] = {trouble: Counter() for trouble in TROUBLES}
    with tempfile.TemporaryDirectory() as scratch:
        for seed in range(given.first, given.first + given.sessions):
            session = drawn(seed)
            if session.link_mbit and os.geteuid():
                print(f"left out {seed}: a slow link takes root")
                continue
            how, said = carried_out_and_told(session, (given.keep or Path(scratch)) / str(seed))
            ended[session.trouble][how] += 1
            drawn_as = f"{len(session.step_ms)} workers, {session.trouble} of {session.culprit}"
            print(f"{how} {seed}: {drawn_as}: {said}", flush=True)
    for trouble, of in ended.items():
        print(f"{trouble}: {', '.join(f'{count} {how}' for how, count in sorted(of.items()))}")


if __name__ == "__main__":
    main()
