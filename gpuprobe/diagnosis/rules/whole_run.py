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
from gpuprobe.advice.callbacks import call_back_less_often, save_less_often, settings_of, validate_less
from gpuprobe.diagnosis.causes.whole_run import WHOLE_RUN
from gpuprobe.diagnosis.records import NotEvaluated
from gpuprobe.diagnosis.rules.fits_and_epochs import epoch_start, many_small_fits
from gpuprobe.diagnosis.rules.rule import Decided, Result, Rule, apply
from gpuprobe.diagnosis.rules.run_finding import finding_of_run, share_of_run
from gpuprobe.thresholds import DEFAULTS, Thresholds, fixed

if TYPE_CHECKING:
    from collections.abc import Callable

    from gpuprobe.diagnosis.causes import CauseId
    from gpuprobe.diagnosis.causes.cause import Cause, RunShare
    from gpuprobe.diagnosis.causes.whole_run import WholeRunId
    from gpuprobe.records import Evidence

# The advice on parts of a run, by cause.
ADVICE: dict[CauseId, Callable[[Evidence], tuple[str, str]]] = {
    "checkpointing": save_less_often,
    "validation": validate_less,
    "between_trainings": lambda _: ("", advice.ONE_FIT),
}
UNRECORDED = "the wall time of the run was not recorded"


def decide(evidence: Evidence, limits: Thresholds = DEFAULTS) -> Decided:
    """Return the findings, the most severe first but start-up last, none primary; and what could not be decided."""
    if evidence.number("run_wall_s") is None:
        return (), tuple(NotEvaluated(cause=cause, reason=UNRECORDED) for cause in CAUSES_OF_RUN)
    findings, undecided = apply(RULES, evidence, limits)
    # Start-up comes once and weighs little in a longer run: any other finding comes before it.
    return tuple(sorted(findings, key=lambda finding: finding.cause == "startup")), undecided


def shown_by_part(evidence: Evidence, limits: Thresholds, *, cause: Cause[WholeRunId], of_run: RunShare) -> Result:
    """The part of the run that the cause's record names takes more of it than the record's threshold."""
    share = share_of_run(evidence, *of_run.parts)
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
    fix, code = ADVICE[cause.id](evidence) if cause.id in ADVICE else ("", "")
    return finding_of_run(
        evidence, cause.id, share, claim, (*cause.signals, *settings_of(evidence, name)), fix=fix, code=code
    )


def callbacks(evidence: Evidence, limits: Thresholds) -> Result:
    """A callback takes much of the training."""
    share = share_of_run(evidence, "callback")
    if share < limits.callback_share:
        return None
    name = evidence.text("run_name.callback")
    fix, code = call_back_less_often(evidence, name)
    return finding_of_run(
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
    share, times = share_of_run(evidence, "input"), evidence.number("run_times.input") or 0.0
    if share < limits.loop_input_share or not times:
        return None
    each = (evidence.number("run_s.input") or 0.0) / times
    return finding_of_run(
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
    return finding_of_run(
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
    share, times = share_of_run(evidence, "retracing"), evidence.number("run_times.retracing") or 0.0
    if share < limits.compile_share or times < limits.compiled_again:
        return None
    return finding_of_run(
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
