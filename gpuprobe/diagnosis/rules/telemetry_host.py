"""Findings from the counters of the host alone, where there is neither a GPU nor a trace."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpuprobe import wording
from gpuprobe.diagnosis.records import NotEvaluated
from gpuprobe.diagnosis.rules.finding import finding_of
from gpuprobe.diagnosis.rules.signs import busiest, is_pinned, mostly, sign_in_words

if TYPE_CHECKING:
    from gpuprobe.diagnosis.rules.rule import Result, Rule
    from gpuprobe.records import Evidence
    from gpuprobe.thresholds import Thresholds


def cores_full(evidence: Evidence, limits: Thresholds) -> Result:
    """Without a GPU: all cores are busy, so the processor is the limit."""
    names = ("cpu_fraction", "cpu_limit")
    if reason := evidence.lacking(*names):
        return NotEvaluated(cause="compute_bound", reason=reason)
    share, may_use = evidence.numbers(*names)
    if share < limits.compute_fraction:
        return None
    return finding_of(
        evidence,
        "compute_bound",
        severity=share,
        confidence="medium",
        claim=f"The command kept {wording.share(share)} of the {wording.cores(may_use)} "
        "busy: the processor is the limit.",
        names=names,
        fix="More cores or a GPU; on this processor, less work for each step.",
    )


def disk_wait_host(evidence: Evidence, limits: Thresholds) -> Result:
    """Without a GPU: a core waits for a disk for more than half of the time."""
    return mostly(
        evidence,
        limits,
        ("iowait_fraction",),
        "During {} of the time a core of this machine waited for a disk.",
        "Keep the data in memory or on a faster disk. Other programs may have caused it: the counter is the machine's.",
        stage="cold_cache",
    )


def one_thread(evidence: Evidence, limits: Thresholds) -> Result:
    """Without a GPU: one thread is busy while the other cores idle."""
    names, pinned = ("cpu_fraction", "cpu_limit"), busiest(evidence)
    if reason := evidence.lacking(*names, *(("one_core_fraction",) if pinned is None else ())):
        return NotEvaluated(cause="input_bound", reason=reason)
    share, may_use = evidence.numbers(*names)
    if pinned is None or may_use < 2 or share >= limits.compute_fraction or not is_pinned(pinned, limits):
        return None
    return finding_of(
        evidence,
        "input_bound",
        stage="python_feed",
        severity=1 - share,
        confidence="low",
        claim=f"{sign_in_words(pinned, capital=True)} while {wording.share(1 - share)} of the processors idled: that "
        "suggests, but does not prove, that Python works alone, as when it feeds batches.",
        names=(*names, pinned.name),
        fix="Let libraries do the loop: tf.data with parallel map and prefetch, tf.function, vectorised NumPy.",
    )


RULES: tuple[Rule, ...] = (cores_full, disk_wait_host, one_thread)
