"""How sure the breakdown of a device is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpuprobe.ledger.categories import UNATTRIBUTED
from gpuprobe.thresholds import fixed

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gpuprobe.ledger.gpu import GpuTime
    from gpuprobe.ledger.host import TracedHost
    from gpuprobe.ledger.records import StepBreakdown
    from gpuprobe.records import Confidence

# TensorFlow's CUPTI tracer, where its buffers were too small: "Detected GPU events dropped on ...".
LOST = "events dropped"


def told_lost(warnings: Iterable[str]) -> float:
    """Return the share of events to take as lost: enough not to be sure where a warning says that some were, else 0."""
    return fixed.LOST_LOW if any(LOST in warning for warning in warnings) else 0.0


def confidence_in(step: StepBreakdown, joined: float, lost: float, waited_ms: float = 0.0) -> Confidence:
    """Return how sure the breakdown of a step is; `joined` and `lost` are shares of the device's work (0 to 1).

    `waited_ms` is the part of the step without a cause in which the trace yet shows that nothing was done.
    """
    unknown = (step.ledger_ms[UNATTRIBUTED] - waited_ms) / step.step_ms
    if joined >= fixed.JOINED_HIGH and unknown <= fixed.UNATTRIBUTED_HIGH and lost <= fixed.LOST_HIGH:
        return "high"
    likely = joined >= fixed.JOINED_LOW and unknown <= fixed.UNATTRIBUTED_LOW and lost <= fixed.LOST_LOW
    return "medium" if likely else "low"


def trusted(step: StepBreakdown, time: GpuTime, host: TracedHost, lost: float) -> Confidence:
    """Return how sure a GPU's breakdown is: low if its only step was guessed and covers little of the trace."""
    windows = time.windows
    step_ps = int(windows.end_ps[-1] - windows.start_ps[0])
    if windows.guessed and step_ps < fixed.GUESSED_STEP_COVERED * (host.last_ps - host.first_ps):
        return "low"
    return confidence_in(step, time.work.joined_fraction, max(time.lost.fraction, lost))
