"""Findings from telemetry alone: what NVML and the host's counters suggest where there is no trace.

Telemetry shows for how long the GPU idled and what the host did meanwhile, but not which call the host was in. So the
confidence is at most medium, and findings from a trace come first. The signals are those of `evidence.readings`: of one
GPU over its steady phase, or of the host alone where there is no GPU (`telemetry_host`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from gpuprobe import wording
from gpuprobe.diagnosis.records import NotEvaluated
from gpuprobe.diagnosis.rules import telemetry_host
from gpuprobe.diagnosis.rules.finding import finding_of
from gpuprobe.diagnosis.rules.gpu_state import not_on_gpu
from gpuprobe.diagnosis.rules.rule import Decided, Result, Rule, apply
from gpuprobe.diagnosis.rules.signs import busiest, is_pinned, mostly, sign_in_words
from gpuprobe.diagnosis.rules.telemetry_unknown import TRACE_A_WAIT, unattributed
from gpuprobe.thresholds import DEFAULTS, Thresholds

if TYPE_CHECKING:
    from gpuprobe.records import Evidence


def decide(evidence: Evidence, limits: Thresholds = DEFAULTS) -> Decided:
    """Return the findings, the primary one first, and the rules that could not be decided."""
    on_gpu = evidence.get("utilization_percent") is not None
    causes, undecided = apply(GPU_RULES if on_gpu else telemetry_host.RULES, evidence, limits)
    if not causes:
        unknown = unattributed(evidence, limits)
        if isinstance(unknown, NotEvaluated):
            return (), (*undecided, unknown)
        causes = (unknown,)
    return (msgspec.structs.replace(causes[0], primary=True), *causes[1:]), undecided


def compute_bound(evidence: Evidence, limits: Thresholds) -> Result:
    """A kernel runs nearly all the time, and the SMs, where read, work too: healthy, as far as NVML can tell."""
    if reason := evidence.lacking("utilization_percent"):
        return NotEvaluated(cause="compute_bound", reason=reason)
    busy, active = evidence.numbers("utilization_percent")[0] / 100, evidence.number("sm_active_percent")
    if busy < limits.compute_fraction or (active is not None and active < 100 * limits.sm_low):
        return None
    idle = evidence.number("utilization_idle_fraction") or 0.0
    waits = (
        f" Now and then it waited: it idled {wording.share(idle)} of the time." if idle >= limits.waits_share else ""
    )
    sms = "NVML cannot tell how well its kernels fill it."
    if active is not None:
        sms = f"On average {active:.0f} % of its multiprocessors (SMs) were active."
    return finding_of(
        evidence,
        "compute_bound",
        severity=busy,
        confidence="low" if waits else "medium",
        claim=f"A kernel ran during {wording.share(busy)} of the steady phase: the GPU was kept busy.{waits} {sms}",
        names=("utilization_percent", "sm_active_percent", *_idle_sign(waits)),
        fix="Look at the kernels: `gpuprobe run` traces them." if not waits else TRACE_A_WAIT,
    )


def _idle_sign(waits: str) -> tuple[str, ...]:
    return ("utilization_idle_fraction",) if waits else ()


def half_filled(evidence: Evidence, limits: Thresholds) -> Result:
    """A kernel runs nearly all the time, but DCGM shows most multiprocessors without work."""
    names = ("utilization_percent", "sm_active_percent")
    if reason := evidence.lacking(*names):
        return NotEvaluated(cause="batch_too_small", reason=reason)
    busy, active = (value / 100 for value in evidence.numbers(*names))
    if busy < limits.compute_fraction or active >= limits.sm_low:
        return None
    return finding_of(
        evidence,
        "batch_too_small",
        severity=busy - active,
        confidence="low",
        claim=f"A kernel ran during {wording.share(busy)} of the steady phase, but on average only "
        f"{wording.share(active)} of the multiprocessors (SMs) were active: the kernels are too small for the card, "
        "or many are too short.",
        names=names,
        fix="Double the batch size and watch again; a trace tells which kernels leave it empty.",
    )


def disk_wait(evidence: Evidence, limits: Thresholds) -> Result:
    """The GPU idles while a core waits for a disk (SageMaker Debugger, IOBottleneck)."""
    return mostly(
        evidence,
        limits,
        ("iowait_gpu_idle_fraction", "utilization_idle_fraction"),
        "During {} of the steady phase the GPU idled while a core waited for a disk.",
        "Keep the data in memory or on a faster disk: tf.data's cache(), larger files, prefetch.",
        stage="cold_cache",
        confidence="medium",
    )


def processor_full(evidence: Evidence, limits: Thresholds) -> Result:
    """The GPU idles while the processors are full (SageMaker Debugger, CPUBottleneck)."""
    may_use = wording.cores(evidence.number("cpu_limit") or 0.0)
    return mostly(
        evidence,
        limits,
        ("cpu_full_gpu_idle_fraction", "cpu_cores", "cpu_limit"),
        f"During {{}} of the steady phase the GPU idled while all {may_use} were full: the host's work, usually "
        "preparing data, takes the time.",
        "Do less work for each batch: cache() what does not change, augment on the GPU.",
    )


def python_feed(evidence: Evidence, limits: Thresholds) -> Result:
    """The GPU is under-used while one thread fills a core: Python that feeds or dispatches."""
    names = ("utilization_percent", "utilization_p95_percent")
    if reason := evidence.lacking(*names):
        return NotEvaluated(cause="input_bound", reason=reason)
    pinned = busiest(evidence)
    if pinned is None:
        return NotEvaluated(cause="input_bound", reason="neither threads nor cores were read")
    # If all processors are full, the others do not wait for the one thread.
    all_full = (evidence.number("cpu_full_gpu_idle_fraction") or 0.0) > limits.mostly
    if all_full or not _under_used(evidence, limits) or not is_pinned(pinned, limits):
        return None
    idle = 1 - evidence.numbers("utilization_percent")[0] / 100
    return finding_of(
        evidence,
        "input_bound",
        stage="python_feed",
        severity=idle,
        confidence="low",
        claim=f"The GPU idled {wording.share(idle)} of its steady phase while {sign_in_words(pinned)}: that "
        "suggests, but does not prove, that Python feeds it batch by batch. Python that launches every operation "
        "looks the same.",
        names=(*names, pinned.name),
        fix="Feed through tf.data with map, cache and prefetch, and train inside tf.function; a trace tells which of "
        "the two it is.",
    )


def batch_too_small(evidence: Evidence, limits: Thresholds) -> Result:
    """Processor, GPU and its memory bus all have room (SageMaker Debugger, BatchSize)."""
    names = ("utilization_p95_percent", "memory_utilization_p95_percent", "cpu_p95_fraction", "cpu_cores")
    if reason := evidence.lacking(*names):
        return NotEvaluated(cause="batch_too_small", reason=reason)
    gpu, memory, cpu, cores = evidence.numbers(*names)
    room = max(gpu, memory, 100 * cpu) < 100 * limits.underused
    # A host that hardly computes waits for something else, which a larger batch does not change.
    if not room or cores < limits.at_work_cores or gpu < 100 * limits.at_rest:
        return None
    mean = evidence.number("utilization_percent")
    return finding_of(
        evidence,
        "batch_too_small",
        # Unused room is a weaker hint than a full core or waits for a disk.
        severity=(1 - mean / 100) / 2 if mean is not None else 0.0,
        confidence="low",
        claim=f"GPU, its memory bus and the processors all had room (95th percentiles {gpu:.0f} %, "
        f"{memory:.0f} % and {wording.share(cpu)}): a larger batch may use it.",
        names=names[:3],
        fix="Double the batch size and watch again; if the step then takes no longer, double it again.",
    )


GPU_RULES: tuple[Rule, ...] = (
    not_on_gpu,
    compute_bound,
    half_filled,
    disk_wait,
    processor_full,
    python_feed,
    batch_too_small,
)


def _under_used(evidence: Evidence, limits: Thresholds) -> bool:
    names = ("utilization_percent", "utilization_p95_percent", "utilization_p5_percent")
    if evidence.lacking(*names):
        return False
    mean, p95, p5 = evidence.numbers(*names)
    fluctuates = p5 < 100 * limits.at_rest
    return mean < 100 * limits.compute_fraction and (p95 < 100 * limits.underused or fluctuates)
