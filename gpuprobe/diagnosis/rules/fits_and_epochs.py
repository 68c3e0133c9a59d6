"""Findings from how a script divides its steps: many calls of `fit` or `predict`, and what its epochs cost."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpuprobe import wording
from gpuprobe.advice import whole_run as advice
from gpuprobe.diagnosis.causes import CAUSES
from gpuprobe.diagnosis.rules.run_finding import finding_of_run, share_of_run

if TYPE_CHECKING:
    from gpuprobe.diagnosis.rules.rule import Result
    from gpuprobe.records import Evidence
    from gpuprobe.thresholds import Thresholds

# Parts that calls of `fit`, `predict` and `evaluate` cost beside their steps.
AROUND_STEPS = ("fit", "epoch_start", "between_epochs", "predict", "evaluate")
# Kinds of data without a shuffle buffer of the user's.
WITHOUT_BUFFER = frozenset(("arrays", "a PyDataset", "a generator"))


def many_small_fits(evidence: Evidence, limits: Thresholds) -> Result:
    """`fit` or `predict` is called in a loop, and costs more than its steps."""
    fits, calls = evidence.number("run_trainings") or 0.0, evidence.number("run_calls_per_training") or 0.0
    small = _fits_are_small(evidence, limits)
    predicts = evidence.number("run_times.predict") or 0.0
    loops = predicts >= limits.many_calls and bool(evidence.text("run_name.predict"))
    share = share_of_run(evidence, *(AROUND_STEPS if small else ("predict",)))
    if not (small or loops) or share < limits.many_calls_share:
        return None
    calls_made = [f"`fit` was called {fits:.0f} times for {_steps(calls)} each"] if small else []
    batches = "a few batches" if "few" in evidence.text("run_name.predict") else "one batch"
    calls_made += (
        [f"`predict` {'' if small else 'was called '}{predicts:.0f} times for {batches} each"] if loops else []
    )
    return finding_of_run(
        evidence,
        "many_small_fits",
        share,
        f"{wording.listing(calls_made)}: {wording.share(share)} of the run passes in what these calls cost on top of "
        "their steps.",
        ("run_trainings", "run_calls_per_training", *(f"run_share.{part}" for part in AROUND_STEPS)),
        fix="" if small else advice.PREDICT_AT_ONCE,
        code="\n".join([advice.SMALL_FITS] * small + [advice.SMALL_PREDICTS] * loops),
    )


def epoch_start(evidence: Evidence, limits: Thresholds) -> Result:
    """The iterator starts again at each epoch, or an epoch holds so few steps that its own cost leads."""
    epochs, calls = evidence.number("run_epochs") or 0.0, evidence.number("run_calls_per_epoch") or 0.0
    share = share_of_run(evidence, "epoch_start", "between_epochs")
    if epochs < 2 or share < limits.epoch_start_share or _fits_are_small(evidence, limits):
        return None
    seconds = sum(evidence.number(f"run_s.{part}") or 0.0 for part in ("epoch_start", "between_epochs"))
    short, buffered = calls < limits.short_epoch, _fills_a_buffer(evidence)
    longer = short or not buffered
    if short:
        why = f"an epoch has only {_steps(calls)}, and what each epoch costs by itself"
    elif share_of_run(evidence, "epoch_start") >= share / 2 and not buffered:
        why = "the iterator starts again, and the first step waits for it; that"
    elif share_of_run(evidence, "epoch_start") >= share / 2:
        why = "the iterator starts again and fills its shuffle buffer, if any, and the first step waits for it; that"
    else:
        why = "what Keras does at the end of an epoch, and the end of the iterator,"
    return finding_of_run(
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


def _fills_a_buffer(evidence: Evidence) -> bool:
    """Whether a shuffle buffer may fill with samples at the start of an epoch, as far as kind of data and trace tell.

    A buffer that a map makes samples of later fills with what is cheap to read.
    """
    return evidence.text("data_kind") not in WITHOUT_BUFFER and evidence.text("shuffled") in {"", "samples"}


def _fits_are_small(evidence: Evidence, limits: Thresholds) -> bool:
    fits, calls = evidence.number("run_trainings") or 0.0, evidence.number("run_calls_per_training") or 0.0
    return fits >= limits.many_calls and calls < limits.short_epoch


def _steps(calls: float) -> str:
    return "one step" if calls < 1.5 else f"{wording.significant(calls, 2)} steps"
