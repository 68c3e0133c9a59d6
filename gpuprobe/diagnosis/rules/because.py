"""What in a trace makes a cause what it is, as a sentence."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from gpuprobe import wording
from gpuprobe.diagnosis.causes import STAGES
from gpuprobe.diagnosis.rules.stage import OF_COPIES, longest_copies
from gpuprobe.ledger.stages import HANDS_ON, PYTHON_STAGE, last
from gpuprobe.thresholds import fixed

if TYPE_CHECKING:
    from gpuprobe.diagnosis.causes import CauseId
    from gpuprobe.records import Evidence


def because(cause: CauseId, evidence: Evidence) -> str:
    """Return what in this trace makes the cause, as a sentence after a space; empty where nothing shows it."""
    reason = SAID[cause](evidence) if cause in SAID else ""
    return f" {reason}" if reason else ""


def _operations(evidence: Evidence) -> str:
    operations = evidence.text("operations")
    return f"The longest operations, with their share of the step: {operations}." if operations else ""


def _kernels(evidence: Evidence) -> str:
    count, median_us = evidence.number("kernels_per_step"), evidence.number("kernel_median_us")
    if count is None or median_us is None:
        return ""
    length = wording.milliseconds(median_us / 1000)
    calls = evidence.number("launches_per_step")
    if calls is not None and count >= fixed.KERNELS_AT_ONCE * calls:
        return f"A step starts {count:,.0f} kernels by {calls:,.0f} calls, and the median one runs for {length}."
    return f"A step starts {count:,.0f} kernels one by one, and the median one runs for {length}."


def _copies(evidence: Evidence) -> str:
    longest = longest_copies(evidence)
    if not longest:
        return ""
    words = STAGES[OF_COPIES[longest]].words
    return f"{words[0].upper()}{words[1:]}: {wording.share(evidence.numbers(longest)[0])} of the step."


def _input(evidence: Evidence) -> str:
    slowest = last(evidence.text("slowest_iterator"))
    if not slowest:
        return ""
    if slowest == PYTHON_STAGE:
        return "Python gathers each batch and makes tensors of it before the step can begin."
    ran = evidence.text("input_operations")
    does = f" Of the pipeline's operations, {ran}." if ran else ""
    if not slowest.startswith(HANDS_ON):
        return f"The slowest stage of the pipeline is {slowest}.{does}"
    more = does or " The trace shows no details of it."
    return f"The stages that fill the buffer of batches are slower than the training.{more}"


def _exchange(evidence: Evidence) -> str:
    sentences = [_exchange_costs(evidence), _packs(evidence)]
    if evidence.number("kept_waiting_share") is None:
        sentences.append("Only the traces of all devices show how much of it is waiting for another device.")
    return " ".join(filter(None, sentences))


def _exchange_costs(evidence: Evidence) -> str:
    volume, blocking = evidence.number("exchange_volume_ms"), evidence.number("exchange_blocking_ms")
    if volume is None or blocking is None:
        return ""
    return (
        f"Exchanges run for {wording.milliseconds(volume)} of a step; for {wording.milliseconds(blocking)} other work "
        "waits for them, and no more can be saved."
    )


def _packs(evidence: Evidence) -> str:
    packs, ahead = evidence.number("gradient_packs"), evidence.number("exchange_ahead_ms")
    if not packs or ahead is None:
        return ""
    if ahead <= 0:
        how = "All gradients go in one pack" if round(packs) == 1 else f"The gradients go in {packs:.0f} packs"
        return f"{how}, after the last gradient is ready: nothing runs beside the backward pass."
    return (
        f"Of {packs:.0f} packs of gradients the first starts {wording.milliseconds(ahead)} before the last gradient is "
        "ready."
    )


SAID: dict[CauseId, Callable[[Evidence], str]] = {
    "compute_bound": _operations,
    "dense_update": _operations,
    "launch_bound": _kernels,
    "copy_bound": _copies,
    "input_bound": _input,
    "collective_bound": _exchange,
}
