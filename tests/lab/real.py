"""Runs the lab's real trainings, each in a process of its own, and lets a diagnosis judge what they recorded.

What a fix really gives is measured too: the step of the training without the flaw, in timed windows of its own, right
before and right after the flawed one. How far the runs of that one training differ is the A/A control: a machine that
is busy with other things too repeats no step, and no prediction can be better than that.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from statistics import mean, median
from typing import TYPE_CHECKING

from gpuprobe.recording import RUN_FILE, RUNS_FOLDER
from gpuprobe.records import Run, load
from tests.lab.grade import HEALTHY, UNANSWERED, Answer, Graded

if TYPE_CHECKING:
    from multiprocessing.context import BaseContext


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
    """One training as it was carried out: what was put in, and the folder of its recording.

    `fixed` is as in `Training`; `without` are the recordings of those other trainings, made before and after this one.
    """

    name: str
    truth: RealTruth
    fixed: tuple[tuple[str, str], ...]
    recording: Path
    without: Mapping[str, tuple[Path, ...]] = field(default_factory=dict)


def train(only: str, folder: Path) -> Iterator[Trained]:
    """Carry out the trainings whose name holds `only`, one after the other, so that none disturbs another."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # Forked from a process that has imported TensorFlow and started nothing: each begins as a new one does.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["keras", "tensorflow"])
    with ProcessPoolExecutor(1, context) as pool:
        names = pool.submit(_names).result()
    for name, fixes in names.items():
        if only in name:
            before = {fix: _in_a_process(context, fix, folder / f"{fix}-before-{name}") for fix in fixes}
            one = _in_a_process(context, name, folder / name)
            after = {fix: _in_a_process(context, fix, folder / f"{fix}-after-{name}") for fix in fixes}
            yield replace(one, without={fix: (before[fix].recording, after[fix].recording) for fix in fixes})


def judged(trained: Iterable[Trained], diagnosis: Callable[[Path], Answer | str | None]) -> list[Graded]:
    """Have every recording judged."""
    graded = []
    for one in trained:
        answer = diagnosis(one.recording)
        now = step_ms(one.recording)
        gains, control = {}, 0.0
        for change, without in one.fixed:
            then = [step for recording in one.without[without] if (step := step_ms(recording)) is not None]
            if now is not None and then:
                gains[change] = MeasuredGain(now / mean(then))
                control = max(control, max(then) / min(then) - 1)
        answer = answer if isinstance(answer, Answer) else Answer(answer)
        graded.append(Graded(one.name, replace(one.truth, fixes=gains), answer, control))
    return graded


def step_ms(recording: Path) -> float | None:
    """Return the median step of a recording's timed window in ms, None where it has none."""
    window = load(Run, recording / RUN_FILE).phase("window")
    if window is None or not window.call_ends_ns:
        return None
    lasted = [later - earlier for earlier, later in pairwise((window.start_ns, *window.call_ends_ns))]
    return median(lasted) / window.steps_per_call / 1e6


def _names() -> dict[str, tuple[str, ...]]:
    """Name all trainings, each with those that are the same one without its flaw."""
    from tests.lab.trainings import TRAININGS

    return {training.name: tuple(without for _, without in training.fixed) for training in TRAININGS}


def _in_a_process(context: BaseContext, name: str, folder: Path) -> Trained:
    folder.mkdir()
    with ProcessPoolExecutor(1, context) as pool:
        return pool.submit(_carry_out, name, folder).result()


def _carry_out(name: str, folder: Path) -> Trained:
    from tests.lab.trainings import TRAININGS

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
