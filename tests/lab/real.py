"""Runs the lab's real trainings, each in a process of its own, and lets a diagnosis judge what they recorded.

What a fix really gives is measured too: the step of the training without the flaw, in its own timed window.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from statistics import median

from gpuprobe.recording import RUN_FILE, RUNS_FOLDER
from gpuprobe.records import Run, load
from lab.grade import HEALTHY, UNANSWERED, Answer, Graded


@dataclass(frozen=True)
class MeasuredGain:
    """What a fix gave: the ratio of the two steps."""

    ratio: float


@dataclass(frozen=True)
class RealTruth:
    """What was put into a real training."""

    primary: str
    stage: str | None
    accepted: tuple[str, ...]
    healthy: bool
    answerable: bool
    fixes: Mapping[str, MeasuredGain] = field(default_factory=dict)


@dataclass(frozen=True)
class Trained:
    """One training as it was carried out: what was put in, and the folder of its recording."""

    name: str
    truth: RealTruth
    fixed: tuple[tuple[str, str], ...]
    recording: Path


def train(only: str, folder: Path) -> Iterator[Trained]:
    """Carry out the trainings whose name holds `only`, one after the other, so that none disturbs another."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # Forked from a process that has imported TensorFlow and started nothing: each begins as a new one does.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["keras", "tensorflow"])
    with ProcessPoolExecutor(1, context) as pool:
        names = pool.submit(_names).result()
    for name in names:
        if only in name:
            (folder / name).mkdir()
            with ProcessPoolExecutor(1, context) as pool:
                yield pool.submit(_carry_out, name, folder / name).result()


def judged(trained: Iterable[Trained], diagnosis: Callable[[Path], Answer | str | None]) -> list[Graded]:
    """Have every recording judged."""
    every = list(trained)
    steps_ms = {one.name: step_ms(one.recording) for one in every}
    graded = []
    for one in every:
        answer = diagnosis(one.recording)
        gains = {}
        for change, without in one.fixed:
            now, then = steps_ms[one.name], steps_ms.get(without)
            if now is not None and then is not None:
                gains[change] = MeasuredGain(now / then)
        truth = RealTruth(
            one.truth.primary, one.truth.stage, one.truth.accepted, one.truth.healthy, one.truth.answerable, gains
        )
        graded.append(Graded(one.name, truth, answer if isinstance(answer, Answer) else Answer(answer)))
    return graded


def step_ms(recording: Path) -> float | None:
    """Return the median step of a recording's timed window in ms, None where it has none."""
    window = load(Run, recording / RUN_FILE).phase("window")
    if window is None or not window.call_ends_ns:
        return None
    lasted = [later - earlier for earlier, later in pairwise((window.start_ns, *window.call_ends_ns))]
    return median(lasted) / window.steps_per_call / 1e6


def _names() -> list[str]:
    from lab.trainings import TRAININGS

    return [training.name for training in TRAININGS]


def _carry_out(name: str, folder: Path) -> Trained:
    from lab.trainings import TRAININGS

    training = next(one for one in TRAININGS if one.name == name)
    training.train(folder)
    (recording,) = folder.glob(f"*/{RUNS_FOLDER}/*")
    truth = RealTruth(
        primary=training.cause or UNANSWERED,
        stage=training.stage,
        accepted=(training.cause or UNANSWERED, *training.also),
        healthy=training.cause == HEALTHY,
        answerable=training.cause is not None,
    )
    return Trained(training.name, truth, training.fixed, recording)
