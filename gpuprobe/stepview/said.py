"""The sentences of the page: title, facts, the predicted step, and notes on what was left out or merged."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from gpuprobe import wording
from gpuprobe.report import breakdown as reading
from gpuprobe.report import findings
from gpuprobe.report.headline import finding_headline
from gpuprobe.units import PS_PER_MS

if TYPE_CHECKING:
    from gpuprobe.ledger.records import DeviceBreakdown
    from gpuprobe.stepview.view import View


def title_of(view: View) -> str:
    """Return the primary finding as a title, in the same words as the report."""
    if not view.strips:
        return "A trace without a step"
    return finding_headline(view.diagnosis.primary, view.strips[0].breakdown)


def trace_facts_of(view: View) -> list[tuple[str, str]]:
    """Return facts about the trace, as (name, value)."""
    trace_facts = [("Trace", Path(view.diagnosis.source).name)]
    if view.strips:
        device = view.strips[0].breakdown
        trace_facts.append(("device", f"{device.model} ({device.name})" if device.model else device.name))
        trace_facts.append(("step", wording.milliseconds(device.step_ms)))
        trace_facts.append(("steps", _step_count(device)))
        trace_facts.append(("found by", device.steps_from))
    return trace_facts


def _step_count(device: DeviceBreakdown) -> str:
    if device.counted == device.steps:
        return f"{device.steps:,}"
    return f"{device.steps:,}, the breakdown is the mean of {device.counted:,}"


def bare_kernel_name(kernel: str) -> str:
    """Return a kernel's name without return type, template arguments and namespaces."""
    qualified_name = kernel.removeprefix("void ").replace("(anonymous namespace)::", "")
    short = re.split(r"[<(]", qualified_name)[0].rpartition("::")[2]
    return reading.short_name(short or kernel)


def predicted_step_sentence(view: View) -> str:
    """Return a sentence on the predicted step, or on why there is none."""
    predicted = view.predicted
    if predicted is None:
        return f"No predicted step is shown: {view.why_not}." if view.why_not else ""
    prediction = predicted.prediction
    now_ms = view.strips[0].breakdown.step_ms
    call_count = wording.count(predicted.calls, "call")
    predicted_sentence = (
        f"After the advised change ({prediction.change}): {wording.milliseconds(now_ms)} -> "
        f"{wording.milliseconds(now_ms / prediction.gain.ratio)} for the samples of a step, "
        f"{findings.gain_ratio(prediction.gain)}, predicted by the replay. Assumed: {prediction.assumption}. Drawn are "
        f"{call_count} of the training function in a long training, from the start of the first step that counts, with "
        "a mark where the next call begins."
    )
    if predicted.share < 1:
        predicted_sentence += f" {wording.share(predicted.share)} of the calls run like this; the others differ."
    return predicted_sentence


def view_notes_of(view: View) -> list[str]:
    """Return notes on merged events and on sorted colours, and the warnings of the trace's reader."""
    view_notes, lanes = [], view.lanes
    if lanes.joined:
        view_notes.append(
            f"Merged: of {lanes.events:,} events, {lanes.joined:,} that are shorter than "
            f"{wording.milliseconds(lanes.below_ps / PS_PER_MS)} and lie close together were merged into "
            f"{lanes.stretches:,} stretches. Each has the name of its longest event, by which alone search finds it."
        )
    else:
        view_notes.append(f"All {wording.count(lanes.events, 'event')} of the trace are shown; none was merged.")
    longest_bin_ps = max((strip.bin_ps for strip in view.strips), default=0)
    if longest_bin_ps:
        view_notes.append(
            f"Within each {wording.milliseconds(longest_bin_ps / PS_PER_MS)} the colours of the breakdown are sorted "
            "by category, not by time; their sums are exact."
        )
    return [*view_notes, *(f"Note: {warning}" for warning in view.diagnosis.warnings)]
