"""A finding as a title: how much of the step it costs, and why, in one sentence."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpuprobe import wording
from gpuprobe.diagnosis.causes import cause_named
from gpuprobe.ledger.categories import UNATTRIBUTED
from gpuprobe.report.breakdown import lines

if TYPE_CHECKING:
    from gpuprobe.diagnosis.records import Finding
    from gpuprobe.ledger.records import DeviceBreakdown

# Two shares that differ by less are shown as one.
ALIKE = 0.02
WORTH_TELLING = 0.05
# Causes whose part of the step is idle time of the device, by the name of its signal.
IDLE = ("share.idle_", "share.launch")


def headline(finding: Finding | None, device: DeviceBreakdown | None, training: str = "") -> str:
    """Return the title without a full stop; `device` is None without a trace, `training` names whose step it is."""
    if finding is None or finding.cause == "unattributed":
        return _unexplained(device)
    cause = cause_named(finding.cause)
    words = (cause.words if cause else finding.cause).replace("`", "")
    perhaps = "perhaps " if finding.confidence == "low" else ""
    if finding.of == "run":
        return _sentence(f"{perhaps}{words}: {wording.share(finding.severity)} of the run")
    step = f"the step{f' of `{training}`' if training else ''}"
    if finding.cause == "compute_bound":
        return _sentence(f"{_busy(device, step)}{perhaps}the device itself is the limit")
    signal = cause.part.share if cause and cause.part else ""
    if device is not None and signal.startswith(IDLE) and finding.severity >= WORTH_TELLING:
        idle = idle_share(device)
        if idle >= finding.severity - ALIKE:
            name = "GPU" if device.kind == "gpu" else "Processor"
            idle_words = f"{name} idle {wording.share(idle)} of {step}"
            because = f", {perhaps}because" if perhaps else ":"
            if idle - finding.severity > ALIKE:
                because = f", {wording.share(finding.severity)} {perhaps}because"
            return f"{idle_words}{because} {words}"
    of = f" ({wording.share(finding.severity)} of {step})" if finding.severity >= WORTH_TELLING else ""
    return _sentence(f"{perhaps}{words}{of}")


def idle_share(device: DeviceBreakdown) -> float:
    """Return the share of the step in which the device waits (0 to 1): neither work, copy nor exchange runs."""
    return sum(line.fraction for line in lines(device) if line.category.startswith("idle_"))


def _busy(device: DeviceBreakdown | None, step: str) -> str:
    if device is None:
        return ""
    computed = sum(line.fraction for line in lines(device) if line.category.endswith("_compute"))
    name = "GPU" if device.kind == "gpu" else "processor"
    return f"{name} busy {wording.share(computed)} of {step}: "


def _unexplained(device: DeviceBreakdown | None) -> str:
    if device is None:
        return "What limits the training is not known"
    name, idle, unknown = "GPU" if device.kind == "gpu" else "Processor", idle_share(device), device.share(UNATTRIBUTED)
    if unknown > idle:
        return f"No event explains {wording.share(unknown)} of the step, and what limits it is not known"
    return f"{name} idle {wording.share(idle)} of the step, and what limits it is not known"


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]
