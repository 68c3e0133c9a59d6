"""Several devices or hosts in words: who waits for whom, how clocks differ, and what exchanges cost."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpuprobe import wording
from gpuprobe.ledger.peers import device_label
from gpuprobe.ledger.step_waits import in_words, is_the_same

if TYPE_CHECKING:
    from gpuprobe.ledger.records import DeviceBreakdown, TraceBreakdown

SHOWN_STEPS = 12


def across(breakdown: TraceBreakdown) -> list[str]:
    """Say who is waited for, how the hosts' clocks differ, and what is not known of several devices."""
    why_slowest = breakdown.slowest_why
    sentences = [f"{why_slowest[0].upper()}{why_slowest[1:]}."] if why_slowest else []
    sentences += _by_step(breakdown)
    for clock in breakdown.clocks:
        ahead_or_behind = "ahead of" if clock.offset_ms >= 0 else "behind"
        sentences.append(
            f"The clock of {clock.host} is {wording.milliseconds(abs(clock.offset_ms))} {ahead_or_behind} that of "
            f"{clock.against}, and gains {clock.drift_ppm:+.1f} us a second; ends of exchanges then agree within "
            f"{wording.milliseconds(clock.error_ms)}."
        )
    return [*sentences, *([f"{breakdown.untold[0].upper()}{breakdown.untold[1:]}."] if breakdown.untold else [])]


def _by_step(breakdown: TraceBreakdown) -> list[str]:
    """Say whether the same device is waited for in all steps, how often and how long, and which one in each step."""
    waits, devices = breakdown.waits, breakdown.devices
    waits_told, is_same = in_words(waits, devices), is_the_same(waits)
    if not waits_told or is_same is None:
        return []
    # Of many steps the last few are as telling as all of them.
    shown_waits = waits[-SHOWN_STEPS:]
    step_waits = [
        ("" if wait.number is None else f"{wait.number}: ")
        + ("nobody" if wait.device is None else "" if is_same else f"{device_label(devices, wait.device)} ")
        + ("" if wait.device is None else wording.milliseconds(wait.kept_ms))
        for wait in shown_waits
    ]
    steps = "By step" if len(shown_waits) == len(waits) else f"The last {SHOWN_STEPS} steps"
    who_sentence = "Always the same one is waited for" if is_same else "Who is waited for changes"
    return [f"{who_sentence}: {waits_told}.", f"{steps}: {', '.join(step_waits)}."]


def exchanges(device: DeviceBreakdown) -> list[str]:
    """Say how long exchanges run, how much of it nothing hides, and how much holds other work up."""
    facts = device.communication
    if facts is None:
        return []
    blocking = "not known" if facts.blocking_ms is None else wording.milliseconds(facts.blocking_ms)
    sentence = (
        f"exchanges {wording.milliseconds(facts.volume_ms)} a step, {wording.milliseconds(facts.exposed_ms)} of it "
        f"beside no other work, {blocking} holding other work up"
    )
    if facts.ahead_ms is None:
        return [sentence]
    overlap = "none starts before the last gradient is there"
    if facts.ahead_ms > 0:
        overlap = f"the first starts {wording.milliseconds(facts.ahead_ms)} before the last gradient is there"
    return [sentence, f"gradients in {wording.count(round(facts.packs), 'pack')} a step: {overlap}"]
