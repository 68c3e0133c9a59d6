"""What the remedy of a cause outside the steps gains: what it takes from the run's wall time, and what remains.

The formula is Amdahl's: R / (R - saved), where R is the run without what comes once. The range is that of what is
saved, by how far the part differs from time to time and by how much of it the remedy leaves; and of what remains, since
steps that are measured again differ too, both ways. `at most` is what no way of doing it exceeds: the part is gone
altogether, and a step takes no longer than its operations compute.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from gpuprobe.records import Gain
from gpuprobe.thresholds import fixed
from gpuprobe.units import MS_PER_S

if TYPE_CHECKING:
    from collections.abc import Callable

    from gpuprobe.records import Evidence

# The parts that come as often as epochs, calls or saves do, and not with each step.
PARTS = frozenset(
    ("epoch_start", "between_epochs", "validation", "evaluate", "callback", "checkpoint", "predict", "first_call_again")
)
OVER = "the run without what comes once"
# The call of a step by itself, as a trace shows it; `low` is what its operations compute, `high` all of the call.
ALONE = "call_alone_ms"
ONCE_ONLY = "what comes once weighs the less the longer a training goes on, and how much of it can go is not seen"
NO_STEP = "no call but the first of an epoch was timed, and no trace shows how long a step takes by itself"
NOTHING_LEFT = "nothing is left of the run but what this takes away"


@dataclass(frozen=True)
class Saved:
    """The seconds of a run that a remedy saves: as expected, at the ends of its range, and what nothing exceeds."""

    expected: float
    low: float
    high: float
    most: float


@dataclass(frozen=True)
class Step:
    """How long a step takes by itself, in seconds: as expected, at the ends of its range, and computing alone."""

    expected: float
    longest: float
    shortest: float
    computes: float


def gain(evidence: Evidence, cause: str) -> Gain | str:
    """Return what the remedy of a cause gains over the whole run, or why that cannot be told.

    `evidence` holds the signals of `evidence.whole_run_signals`, and `call_alone_ms` where a trace shows it.
    """
    made = SAVED.get(cause)
    recurring = evidence.number("run_recurring_s") or 0.0
    found = made[1](evidence) if made and recurring else ONCE_ONLY
    if made is None or isinstance(found, str):
        return found if isinstance(found, str) else ONCE_ONLY
    apart = _apart(evidence, made[0])
    if recurring <= found.most:
        return NOTHING_LEFT
    # What stays, and came once in a while for long, may not come again: it is in the time before and after alike.
    stays = min(_apart(evidence, tuple(PARTS - {*made[0]})), (1 - fixed.STAYS_LEAST) * (recurring - found.most))
    after = 1 + fixed.LEFT_APART
    most = (recurring + apart - stays) / (recurring - found.most - stays) * after
    return Gain(
        ratio=recurring / (recurring - found.expected),
        low=max(1 / after, (recurring - apart) / ((recurring - found.low) * after)),
        high=min(most, (recurring + apart - stays) / (recurring - found.high - stays) * after),
        over=OVER,
        most=most,
    )


def _apart(evidence: Evidence, parts: tuple[str, ...]) -> float:
    """Return by how many seconds these parts may differ when they come again."""
    squares = 0.0
    for part in parts:
        spread = evidence.number(f"run_spread.{part}")
        # No part may take less than nothing.
        squares += (_seconds(evidence, part) * min(1.0, fixed.TIMES_UNKNOWN if spread is None else spread)) ** 2
    return float(squares**0.5)


def _seconds(evidence: Evidence, *parts: str) -> float:
    return sum(evidence.number(f"run_s.{part}") or 0.0 for part in parts)


def _times(evidence: Evidence, *parts: str) -> float:
    return sum(evidence.number(f"run_times.{part}") or 0.0 for part in parts)


def _step(evidence: Evidence) -> Step | None:
    """Return how long a step takes by itself; None where nothing tells."""
    plain, traced = evidence.number("run_step_s"), _traced_step(evidence)
    if plain is not None:
        return Step(plain, plain, plain, min(plain, traced.computes) if traced else plain)
    return traced


def _traced_step(evidence: Evidence) -> Step | None:
    """Return how long a step takes by itself, as the trace shows it; None without one.

    A trace of calls that are each the first of their iterator, or of their graph, shows them slow to start their
    operations: that goes, as far as such calls were seen to differ from others.
    """
    signal, took = evidence.get(ALONE), (evidence.number(ALONE) or 0.0) / MS_PER_S
    if signal is None or not took:
        return None
    computes, calls = (signal.low or 0.0) / MS_PER_S, _times(evidence, "steps")
    first = _seconds(evidence, "steps") / calls if calls else took
    usual, fastest = (computes + (took - computes) / factor for factor in (fixed.FIRST_SLOWED, fixed.FIRST_SLOWED_MOST))
    longest = max(min(first, took), computes)
    return Step(min(longest, usual), longest, min(longest, fastest), computes)


def _comes(evidence: Evidence, part: str) -> float:
    """Return how often a part came; of callbacks, the one that takes longest."""
    named = evidence.number(f"run_times_of_named.{part}")
    return _times(evidence, part) if named is None else named


def often(evidence: Evidence, part: str) -> bool:
    """Whether a part comes with many of the steps: once an epoch, or once in a hundred of them, is seldom enough."""
    times, calls = _comes(evidence, part), evidence.number("run_calls") or 0.0
    epochs = evidence.number("run_epochs") or 0.0
    return times > fixed.HOOKS_OF_EPOCH * epochs and times * fixed.LONG_EPOCH > 2 * calls


def _less_often(evidence: Evidence, *parts: str) -> Saved:
    """What comes with many steps is to come once an epoch, or in a hundred of them; what is rarer, every fifth time."""
    seconds = _seconds(evidence, *parts)
    if not often(evidence, parts[0]):
        return Saved((1 - 1 / fixed.SELDOM) * seconds, seconds / 2, seconds, seconds)
    epochs, calls = evidence.number("run_epochs") or 0.0, evidence.number("run_calls") or 0.0
    kept = (epochs or calls / fixed.LONG_EPOCH) / _comes(evidence, parts[0])
    slowed = _slowed(evidence)
    return Saved((1 - kept) * seconds, (1 - kept) * seconds, seconds + slowed[0], seconds + slowed[1])


def _slowed(evidence: Evidence) -> tuple[float, float]:
    """Return by how many seconds steps may be longer for what comes between them: at the end of a range, and at most.

    The one after it is slow to start its operations.
    """
    step, now, calls = _traced_step(evidence), _seconds(evidence, "steps"), _times(evidence, "steps")
    if step is None:
        return 0.0, 0.0
    return max(0.0, now - calls * step.shortest), max(0.0, now - calls * step.computes)


def _validation(evidence: Evidence) -> Saved:
    return _less_often(evidence, "validation", "evaluate")


def _checkpoint(evidence: Evidence) -> Saved:
    return _less_often(evidence, "checkpoint")


def _callback(evidence: Evidence) -> Saved:
    return _less_often(evidence, "callback")


def _input(evidence: Evidence) -> Saved:
    """Batches that are ready when they are wanted; what making them still takes beside the steps, nobody knows."""
    seconds, slowed = _seconds(evidence, "input"), _slowed(evidence)
    return Saved((1 - 1 / fixed.SELDOM) * seconds, seconds / 2, seconds + slowed[0], seconds + slowed[1])


def _longer_epochs(evidence: Evidence) -> Saved | str:
    """An epoch of few steps becomes one of many; that of many steps no longer waits for its start."""
    calls = evidence.number("run_calls_per_epoch") or 0.0
    start, between = _seconds(evidence, "epoch_start"), _seconds(evidence, "between_epochs")
    if calls >= fixed.LONG_EPOCH:
        return Saved(start, start / 2, start + between, start + between)
    step, kept = _step(evidence), calls / fixed.LONG_EPOCH
    if step is None:
        return NO_STEP
    # What else comes once an epoch, as Keras's own callbacks do, comes as much less often.
    beside = start + between + _seconds(evidence, "callback")
    now, steps = _seconds(evidence, "steps"), _times(evidence, "steps")
    return Saved(
        (1 - kept) * beside + max(0.0, now - steps * step.expected),
        (1 - kept) * (start + between) + max(0.0, now - steps * step.longest),
        beside + max(0.0, now - steps * step.shortest),
        beside + max(0.0, now - steps * step.computes),
    )


def _small_fits(evidence: Evidence) -> Saved | str:
    """A call of `fit` becomes one of `train_on_batch`, and one of `predict` one of `predict_on_batch`."""
    step = _step(evidence)
    if step is None:
        return NO_STEP
    steps = _times(evidence, "steps") + _times(evidence, "first_call_again")
    predicts = _times(evidence, "predict")
    around = _seconds(evidence, "fit", "epoch_start", "between_epochs", "predict", "callback", "steps")
    each = fixed.KERAS_CALL_S

    def left(one: float, predicting: float, call: float) -> float:
        # Predicting is the first half of a step at most; what Keras does around a call stays.
        return max(0.0, around - steps * (one + call) - predicts * (predicting / 2 + call))

    return Saved(
        left(step.expected, step.expected, each),
        left(step.longest, step.longest, 2 * each),
        left(step.shortest, step.shortest, each / 2),
        left(step.computes, 0.0, 0.0),
    )


def _calls_as_usual(evidence: Evidence, part: str) -> Saved | str:
    """Calls that trace and compile become calls like others."""
    step = _step(evidence)
    if step is None:
        return NO_STEP
    seconds, times = _seconds(evidence, part), _times(evidence, part)
    ends = (step.expected, step.longest, step.shortest, step.computes)
    return Saved(*(max(0.0, seconds - times * one) for one in ends))


def _compiled_again(evidence: Evidence) -> Saved | str:
    found = _calls_as_usual(evidence, "first_call_again")
    if isinstance(found, str):
        return found
    # Where one call of `fit` does for all, what each does around its steps goes too.
    around = _seconds(evidence, "fit", "between_trainings")
    return replace(found, high=found.high + around, most=found.most + around)


def _retracing(evidence: Evidence) -> Saved | str:
    return _calls_as_usual(evidence, "retracing")


SAVED: dict[str, tuple[tuple[str, ...], Callable[[Evidence], Saved | str]]] = {
    "validation": (("validation", "evaluate"), _validation),
    "checkpointing": (("checkpoint",), _checkpoint),
    "host_between_steps": (("callback",), _callback),
    "input_bound": (("input",), _input),
    "epoch_start": (("epoch_start", "between_epochs"), _longer_epochs),
    "many_small_fits": (("fit", "epoch_start", "between_epochs", "predict"), _small_fits),
    "compiled_again": (("first_call_again",), _compiled_again),
    "eager_or_retracing": (("retracing",), _retracing),
}
