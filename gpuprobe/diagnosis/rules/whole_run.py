"""Findings from the wall time of a whole run: what lies before, between and beside its steps.

The signals are those of `evidence.whole_run_signals`. `shown_by_part` is the rule for every cause whose record names a
part of the run; the others have a rule each. Shares are of the run without the parts that come once, which weigh less
the longer a training goes on. The figures come from clocks, so those of a complete run leave no doubt.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from gpuprobe import wording
from gpuprobe.diagnosis.causes import CAUSES
from gpuprobe.diagnosis.causes.whole_run import WHOLE_RUN
from gpuprobe.diagnosis.records import Finding, NotEvaluated
from gpuprobe.diagnosis.rules.rule import Decided, Result, Rule, apply
from gpuprobe.thresholds import DEFAULTS, Thresholds, fixed
from gpuprobe.whatif.run_savings import often

if TYPE_CHECKING:
    from gpuprobe.diagnosis.causes import CauseId
    from gpuprobe.diagnosis.causes.cause import Cause, RunShare
    from gpuprobe.diagnosis.causes.whole_run import WholeRunId
    from gpuprobe.records import Confidence, Evidence

UNRECORDED = "the wall time of the run was not recorded"
# What a call of `fit` costs beside its steps, and calls that are no step at all.
AROUND_STEPS = ("fit", "epoch_start", "between_epochs", "predict", "evaluate")
SMALL_FITS = "- model.fit(x, y)\n- model.predict(x)\n+ model.train_on_batch(x, y)\n+ model.predict_on_batch(x)"
ONE_LONG_EPOCH = (
    "- model.fit(ds, epochs=epochs)\n"
    "+ model.fit(ds.repeat(), steps_per_epoch=steps, epochs=total_steps // steps)  # steps: a few hundred"
)
LONGER = "Make an epoch longer: repeat() the data, and say steps_per_epoch."
ARRAYS_ONCE = (
    "- model.fit(x, y, batch_size=size, epochs=epochs)\n"
    "+ ds = tf.data.Dataset.from_tensor_slices((x, y)).shuffle(len(x)).repeat().batch(size).prefetch(2)\n"
    "+ model.fit(ds, steps_per_epoch=steps, epochs=total_steps // steps)  # steps: a few hundred"
)
# Data in which no shuffle buffer of the user's can be.
WITHOUT_BUFFER = frozenset(("arrays", "a PyDataset", "a generator"))
SHUFFLE_EARLY = (
    "- ds = ds.map(load).shuffle(size)\n+ ds = ds.shuffle(size).map(load)  # file names or indices are shuffled"
)


BATCHES_AHEAD = (
    "- for x, y in list(ds):\n"
    "+ ds = ds.cache().prefetch(tf.data.AUTOTUNE)  # once, before the loop\n"
    "+ for x, y in ds:\n"
    "      model.train_on_batch(x, y)"
)
ONCE_AN_EPOCH = (
    "  class {name}(keras.callbacks.Callback):\n"
    "-     def on_train_batch_end(self, batch, logs=None):\n"
    "+     def on_epoch_end(self, epoch, logs=None):"
)
EVERY_FIFTH = (
    "  class {name}(keras.callbacks.Callback):\n"
    "      def on_epoch_end(self, epoch, logs=None):\n"
    "+         if epoch % 5:\n"
    "+             return"
)
ONE_GRAPH = (
    "- step(x, y, weight)\n"
    "+ step(x, y, tf.constant(weight, tf.float32))  # a number as a tensor\n"
    "- step = tf.function(step)\n"
    "+ step = tf.function(step, reduce_retracing=True)  # shapes that differ"
)
# What a model saves by itself, with no callback, begins so.
BY_ITSELF = "Model."
SAVE_IN_LOOP = "- model.save_weights(path)\n+ if step % 500 == 0:\n+     model.save_weights(path)"
SAVE_SELDOM = "Save seldom, once in some hundred steps; the weights alone, or onto a faster disk."
SAVE_RARER = "Save less often than once an epoch (every fifth one), the weights alone, or onto a faster disk."
SAVE_FIFTH = "- ModelCheckpoint(path)\n+ ModelCheckpoint(path, save_freq=5 * steps_per_epoch)"


def decide(evidence: Evidence, limits: Thresholds = DEFAULTS) -> Decided:
    """Return what holds, the most severe first but start-up last, none of it primary; and what could not be decided."""
    if evidence.number("run_wall_s") is None:
        return (), tuple(NotEvaluated(cause=cause, reason=UNRECORDED) for cause in CAUSES_OF_RUN)
    found, undecided = apply(RULES, evidence, limits)
    # What comes once weighs little in a longer run: anything else that was found leads before it.
    return tuple(sorted(found, key=lambda one: one.cause == "startup")), undecided


def many_small_fits(evidence: Evidence, limits: Thresholds) -> Result:
    """`fit` or `predict` is called in a loop, and costs more than its steps."""
    fits, calls = evidence.number("run_trainings") or 0.0, evidence.number("run_calls_per_training") or 0.0
    small = _fits_are_small(evidence, limits)
    predicts = evidence.number("run_times.predict") or 0.0
    loops = predicts >= limits.many_calls and bool(evidence.text("run_name.predict"))
    share = _share(evidence, *(AROUND_STEPS if small else ("predict",)))
    if not (small or loops) or share < limits.many_calls_share:
        return None
    told = [f"`fit` was called {fits:.0f} times for {_steps(calls)} each"] if small else []
    told += [f"`predict` {'' if small else 'was called '}{predicts:.0f} times for one batch each"] if loops else []
    return _finding(
        evidence,
        "many_small_fits",
        share,
        f"{wording.listing(told)}: {wording.share(share)} of the run passes in what these calls cost on top of "
        "their steps.",
        ("run_trainings", "run_calls_per_training", *(f"run_share.{part}" for part in AROUND_STEPS)),
        code=SMALL_FITS,
    )


def epoch_start(evidence: Evidence, limits: Thresholds) -> Result:
    """The iterator starts again at each epoch, or an epoch holds so few steps that its own cost leads."""
    epochs, calls = evidence.number("run_epochs") or 0.0, evidence.number("run_calls_per_epoch") or 0.0
    share = _share(evidence, "epoch_start", "between_epochs")
    if epochs < 2 or share < limits.epoch_start_share or _fits_are_small(evidence, limits):
        return None
    seconds = sum(evidence.number(f"run_s.{part}") or 0.0 for part in ("epoch_start", "between_epochs"))
    short, buffered = calls < limits.short_epoch, evidence.text("data_kind") not in WITHOUT_BUFFER
    longer = short or not buffered
    if short:
        why = f"an epoch has only {_steps(calls)}, and what each epoch costs by itself"
    elif _share(evidence, "epoch_start") >= share / 2 and not buffered:
        why = "the iterator starts again, and the first step waits for it; that"
    elif _share(evidence, "epoch_start") >= share / 2:
        why = "the iterator starts again and fills its shuffle buffer, if any, and the first step waits for it; that"
    else:
        why = "what Keras does at the end of an epoch, and the end of the iterator,"
    return _finding(
        evidence,
        "epoch_start",
        share,
        f"{wording.share(share)} of the training lies between the steps of one epoch and those of the next: {why} "
        f"takes {wording.duration(seconds / epochs)}.",
        ("run_share.epoch_start", "run_share.between_epochs", "run_epochs", "run_calls_per_epoch"),
        fix="Make an epoch longer: repeat() the data, and say steps_per_epoch."
        if longer
        else CAUSES["epoch_start"].fix,
        code=_longer_epoch(evidence) if longer else SHUFFLE_EARLY,
        # Some of it any epoch costs: near the threshold it is no flaw for sure, and without a buffer that fills it is
        # what Keras itself takes, a hint where the steps take more.
        sure=short or (buffered and share >= 2 * limits.epoch_start_share),
        hint=not short and not buffered and share < limits.mostly,
    )


def _longer_epoch(evidence: Evidence) -> str:
    return ARRAYS_ONCE if evidence.text("data_kind") == "arrays" else ONE_LONG_EPOCH


def shown(evidence: Evidence, limits: Thresholds, *, cause: Cause[WholeRunId], of_run: RunShare) -> Result:
    """The part of the run that a cause's record names takes more of it than the threshold there."""
    share = _share(evidence, *of_run.parts)
    seconds, times = (
        sum(evidence.number(f"run_{what}.{part}") or 0.0 for part in of_run.parts) for what in ("s", "times")
    )
    least = getattr(limits, of_run.least_times) if of_run.least_times else 0.0
    if share < getattr(limits, of_run.threshold) or times < least:
        return None
    claim = of_run.claim.format(
        share=wording.share(share),
        name=evidence.text(f"run_name.{of_run.parts[0]}"),
        times=f"{times:.0f}",
        each=wording.duration(seconds / (times or 1.0)),
    )
    fix, code = _saved_seldom(evidence) if cause.id == "checkpointing" else ("", of_run.code)
    return _finding(evidence, cause.id, share, claim, cause.signals, fix=fix, code=code or of_run.code)


def _saved_seldom(evidence: Evidence) -> tuple[str, str]:
    """Return how to save less often than now, and its code; empty where the usual words fit."""
    if not often(evidence, "checkpoint"):
        return SAVE_RARER, SAVE_FIFTH
    if evidence.text("run_name.checkpoint").startswith(BY_ITSELF):
        return SAVE_SELDOM, SAVE_IN_LOOP
    return "", ""


def callbacks(evidence: Evidence, limits: Thresholds) -> Result:
    """A callback takes much of the training."""
    share = _share(evidence, "callback")
    if share < limits.callback_share:
        return None
    name = evidence.text("run_name.callback")
    return _finding(
        evidence,
        "host_between_steps",
        share,
        f"{wording.share(share)} of the training passes in callbacks, most of it in `{name}`.",
        ("run_share.callback", "run_s.callback", "run_name.callback"),
        fix=f"Have `{name}` do less, or less often: once an epoch, or once in a hundred batches."
        if often(evidence, "callback")
        else f"Have `{name}` do less, or less often: on fewer samples, or every fifth epoch.",
        code=(ONCE_AN_EPOCH if often(evidence, "callback") else EVERY_FIFTH).format(name=name),
    )


def loop_input(evidence: Evidence, limits: Thresholds) -> Result:
    """A loop of one's own waits for its dataset, in its steps or all at once."""
    share, times = _share(evidence, "input"), evidence.number("run_times.input") or 0.0
    if share < limits.loop_input_share or not times:
        return None
    each = (evidence.number("run_s.input") or 0.0) / times
    return _finding(
        evidence,
        "input_bound",
        share,
        f"{wording.share(share)} of the training passes while the script's own loop waits for tf.data: {times:,.0f} "
        f"batches, {wording.duration(each)} each.",
        ("run_share.input", "run_s.input", "run_times.input"),
        fix="Take each batch when it is needed, from a dataset that makes it ahead (prefetch) and keeps what it made "
        "(cache, where nothing is random); list(ds) makes all of them anew each time, and meanwhile nothing trains.",
        code=BATCHES_AHEAD,
    )


def startup(evidence: Evidence, limits: Thresholds) -> Result:
    """Most of the run passes before its first step."""
    share = evidence.number("run_share.startup") or 0.0
    seconds = share * (evidence.number("run_wall_s") or 0.0)
    if share < limits.startup_share or seconds < limits.startup_s:
        return None
    return _finding(
        evidence,
        "startup",
        share,
        f"{wording.share(share)} of the run passes before its first training: {wording.clock(seconds)} for imports, "
        "data and building the model.",
        ("run_share.startup", "run_s.imports", "run_s.build"),
        # It comes once: where it is less than half, a longer training makes it small.
        sure=share >= limits.mostly,
    )


def retracing(evidence: Evidence, limits: Thresholds) -> Result:
    """A function that was traced before builds its graph again."""
    share, times = _share(evidence, "retracing"), evidence.number("run_times.retracing") or 0.0
    if share < limits.compile_share or times < limits.compiled_again:
        return None
    return _finding(
        evidence,
        "eager_or_retracing",
        share,
        f"{times:.0f} calls built their graph again, which took {wording.share(share)} of the training.",
        ("run_share.retracing", "run_s.retracing", "run_times.retracing"),
        fix="Give the tf.function tensors of one shape and type: each new Python number is a new graph, and so is each "
        "new shape. Where lengths differ, pad them to few lengths, or let reduce_retracing=True make one graph do.",
        code=ONE_GRAPH,
        # A graph for each of a few shapes comes once: in a longer training it weighs less.
        hint=times * fixed.SELDOM_BUILT < (evidence.number("run_calls") or 0.0),
    )


RULES: tuple[Rule, ...] = (
    many_small_fits,
    epoch_start,
    *(partial(shown, cause=cause, of_run=cause.of_run) for cause in WHOLE_RUN if cause.of_run),
    callbacks,
    loop_input,
    startup,
    retracing,
)
CAUSES_OF_RUN = tuple(cause.id for cause in WHOLE_RUN)


def _fits_are_small(evidence: Evidence, limits: Thresholds) -> bool:
    fits, calls = evidence.number("run_trainings") or 0.0, evidence.number("run_calls_per_training") or 0.0
    return fits >= limits.many_calls and calls < limits.short_epoch


def _share(evidence: Evidence, *parts: str) -> float:
    return sum(evidence.number(f"run_share.{part}") or 0.0 for part in parts)


def _steps(calls: float) -> str:
    return "one step" if calls < 1.5 else f"{wording.significant(calls, 2)} steps"


def _finding(
    evidence: Evidence,
    cause: CauseId,
    share: float,
    claim: str,
    names: tuple[str, ...],
    *,
    fix: str = "",
    code: str = "",
    sure: bool = True,
    hint: bool = False,
) -> Finding:
    surely: Confidence = "high" if sure and evidence.flag("run_complete") else "medium"
    return Finding(
        cause=cause,
        primary=False,
        severity=share,
        confidence="low" if hint else surely,
        claim=claim,
        evidence=evidence.only(*names, "run_wall_s", "run_goodput"),
        fix=fix or CAUSES[cause].fix,
        code=code,
        of="run",
    )
