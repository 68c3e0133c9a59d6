"""The sentences of the page: title, facts, the predicted step, and notes on what was left out or merged."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from gpuprobe import wording
from gpuprobe.report import breakdown as reading
from gpuprobe.report import findings
from gpuprobe.report.headline import headline
from gpuprobe.units import PS_PER_MS

if TYPE_CHECKING:
    from gpuprobe.ledger.records import DeviceBreakdown
    from gpuprobe.stepview.view import View


def title_of(view: View) -> str:
    """Return the finding as a title, in the words of the report."""
    if not view.strips:
        return "A trace without a step"
    return headline(view.diagnosis.primary, view.strips[0].breakdown)


def facts(view: View) -> list[tuple[str, str]]:
    """Return facts about the trace, as (name, value)."""
    rows = [("Trace", Path(view.diagnosis.source).name)]
    if view.strips:
        device = view.strips[0].breakdown
        rows.append(("device", f"{device.model} ({device.name})" if device.model else device.name))
        rows.append(("step", wording.milliseconds(device.step_ms)))
        rows.append(("steps", _steps(device)))
        rows.append(("found by", device.steps_from))
    return rows


def _steps(device: DeviceBreakdown) -> str:
    if device.counted == device.steps:
        return f"{device.steps:,}"
    return f"{device.steps:,}, the breakdown is the mean of {device.counted:,}"


def bare(kernel: str) -> str:
    """Return a kernel's name without return type, template arguments and namespaces."""
    named = kernel.removeprefix("void ").replace("(anonymous namespace)::", "")
    name = re.split(r"[<(]", named)[0].rpartition("::")[2]
    return reading.short(name or kernel)


def of_predicted(view: View) -> str:
    """Return a sentence on the predicted step, or on why there is none."""
    predicted = view.predicted
    if predicted is None:
        return f"No predicted step is shown: {view.why_not}." if view.why_not else ""
    made = predicted.prediction
    now_ms = view.strips[0].breakdown.step_ms
    calls = wording.count(predicted.calls, "call")
    text = (
        f"After the advised change ({made.change}): {wording.milliseconds(now_ms)} -> "
        f"{wording.milliseconds(now_ms / made.gain.ratio)} for the samples of a step, {findings.ratio(made.gain)}, "
        f"predicted by the replay. Assumed: {made.assumption}. Drawn from the begin of the first step that counts: "
        f"{calls} of the training function as they follow each other in a long training, with a mark where the next "
        "begins."
    )
    if predicted.share < 1:
        text += f" So {wording.share(predicted.share)} of the calls go; the others differ."
    return text


def notes(view: View) -> list[str]:
    """Return notes on merged events, on what is not shown, and the reader's warnings."""
    sentences, lanes = [], view.lanes
    if lanes.joined:
        sentences.append(
            f"Thinned: of {lanes.events:,} events, {lanes.joined:,} that are shorter than "
            f"{wording.milliseconds(lanes.below_ps / PS_PER_MS)} and lie close together were joined into "
            f"{lanes.stretches:,} stretches, each told by its longest event; search finds a joined event only by that."
        )
    else:
        sentences.append(f"All {wording.count(lanes.events, 'event')} of the trace are shown; none was joined.")
    binned = max((strip.bin_ps for strip in view.strips), default=0)
    if binned:
        sentences.append(
            f"Within {wording.milliseconds(binned / PS_PER_MS)} the colours of the breakdown are sorted, and not in "
            "their order; their sums are exact."
        )
    return [*sentences, *(f"Note: {warning}" for warning in view.diagnosis.warnings)]
