"""The rule for threads that spin while they wait for each other, and so keep the cores from those they wait for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpuprobe import wording
from gpuprobe.diagnosis.records import NotEvaluated
from gpuprobe.diagnosis.rules.finding import finding_of

if TYPE_CHECKING:
    from gpuprobe.diagnosis.rules.rule import Result
    from gpuprobe.records import Evidence
    from gpuprobe.thresholds import Thresholds


def spinning_threads(evidence: Evidence, limits: Thresholds) -> Result:
    """The thread that trains is ready without a core for long, and hardly ever gives its own up to wait."""
    if reason := evidence.lacking("threads_spin"):
        return NotEvaluated(cause="spinning_threads", reason=reason)
    if not evidence.flag("threads_spin"):
        return None
    names = ("core_waited_fraction", "core_sleeps_per_s", "other_threads_cores")
    if reason := evidence.lacking(*names):
        return NotEvaluated(cause="spinning_threads", reason=reason)
    waited, sleeps, beside = evidence.numbers(*names)
    if waited < limits.core_waited or sleeps > limits.spinner_sleeps_per_s or beside < limits.wanted_cores:
        return None
    return finding_of(
        evidence,
        "spinning_threads",
        severity=waited,
        claim="PyTorch's threads spin while they wait for each other, and there are fewer free cores than threads: the "
        f"thread that trains was ready without a core for {wording.share(waited)} of the time, and gave its own up "
        f"{sleeps:.0f} times a second. A thread that spins keeps its core from the one that it waits for.",
        names=("threads_spin", *names, "other_cpu_cores"),
        code="export GOMP_SPINCOUNT=1000",
        confidence="high",
    )
