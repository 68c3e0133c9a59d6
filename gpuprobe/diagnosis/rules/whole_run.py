"""Findings from the wall time of a whole run: what lies before, between and beside its steps.

The signals are those of `evidence.whole_run_signals`. `shown_by_part` is the rule for every cause whose record names a
part of the run; the others have a rule each. Shares are of the run without the parts that come once, which weigh less
the longer a training goes on. The figures come from clocks, so those of a complete run leave no doubt.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from gpuprobe import wording
from gpuprobe.advice import whole_run as advice
from gpuprobe.advice.callbacks import BY_CAUSE, call_back_less_often, settings_of
from gpuprobe.diagnosis.causes import CAUSES
from gpuprobe.diagnosis.causes.whole_run import WHOLE_RUN
from gpuprobe.diagnosis.records import Finding, NotEvaluated
from gpuprobe.diagnosis.rules.rule import Decided, Result, Rule, apply
from gpuprobe.thresholds import DEFAULTS, Thresholds, fixed

if TYPE_CHECKING:
    from gpuprobe.diagnosis.causes import CauseId
    from gpuprobe.diagnosis.causes.cause import Cause, RunShare
    from gpuprobe.diagnosis.causes.whole_run import WholeRunId
    from gpuprobe.records import Confidence, Evidence

UNRECORDED = "the wall time of the run was not recorded"
# Parts that calls of `fit`, `predict` and `evaluate` cost beside their steps.
AROUND_STEPS = ("fit", "epoch_start", "between_epochs", "predict", "evaluate")
# Kinds of data without a shuffle buffer of the user's.
WITHOUT_BUFFER = frozenset(("arrays", "a PyDataset", "a generator"))


def decide(evidence: Evidence, limits: Thresholds = DEFAULTS) -> Decided:
    """Return the findings, the most severe first but start-up last, none primary; and what could not be decided."""
    if evidence.number("run_wall_s") is None:
        return (), tuple(NotEvaluated(cause=cause, reason=UNRECORDED) for cause in CAUSES_OF_RUN)
    findings, undecided = apply(RULES, evidence, limits)
    # Start-up comes once and weighs little in a longer run: any other finding comes before it.
    return tuple(sorted(findings, key=lambda finding: finding.cause == "startup")), undecided


def many_small_fits(evidence: Evidence, limits: Thresholds) -> Result:
    """`fit` or `predict` is called in a loop, and costs more than its steps."""
    fits, calls = evidence.number("run_trainings") or 0.0, evidence.number("run_calls_per_training") or 0.0
    small = _fits_are_small(evidence, limits)
    predicts = evidence.number("run_times.predict") or 0.0
    loops = predicts >= limits.many_calls and bool(evidence.text("run_name.predict"))
    share = _share(evidence, *(AROUND_STEPS if small else ("predict",)))
    if not (small or loops) or share < limits.many_calls_share:
        return None
    calls_made = [f"`fit` was called {fits:.0f} times for {_steps(calls)} each"] if small else []
    batches = "a few batches" if "few" in evidence.text("run_name.predict") else "one batch"
    calls_made += (
        [f"`predict` {'' if small else 'was called '}{predicts:.0f} times for {batches} each"] if loops else []
    )
    return _finding(
        evidence,
        "many_small_fits",
        share,
        f"{wording.listing(calls_made)}: {wording.share(share)} of the run passes in what these calls cost on top of "
        "their steps.",
        ("run_trainings", "run_calls_per_training", *(f"run_share.{part}" for part in AROUND_STEPS)),
        code=advice.SMALL_FITS,
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
        fix=advice.LONGER if longer else CAUSES["epoch_start"].fix,
        code=advice.longer_epoch(evidence) if longer else advice.SHUFFLE_EARLY,
        # Every epoch costs some of it, so near the threshold it need not be a flaw. Without a buffer that fills it is
        # Keras's own cost: only a hint if the steps take more.
        sure=short or (buffered and share >= 2 * limits.epoch_start_share),
        hint=not short and not buffered and share < limits.mostly,
    )


def shown_by_part(evidence: Evidence, limits: Thresholds, *, cause: Cause[WholeRunId], of_run: RunShare) -> Result:
    """The part of the run that the cause's record names takes more of it than the record's threshold."""
    share = _share(evidence, *of_run.parts)
    seconds, times = (
        sum(evidence.number(f"run_{what}.{part}") or 0.0 for part in of_run.parts) for what in ("s", "times")
    )
    least = getattr(limits, of_run.least_times) if of_run.least_times else 0.0
    if share < getattr(limits, of_run.threshold) or times < least:
        return None
    name = evidence.text(f"run_name.{of_run.parts[0]}")
    claim = of_run.claim.format(
        share=wording.share(share),
        name=name,
        times=f"{times:.0f}",
        each=wording.duration(seconds / (times or 1.0)),
    )
    fix, code = BY_CAUSE[cause.id](evidence) if cause.id in BY_CAUSE else ("", "")
    return _finding(
        evidence, cause.id, share, claim, (*cause.signals, *settings_of(evidence, name)), fix=fix, code=code
    )


def callbacks(evidence: Evidence, limits: Thresholds) -> Result:
    """A callback takes much of the training."""
    share = _share(evidence, "callback")
    if share < limits.callback_share:
        return None
    name = evidence.text("run_name.callback")
    fix, code = call_back_less_often(evidence, name)
    return _finding(
        evidence,
        "host_between_steps",
        share,
        f"{wording.share(share)} of the training passes in callbacks, most of it in `{name}`.",
        ("run_share.callback", "run_s.callback", "run_name.callback", *settings_of(evidence, name)),
        fix=fix,
        code=code,
    )


def loop_input(evidence: Evidence, limits: Thresholds) -> Result:
    """A loop in the script waits for its dataset, in its steps or for all batches at once."""
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
        fix=advice.TAKE_BATCHES,
        code=advice.BATCHES_AHEAD,
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
        # It comes once: if it is less than half, a longer training makes it small.
        sure=share >= limits.mostly,
    )


def retracing(evidence: Evidence, limits: Thresholds) -> Result:
    """A function that was already traced builds its graph again."""
    share, times = _share(evidence, "retracing"), evidence.number("run_times.retracing") or 0.0
    if share < limits.compile_share or times < limits.compiled_again:
        return None
    return _finding(
        evidence,
        "eager_or_retracing",
        share,
        f"{times:.0f} calls built their graph again, which took {wording.share(share)} of the training.",
        ("run_share.retracing", "run_s.retracing", "run_times.retracing"),
        fix=advice.SAME_SHAPES,
        code=advice.ONE_GRAPH,
        # A graph for each of a few shapes is built once: in a longer training it weighs less.
        hint=times * fixed.SELDOM_BUILT < (evidence.number("run_calls") or 0.0),
    )


RULES: tuple[Rule, ...] = (
    many_small_fits,
    epoch_start,
    *(partial(shown_by_part, cause=cause, of_run=cause.of_run) for cause in WHOLE_RUN if cause.of_run),
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
    by_clock: Confidence = "high" if sure and evidence.flag("run_complete") else "medium"
    return Finding(
        cause=cause,
        primary=False,
        severity=share,
        confidence="low" if hint else by_clock,
        claim=claim,
        evidence=evidence.only(*names, "run_wall_s", "run_goodput"),
        fix=fix or CAUSES[cause].fix,
        code=code,
        of="run",
    )
