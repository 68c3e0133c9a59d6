"""A finding as a title: how much of the step it costs, and why, in one sentence."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpuprobe import wording
from gpuprobe.diagnosis.causes import cause_named
from gpuprobe.ledger.categories import UNATTRIBUTED
from gpuprobe.report.breakdown import category_lines

if TYPE_CHECKING:
    from gpuprobe.diagnosis.records import Finding
    from gpuprobe.ledger.records import DeviceBreakdown

# Two shares that differ by less are shown as one figure.
SHARES_ALIKE = 0.02
WORTH_TELLING = 0.05
# The signals of causes whose part of the step is idle time of the device, by the beginning of their names.
IDLE_SIGNALS = ("share.idle_", "share.launch")


def finding_headline(finding: Finding | None, device: DeviceBreakdown | None, training: str = "") -> str:
    """Return the title without a full stop; `device` is None without a trace, `training` names whose step it is."""
    if finding is None or finding.cause == "unattributed":
        return _unexplained(device)
    cause = cause_named(finding.cause)
    cause_words = (cause.words if cause else finding.cause).replace("`", "")
    perhaps_word = "perhaps " if finding.confidence == "low" else ""
    if finding.of == "run":
        return _sentence(f"{perhaps_word}{cause_words}: {wording.share(finding.severity)} of the run")
    step = f"the step{f' of `{training}`' if training else ''}"
    if finding.cause == "compute_bound":
        return _sentence(f"{_busy(device, step)}{perhaps_word}the device itself is the limit")
    cause_signal = cause.part.share if cause and cause.part else ""
    if device is not None and cause_signal.startswith(IDLE_SIGNALS) and finding.severity >= WORTH_TELLING:
        idle_fraction = idle_share(device)
        if idle_fraction >= finding.severity - SHARES_ALIKE:
            device_name = "GPU" if device.kind == "gpu" else "Processor"
            idle_words = f"{device_name} idle {wording.share(idle_fraction)} of {step}"
            because = f", {perhaps_word}because" if perhaps_word else ":"
            if idle_fraction - finding.severity > SHARES_ALIKE:
                because = f", {wording.share(finding.severity)} {perhaps_word}because"
            return f"{idle_words}{because} {cause_words}"
    of_step = f" ({wording.share(finding.severity)} of {step})" if finding.severity >= WORTH_TELLING else ""
    return _sentence(f"{perhaps_word}{cause_words}{of_step}")


def idle_share(device: DeviceBreakdown) -> float:
    """Return the share of the step in which the device waits (0 to 1): neither work, copy nor exchange runs."""
    return sum(line.fraction for line in category_lines(device) if line.category.startswith("idle_"))


def _busy(device: DeviceBreakdown | None, step: str) -> str:
    if device is None:
        return ""
    compute_fraction = sum(line.fraction for line in category_lines(device) if line.category.endswith("_compute"))
    device_name = "GPU" if device.kind == "gpu" else "processor"
    return f"{device_name} busy {wording.share(compute_fraction)} of {step}: "


def _unexplained(device: DeviceBreakdown | None) -> str:
    if device is None:
        return "What limits the training is not known"
    device_name, idle_fraction, unattributed_fraction = (
        "GPU" if device.kind == "gpu" else "Processor",
        idle_share(device),
        device.share(UNATTRIBUTED),
    )
    if unattributed_fraction > idle_fraction:
        return f"No event explains {wording.share(unattributed_fraction)} of the step, and what limits it is not known"
    return f"{device_name} idle {wording.share(idle_fraction)} of the step, and what limits it is not known"


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]
