"""Findings from telemetry alone: what NVML and the host's counters suggest where there is no trace.

They name the share of the time in which the GPU idled and what the host did meanwhile, never which call it was in: the
confidence is at most medium, and a rule that has a trace knows better. The signals are those of `readings.evidence`, of
one GPU over its busy span, or of the host alone where there is no GPU.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from gpuprobe import wording
from gpuprobe.diagnosis.telemetry_conditions import CONDITIONS
from gpuprobe.diagnosis.telemetry_signals import Result, known, undecided, value
from gpuprobe.records import Evidence, Finding, NotEvaluated, Signal

Rule = Callable[[Evidence], Result | None]
# DESIGN: kernels that fill 80 % of the span are the healthy case; a processor that is as full likewise.
HEALTHY = 0.80
# SageMaker Debugger, LowGPUUtilization: p95 below 70 % is under-used; from 70 % on with p5 below 10 % it fluctuates.
# Its BatchSize rule wants processor, GPU and memory all with p95 below the same 70 %.
LOW_P95, FLUCTUATING_P5 = 70.0, 10.0
# SageMaker Debugger, CPUBottleneck and IOBottleneck: more than half of the time.
HALF = 0.5
# A Python thread that holds the interpreter's lock cannot use more than one core; waiting for others takes the rest.
PINNED = 0.90
# Less than this of one core is what waiting costs.
AT_WORK_CORES = 0.5
# A machine that has less than a tenth of its processors left is full; a command that wants one gets a tenth of it even
# then.
CROWDED, WANTS_CORES = 0.90, 0.10
# A CUDA context alone takes more than this of a card's memory.
CONTEXT_MIB = 64.0


def diagnose(evidence: Evidence) -> tuple[tuple[Finding, ...], tuple[NotEvaluated, ...]]:
    """Return the findings, the primary one first, and the rules that could not be decided.

    What slows any training down beside its cause comes last, and is never primary.
    """
    on_gpu = evidence.get("utilization_percent") is not None
    causes, left = _apply(GPU_RULES if on_gpu else HOST_RULES, evidence)
    conditions, left_too = _apply(CONDITIONS if on_gpu else (), evidence)
    if not causes:
        last = unattributed(evidence)
        if isinstance(last, NotEvaluated):
            return conditions, (*left, *left_too, last)
        causes = (last,)
    first = msgspec.structs.replace(causes[0], primary=True)
    return (first, *causes[1:], *conditions), (*left, *left_too)


def _apply(rules: Sequence[Rule], evidence: Evidence) -> tuple[tuple[Finding, ...], tuple[NotEvaluated, ...]]:
    results = [rule(evidence) for rule in rules]
    found = sorted((result for result in results if isinstance(result, Finding)), key=lambda found: -found.severity)
    return tuple(found), tuple(result for result in results if isinstance(result, NotEvaluated))


def not_on_gpu(evidence: Evidence) -> Result | None:
    """The GPU did nothing and held nothing more than before, while the processor worked."""
    p95, memory, cores = known(evidence, "utilization_p95_percent", "memory_peak_mib", "cpu_cores")
    if not (p95 and memory and cores):
        return undecided(evidence, "not_on_gpu", "utilization_p95_percent", "memory_peak_mib", "cpu_cores")
    grown_mib = value(memory) - (memory.low or 0.0)
    if value(p95) >= FLUCTUATING_P5 or grown_mib >= CONTEXT_MIB or value(cores) < AT_WORK_CORES:
        return None
    return Finding(
        cause="not_on_gpu",
        primary=False,
        severity=1.0,
        confidence="medium",
        claim=f"The GPU did nothing and its memory did not grow, while the command used "
        f"{wording.cores(value(cores))}: it computed on the processor.",
        evidence=(p95, memory, cores),
        fix="`gpuprobe doctor` says whether TensorFlow sees the GPU, and if not, why.",
    )


def compute_bound(evidence: Evidence) -> Result | None:
    """A kernel runs nearly all the time: the healthy case, as far as NVML can tell."""
    (mean,) = known(evidence, "utilization_percent")
    if mean is None:
        return undecided(evidence, "compute_bound", "utilization_percent")
    if value(mean) < 100 * HEALTHY:
        return None
    return Finding(
        cause="compute_bound",
        primary=False,
        severity=value(mean) / 100,
        confidence="medium",
        claim=f"A kernel ran during {wording.share(value(mean) / 100)} of the busy span: the GPU was kept at work. "
        "How well its kernels fill it, NVML cannot tell.",
        evidence=(mean,),
        fix="Look at the kernels: `gpuprobe run` traces them.",
    )


def disk_wait(evidence: Evidence) -> Result | None:
    """The GPU idles while a core waits for a disk (SageMaker Debugger, IOBottleneck)."""
    waiting, idle = known(evidence, "iowait_gpu_idle_fraction", "utilization_idle_fraction")
    if not (waiting and idle):
        return undecided(evidence, "input_bound", "iowait_gpu_idle_fraction", "utilization_idle_fraction")
    if value(waiting) <= HALF:
        return None
    return Finding(
        cause="input_bound",
        stage="cold_cache",
        primary=False,
        severity=value(waiting),
        confidence="medium",
        claim=f"During {wording.share(value(waiting))} of the busy span the GPU idled while a core waited for a disk.",
        evidence=(waiting, idle),
        fix="Keep the data in memory or on a faster disk: tf.data's cache(), larger files, prefetch.",
    )


def processor_full(evidence: Evidence) -> Result | None:
    """The GPU idles while the processors are full (SageMaker Debugger, CPUBottleneck)."""
    full, cores, limit = known(evidence, "cpu_full_gpu_idle_fraction", "cpu_cores", "cpu_limit")
    if not (full and cores and limit):
        return undecided(evidence, "input_bound", "cpu_full_gpu_idle_fraction", "cpu_cores", "cpu_limit")
    if value(full) <= HALF:
        return None
    return Finding(
        cause="input_bound",
        primary=False,
        severity=value(full),
        confidence="low",
        claim=f"During {wording.share(value(full))} of the busy span the GPU idled while all "
        f"{wording.cores(value(limit))} were full: the host's work, most often preparing data, "
        "is what takes the time.",
        evidence=(full, cores, limit),
        fix="Do less of it for each batch: cache() what does not change, augment on the GPU.",
    )


def python_feed(evidence: Evidence) -> Result | None:
    """The GPU is under-used while one thread has a core to itself: Python that feeds or dispatches."""
    mean, p95 = known(evidence, "utilization_percent", "utilization_p95_percent")
    pinned = _pinned(evidence)
    if not (mean and p95):
        return undecided(evidence, "input_bound", "utilization_percent", "utilization_p95_percent")
    if pinned is None:
        return NotEvaluated(cause="input_bound", reason="neither threads nor cores were seen")
    if not _under_used(evidence) or value(pinned) < (PINNED if "thread" in pinned.name else HALF):
        return None
    # Where all processors are full, the one thread is not what the others wait for.
    (full,) = known(evidence, "cpu_full_gpu_idle_fraction")
    if full and value(full) > HALF:
        return None
    return Finding(
        cause="input_bound",
        stage="python_feed",
        primary=False,
        severity=1 - value(mean) / 100,
        confidence="low",
        claim=f"The GPU idled {wording.share(1 - value(mean) / 100)} of its busy span while {_says(pinned)}: that "
        "suggests, but does not prove, Python that feeds it batch by batch. Python that launches every operation "
        "looks the same.",
        evidence=(mean, p95, pinned),
        fix="Feed through tf.data with map, cache and prefetch, and train inside tf.function; a trace tells which of "
        "the two it is.",
    )


def batch_too_small(evidence: Evidence) -> Result | None:
    """Processor, GPU and its memory bus all have room (SageMaker Debugger, BatchSize)."""
    names = ("utilization_p95_percent", "memory_utilization_p95_percent", "cpu_p95_fraction", "cpu_cores")
    gpu, memory, cpu, cores = known(evidence, *names)
    if not (gpu and memory and cpu and cores):
        return undecided(evidence, "batch_too_small", *names)
    # A host that hardly computes waits for something else than larger batches.
    if (
        value(cores) < AT_WORK_CORES
        or max(value(gpu), value(memory), 100 * value(cpu)) >= LOW_P95
        or value(gpu) < FLUCTUATING_P5
    ):
        return None
    (mean,) = known(evidence, "utilization_percent")
    return Finding(
        cause="batch_too_small",
        primary=False,
        # Room is a hint, weaker than a core that is full or a disk that is waited for.
        severity=(1 - value(mean) / 100) / 2 if mean else 0.0,
        confidence="low",
        claim=f"GPU, its memory bus and the processors all had room (95th percentiles {value(gpu):.0f} %, "
        f"{value(memory):.0f} % and {wording.share(value(cpu))}): a larger batch may use it.",
        evidence=(gpu, memory, cpu),
        fix="Double the batch size and watch again; where the step then takes as long, go on doubling.",
    )


def cores_full(evidence: Evidence) -> Result | None:
    """Without a GPU: all cores at work is what a processor can give."""
    share, limit = known(evidence, "cpu_fraction", "cpu_limit")
    if not (share and limit):
        return undecided(evidence, "compute_bound", "cpu_fraction", "cpu_limit")
    if value(share) < HEALTHY:
        return None
    return Finding(
        cause="compute_bound",
        primary=False,
        severity=value(share),
        confidence="medium",
        claim=f"The command kept {wording.share(value(share))} of the {wording.cores(value(limit))} "
        "busy: the processor is what limits it.",
        evidence=(share, limit),
        fix="More cores or a GPU; on this processor, less work for each step.",
    )


def disk_wait_host(evidence: Evidence) -> Result | None:
    """Without a GPU: a core waits for a disk more than half of the time."""
    (waiting,) = known(evidence, "iowait_fraction")
    if waiting is None:
        return undecided(evidence, "input_bound", "iowait_fraction")
    if value(waiting) <= HALF:
        return None
    return Finding(
        cause="input_bound",
        stage="cold_cache",
        primary=False,
        severity=value(waiting),
        confidence="low",
        claim=f"During {wording.share(value(waiting))} of the time a core of this machine waited for a disk.",
        evidence=(waiting,),
        fix="Keep the data in memory or on a faster disk. Other programs may have caused it: the counter is the "
        "machine's.",
    )


def one_thread(evidence: Evidence) -> Result | None:
    """Without a GPU: one thread at work while the other cores idle."""
    share, limit = known(evidence, "cpu_fraction", "cpu_limit")
    pinned = _pinned(evidence)
    if not (share and limit) or pinned is None:
        return undecided(evidence, "input_bound", "cpu_fraction", "cpu_limit", "one_core_fraction")
    if value(limit) < 2 or value(share) >= HEALTHY or value(pinned) < (PINNED if "thread" in pinned.name else HALF):
        return None
    return Finding(
        cause="input_bound",
        stage="python_feed",
        primary=False,
        severity=1 - value(share),
        confidence="low",
        claim=f"{_says(pinned, capital=True)} while {wording.share(1 - value(share))} of the processors idled: that "
        "suggests, but does not prove, Python that works alone, as a feed does.",
        evidence=(share, limit, pinned),
        fix="Let libraries do the loop: tf.data with parallel map and prefetch, tf.function, vectorised NumPy.",
    )


def unattributed(evidence: Evidence) -> Result:
    """What no rule explains, said plainly."""
    mean, p95, p5 = known(evidence, "utilization_percent", "utilization_p95_percent", "utilization_p5_percent")
    share, cores = known(evidence, "cpu_fraction", "cpu_cores")
    if mean and p95 and p5:
        bursts = value(p95) >= LOW_P95 and value(p5) < FLUCTUATING_P5
        how = "works in bursts and waits between them" if bursts else "is under-used"
        claim = f"The GPU {how} (busy {wording.share(value(mean) / 100)} of the time), and telemetry names no cause."
        if cores and value(cores) < WANTS_CORES and value(mean):
            claim += " The command hardly used the processor: what the GPU did may have been another program's work."
        severity, used = 1 - value(mean) / 100, (mean, p95, p5)
    elif evidence.get("utilization_percent") is None and share and cores:
        claim = _waited(evidence, share, cores)
        severity, used = 1 - value(share), (share, cores)  # type: ignore[assignment]
    else:
        return undecided(evidence, "unattributed", "utilization_percent", "cpu_fraction", "cpu_cores")
    return Finding(
        cause="unattributed",
        primary=False,
        severity=severity,
        confidence="low",
        claim=claim,
        evidence=used,
        fix="A trace tells what the time goes to: `gpuprobe watch --trace` takes one of a Keras training.",
    )


GPU_RULES = (
    not_on_gpu,
    compute_bound,
    disk_wait,
    processor_full,
    python_feed,
    batch_too_small,
)
HOST_RULES = (cores_full, disk_wait_host, one_thread)


def _waited(evidence: Evidence, share: Signal, cores: Signal) -> str:
    used = f"The command used {wording.cores(value(cores))} on average, {wording.share(value(share))}"
    others, machine = known(evidence, "other_cpu_cores", "machine_fraction")
    crowded = machine and value(machine) >= CROWDED and value(cores) >= WANTS_CORES
    if crowded and others and value(others) >= AT_WORK_CORES:
        return (
            f"{used} of what it may, on a machine that was full: other programs took "
            f"{wording.cores(value(others))}. Watch again on a quiet machine."
        )
    if value(share) < HALF:
        return f"{used} of what it may: it waited most of the time, and telemetry cannot tell for what."
    return f"{used} of what it may, and telemetry names no cause."


def _under_used(evidence: Evidence) -> bool:
    mean, p95, p5 = known(evidence, "utilization_percent", "utilization_p95_percent", "utilization_p5_percent")
    if mean is None or p95 is None or p5 is None:
        return False
    fluctuates = value(p5) < FLUCTUATING_P5
    return value(mean) < 100 * HEALTHY and (value(p95) < LOW_P95 or fluctuates)


def _pinned(evidence: Evidence) -> Signal | None:
    """Return the sign of one busy thread that says most: the thread itself, then the tree, then one full core.

    A thread moves between cores, so that no core need be full; and a full core may be another program's.
    """
    for signal in known(evidence, "busiest_thread_fraction", "one_core_fraction", "pinned_core_fraction"):
        if signal is not None:
            return signal
    return None


def _says(pinned: Signal, *, capital: bool = False) -> str:
    share = wording.share(value(pinned))
    words = {
        "busiest_thread_fraction": f"one thread kept a core {share} busy",
        "one_core_fraction": f"the command used just one core during {share} of the time",
        "pinned_core_fraction": f"one core was full during {share} of the time",
    }[pinned.name]
    return words[0].upper() + words[1:] if capital else words
