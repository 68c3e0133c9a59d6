"""What telemetry says where it names no cause: how busy the GPU or the processor was, and what to do next."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpuprobe import wording
from gpuprobe.diagnosis.records import Finding, NotEvaluated
from gpuprobe.diagnosis.rules.finding import finding_of

if TYPE_CHECKING:
    from gpuprobe.records import Evidence
    from gpuprobe.thresholds import Thresholds

TRACE_A_WAIT = (
    "Trace a few steps that include a wait: `gpuprobe watch --trace` traces a Keras training, and says whether the "
    "input, copies or the host made the GPU wait."
)


def unattributed(evidence: Evidence, limits: Thresholds) -> Finding | NotEvaluated:
    """Say that no rule explains the time: how busy the GPU was, or else how much of the processor was used."""
    of_gpu = ("utilization_percent", "utilization_p95_percent", "utilization_p5_percent")
    more = ("utilization_p50_percent", "utilization_idle_fraction")
    of_host = ("cpu_fraction", "cpu_cores")
    on_gpu = evidence.get("utilization_percent") is not None
    names = of_gpu if on_gpu else of_host
    if reason := evidence.lacking(*names):
        return NotEvaluated(cause="unattributed", reason=reason)
    used = evidence.numbers(names[0])[0] / (100 if on_gpu else 1)
    return finding_of(
        evidence,
        "unattributed",
        severity=1 - used,
        confidence="low",
        claim=_gpu_idled(evidence, limits, used) if on_gpu else _host_waited(evidence, limits),
        names=(*names, *(more if on_gpu and _is_mostly_full(evidence, limits) else ())),
        fix=TRACE_A_WAIT
        if on_gpu and _is_mostly_full(evidence, limits)
        else "A trace shows where the time goes: `gpuprobe watch --trace` takes one of a Keras training.",
    )


def _gpu_idled(evidence: Evidence, limits: Thresholds, busy: float) -> str:
    p95, p5 = evidence.numbers("utilization_p95_percent", "utilization_p5_percent")
    if _is_mostly_full(evidence, limits):
        idle = evidence.number("utilization_idle_fraction")
        how_long = f": it idled {wording.share(idle)} of the time" if idle else ""
        return (
            f"The GPU is full in most readings (the median is {evidence.number('utilization_p50_percent'):.0f} %) and "
            f"waits now and then{how_long}, and was busy {wording.share(busy)} on average. Without the waits the same "
            f"work would take {wording.share(busy)} of the time at best. Telemetry cannot tell what it waits for."
        )
    bursts = p95 >= 100 * limits.underused and p5 < 100 * limits.at_rest
    how = "works in bursts and waits between them" if bursts else "is under-used"
    claim = f"The GPU {how} (busy {wording.share(busy)} of the time), and telemetry names no cause."
    cores = evidence.number("cpu_cores")
    if cores is not None and cores < limits.wanted_cores and busy:
        claim += " The command hardly used the processor: what the GPU did may have been another program's work."
    return claim


def _is_mostly_full(evidence: Evidence, limits: Thresholds) -> bool:
    """Whether a GPU with a low average is busy in most readings, and waits only now and then."""
    names = ("utilization_p50_percent", "utilization_percent", "utilization_idle_fraction")
    if evidence.lacking(*names):
        return False
    median, mean, idle = evidence.numbers(*names)
    return median >= 100 * limits.compute_fraction > mean and idle <= limits.waits_most


def _host_waited(evidence: Evidence, limits: Thresholds) -> str:
    share, cores = evidence.numbers("cpu_fraction", "cpu_cores")
    used = f"The command used {wording.cores(cores)} on average, {wording.share(share)}"
    others = evidence.number("other_cpu_cores") or 0.0
    full = (evidence.number("machine_fraction") or 0.0) >= limits.machine_full
    if full and cores >= limits.wanted_cores and others >= limits.at_work_cores:
        return (
            f"{used} of the cores that it may use, on a machine that was full: other programs took "
            f"{wording.cores(others)}. Measure again on a quiet machine."
        )
    if share < limits.mostly:
        return f"{used} of the cores that it may use: it waited most of the time, and telemetry cannot tell for what."
    return f"{used} of the cores that it may use, and telemetry names no cause."
