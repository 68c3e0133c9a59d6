"""What the remedy of a cause outside the steps saves of a run's wall time, in seconds.

Each function is for one cause, and its docstring says what the remedy does. It reads the signals of
`evidence.whole_run_signals`, and `call_alone_ms` where a trace shows it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from gpuprobe.thresholds import fixed
from gpuprobe.units import MS_PER_S

if TYPE_CHECKING:
    from collections.abc import Callable

    from gpuprobe.records import Evidence

# The signal of a step's call by itself, as a trace shows it: `low` is what its operations compute, `high` all of it.
ALONE = "call_alone_ms"
NO_STEP = "no call but the first of an epoch was timed, and no trace shows how long a step takes by itself"


@dataclass(frozen=True)
class Saved:
    """The seconds of a run that a remedy saves: as expected, at both ends of its range, and at most."""

    expected: float
    low: float
    high: float
    most: float


@dataclass(frozen=True)
class Step:
    """How many seconds a step takes by itself: as expected, at both ends of its range, and for its computing alone."""

    expected: float
    longest: float
    shortest: float
    computes: float


def seconds_of(evidence: Evidence, *parts: str) -> float:
    """Return how many seconds these parts of the run took together."""
    return sum(evidence.number(f"run_s.{part}") or 0.0 for part in parts)


def _times(evidence: Evidence, *parts: str) -> float:
    return sum(evidence.number(f"run_times.{part}") or 0.0 for part in parts)


def _step_alone(evidence: Evidence) -> Step | None:
    """Return how long a step takes by itself, as the clock tells, else as the trace does; None where neither does."""
    plain, traced = evidence.number("run_step_s"), _traced_step_alone(evidence)
    if plain is not None:
        return Step(plain, plain, plain, min(plain, traced.computes) if traced else plain)
    return traced


def _traced_step_alone(evidence: Evidence) -> Step | None:
    """Return how long a step takes by itself, as the trace shows it; None without a trace.

    The first call of an iterator or of a graph is slow to start its operations. If the trace holds only such calls,
    a later call is shorter: by as much as first calls were seen to be slower (`FIRST_SLOWED`).
    """
    signal, traced_s = evidence.get(ALONE), (evidence.number(ALONE) or 0.0) / MS_PER_S
    if signal is None or not traced_s:
        return None
    computes_s, calls = (signal.low or 0.0) / MS_PER_S, _times(evidence, "steps")
    timed_s = seconds_of(evidence, "steps") / calls if calls else traced_s
    usual_s, fastest_s = (
        computes_s + (traced_s - computes_s) / factor for factor in (fixed.FIRST_SLOWED, fixed.FIRST_SLOWED_MOST)
    )
    longest_s = max(min(timed_s, traced_s), computes_s)
    return Step(min(longest_s, usual_s), longest_s, min(longest_s, fastest_s), computes_s)


def _times_of_longest(evidence: Evidence, part: str) -> float:
    """Return how often a part came; of callbacks, how often the one that took longest came."""
    named = evidence.number(f"run_times_of_named.{part}")
    return _times(evidence, part) if named is None else named


def often(evidence: Evidence, part: str) -> bool:
    """Whether a part comes with many of the steps, and not only once an epoch or once in a hundred steps."""
    times, calls = _times_of_longest(evidence, part), evidence.number("run_calls") or 0.0
    epochs = evidence.number("run_epochs") or 0.0
    return times > fixed.HOOKS_OF_EPOCH * epochs and times * fixed.LONG_EPOCH > 2 * calls


def _less_often(evidence: Evidence, *parts: str) -> Saved:
    """Do it less often: once an epoch or once in a hundred steps if it comes often, else every fifth time."""
    seconds = seconds_of(evidence, *parts)
    if not often(evidence, parts[0]):
        return Saved((1 - 1 / fixed.SELDOM) * seconds, seconds / 2, seconds, seconds)
    epochs, calls = evidence.number("run_epochs") or 0.0, evidence.number("run_calls") or 0.0
    kept = (epochs or calls / fixed.LONG_EPOCH) / _times_of_longest(evidence, parts[0])
    slowed_s, slowed_most_s = _slowed_steps_s(evidence)
    saved_s = (1 - kept) * seconds
    return Saved(saved_s, saved_s, seconds + slowed_s, seconds + slowed_most_s)


def _slowed_steps_s(evidence: Evidence) -> tuple[float, float]:
    """Return by how many seconds work between the steps may lengthen them: at the end of the range, and at most.

    A step after such work is slow to start its operations.
    """
    step, steps_s, calls = _traced_step_alone(evidence), seconds_of(evidence, "steps"), _times(evidence, "steps")
    if step is None:
        return 0.0, 0.0
    return max(0.0, steps_s - calls * step.shortest), max(0.0, steps_s - calls * step.computes)


def _validation(evidence: Evidence) -> Saved:
    """Validate less often; the end of validation's own iterator lies between epochs, and may be part of it."""
    saved = _less_often(evidence, "validation", "evaluate")
    after_s = seconds_of(evidence, "between_epochs") if seconds_of(evidence, "validation") else 0.0
    return replace(saved, high=saved.high + after_s, most=saved.most + after_s)


def _checkpoint(evidence: Evidence) -> Saved:
    return _less_often(evidence, "checkpoint")


def _callback(evidence: Evidence) -> Saved:
    return _less_often(evidence, "callback")


def _input(evidence: Evidence) -> Saved:
    """Batches are ready when they are needed; how much making them still slows the steps is not known."""
    seconds, (slowed_s, slowed_most_s) = seconds_of(evidence, "input"), _slowed_steps_s(evidence)
    return Saved((1 - 1 / fixed.SELDOM) * seconds, seconds / 2, seconds + slowed_s, seconds + slowed_most_s)


def _between_trainings(evidence: Evidence) -> Saved:
    """Do it ahead, beside the steps; or once for all, which saves more, and all trainings in one, which saves most."""
    seconds = seconds_of(evidence, "between_trainings")
    beside_s = min(seconds, seconds_of(evidence, "steps"))
    in_one_s = seconds + seconds_of(evidence, "fit", "epoch_start", "between_epochs")
    return Saved((1 - 1 / fixed.SELDOM) * seconds, beside_s / 2, in_one_s, in_one_s)


def _longer_epochs(evidence: Evidence) -> Saved | str:
    """Make epochs of few steps longer; an epoch of many steps no longer waits for its start."""
    calls = evidence.number("run_calls_per_epoch") or 0.0
    start, between = seconds_of(evidence, "epoch_start"), seconds_of(evidence, "between_epochs")
    if calls >= fixed.LONG_EPOCH:
        return Saved(start, start / 2, start + between, start + between)
    step, kept = _step_alone(evidence), calls / fixed.LONG_EPOCH
    if step is None:
        return NO_STEP
    # Other work once an epoch, such as Keras's own callbacks, then comes less often too.
    per_epoch_s = start + between + seconds_of(evidence, "callback")
    steps_s, steps = seconds_of(evidence, "steps"), _times(evidence, "steps")
    return Saved(
        (1 - kept) * per_epoch_s + max(0.0, steps_s - steps * step.expected),
        (1 - kept) * (start + between) + max(0.0, steps_s - steps * step.longest),
        per_epoch_s + max(0.0, steps_s - steps * step.shortest),
        per_epoch_s + max(0.0, steps_s - steps * step.computes),
    )


def _loop_of_single_steps(evidence: Evidence) -> Saved | str:
    """Call `train_on_batch` in place of `fit`, and `predict_on_batch` in place of `predict`."""
    step = _step_alone(evidence)
    if step is None:
        return NO_STEP
    steps = _times(evidence, "steps") + _times(evidence, "first_call_again")
    predicts = _times(evidence, "predict")
    now_s = seconds_of(evidence, "fit", "epoch_start", "between_epochs", "predict", "callback", "steps")
    call_s = fixed.KERAS_CALL_S

    def saved_s(step_s: float, forward_and_backward_s: float, keras_s: float) -> float:
        # Predicting takes half of a step at most; Keras's own work in a call remains.
        return max(0.0, now_s - steps * (step_s + keras_s) - predicts * (forward_and_backward_s / 2 + keras_s))

    return Saved(
        saved_s(step.expected, step.expected, call_s),
        saved_s(step.longest, step.longest, 2 * call_s),
        saved_s(step.shortest, step.shortest, call_s / 2),
        saved_s(step.computes, 0.0, 0.0),
    )


def _calls_made_usual(evidence: Evidence, part: str) -> Saved | str:
    """Turn calls that trace and compile into calls like the others."""
    step = _step_alone(evidence)
    if step is None:
        return NO_STEP
    seconds, times = seconds_of(evidence, part), _times(evidence, part)
    lengths_s = (step.expected, step.longest, step.shortest, step.computes)
    return Saved(*(max(0.0, seconds - times * length_s) for length_s in lengths_s))


def _compiled_again(evidence: Evidence) -> Saved | str:
    saved = _calls_made_usual(evidence, "first_call_again")
    if isinstance(saved, str):
        return saved
    # If one call of `fit` replaces all, the work of each around its steps goes too.
    around = seconds_of(evidence, "fit", "between_trainings")
    return replace(saved, high=saved.high + around, most=saved.most + around)


def _retracing(evidence: Evidence) -> Saved | str:
    return _calls_made_usual(evidence, "retracing")


# For each cause: the parts of the run that its remedy shortens, and what it saves of the run.
SAVINGS: dict[str, tuple[tuple[str, ...], Callable[[Evidence], Saved | str]]] = {
    "validation": (("validation", "evaluate"), _validation),
    "checkpointing": (("checkpoint",), _checkpoint),
    "host_between_steps": (("callback",), _callback),
    "input_bound": (("input",), _input),
    "epoch_start": (("epoch_start", "between_epochs"), _longer_epochs),
    "many_small_fits": (("fit", "epoch_start", "between_epochs", "predict"), _loop_of_single_steps),
    "between_trainings": (("between_trainings",), _between_trainings),
    "compiled_again": (("first_call_again",), _compiled_again),
    "eager_or_retracing": (("retracing",), _retracing),
}
