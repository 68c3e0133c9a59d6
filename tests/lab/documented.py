"""Our own workloads in the lab: each is run as a user runs it, and must give the verdict that it documents.

    python -m tests.lab.documented

writes the traces of `tests/recorded/` anew, for a calm machine: `make test` judges those, since a busy machine may give
a workload another verdict, which is then the true one.
"""

from __future__ import annotations

import lzma
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from gpuprobe.recording import RUNS_FOLDER
from gpuprobe.traces.find import find
from gpuprobe.traces.xplane_pb2 import XSpace
from gpuprobe.workloads.cifar import ON_CPU
from gpuprobe.workloads.registry import workloads
from tests.lab.grade import HEALTHY
from tests.lab.real import RealTruth, Trained

RECORDED = Path(__file__).parent.parent / "recorded"
EVENTS = "/host:CPU"
# The strategy that a study begins with; text is fed by tf.data alone.
FIRST = {"text": "tfdata"}
LIMIT_S = 600


@dataclass(frozen=True)
class Documented:
    """A verdict that a workload documents for a processor: the cause, and the stage of the input where it is that."""

    cause: str
    stage: str | None


RESNET = "resnet20"


def documented() -> dict[str, Documented]:
    """Return what each workload of ours documents, by name."""
    ours = {name: entry.on_cpu for name, entry in workloads().items()}
    return {name: parsed(words) for name, words in {**ours, RESNET: ON_CPU}.items()}


def parsed(words: str) -> Documented:
    """Take the cause and the stage from `cause: stage, reason`; only an input has a stage."""
    cause, _, why = words.partition(": ")
    return Documented(cause, why.partition(",")[0] if cause == "input_bound" else None)


def run(name: str, folder: Path) -> Path:
    """Run one workload with the strategy that a study begins with; return the run's recording."""
    model = ("--data", "synthetic", "--samples", "512") if name == RESNET else ("--model", name)
    words = ("--strategies", FIRST.get(name, "python_feed"), "--quick", "--steps", "9", "--out", str(folder))
    command = [sys.executable, "-m", "gpuprobe.cli", "run", *model, *words]
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "-1"}
    subprocess.run(command, check=True, capture_output=True, timeout=LIMIT_S, env=environment)
    return next(folder.glob(f"*/{RUNS_FOLDER}/1-*"))


def train(only: str, folder: Path) -> Iterator[Trained]:
    """Run all whose name holds `only`, one after the other."""
    for name, wanted in documented().items():
        if only in name:
            truth = RealTruth(wanted.cause, wanted.stage, (wanted.cause,), wanted.cause == HEALTHY, answerable=True)
            yield Trained(f"documented_{name}", truth, (), run(name, folder / name))


def evidence(trace: Path) -> bytes:
    """Return the events of a trace alone, compressed: neither the machine's name nor its folders."""
    (file,) = find(trace).files
    space = XSpace.FromString(file.read_bytes())
    kept = XSpace(planes=[plane for plane in space.planes if plane.name == EVENTS])
    return lzma.compress(kept.SerializeToString(), preset=9)


def main() -> None:
    """Record all of them."""
    for name in documented():
        with tempfile.TemporaryDirectory() as scratch:
            (RECORDED / f"{name}.xplane.pb.xz").write_bytes(evidence(run(name, Path(scratch))))


if __name__ == "__main__":
    main()
