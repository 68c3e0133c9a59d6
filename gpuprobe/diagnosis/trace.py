"""Findings from the account of one trace alone: which cause leads, and which others matter.

Exactly one is primary: `compute_bound` where kernels fill the GPU, else the largest of exposed copies, input, launches,
syncs, exchange between devices, compilation, allocation, and what the host does between steps. Where the first leads
by little, it says that the two tie.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from gpuprobe import wording
from gpuprobe.records import Finding, NotEvaluated, Signal

if TYPE_CHECKING:
    from gpuprobe.records import Confidence, Evidence

# DESIGN: kernels that fill this share of the span from the first to the last GPU event make the GPU the limit.
COMPUTE_FRACTION = 0.80
# The span leaves out a wait before the first kernel: where computing is less than this of the step, so much was left
# out that the GPU is not the limit.
COMPUTE_OF_STEP = 0.50
# Within this of the fraction, the verdict would turn with the next step.
COMPUTE_MARGIN = 0.02
# On a processor there are no kernels to count: it is the limit where nothing else takes as much as this of the step.
CPU_IDLE_FRACTION = 0.20
# And only where the trace shows it at work for most of the step.
CPU_BUSY_FRACTION = 0.50
# DESIGN: a lead of less than ten points of the step is a tie.
TIE_POINTS = 0.10
# With this much of the step unexplained, the largest known part may not be the largest.
UNATTRIBUTED_LIMIT = 0.20
# What waits in PyTorch's DataLoader is no tf.data pipeline.
PYTORCH_FIX = "Make the input pipeline faster: more workers, pinned memory, batches prepared ahead."
PYTORCH_CODE = "DataLoader(data, num_workers=4, pin_memory=True, persistent_workers=True, prefetch_factor=2)"
NO_DEVICE = "there is no step to account for"


@dataclass(frozen=True)
class Cause:
    """One cause that idle or copying time can have: its share's signal, and from where on it is worth a finding."""

    id: str
    share: str
    threshold: float
    claim: str
    fix: str
    code: str
    also: tuple[str, ...] = ()
    gpu_only: bool = True


CAUSES = (
    Cause(
        id="input_bound",
        share="share.idle_input",
        # XProf calls a step moderately input-bound from 5 % on (op_stats_to_input_pipeline_analysis.cc).
        threshold=0.05,
        claim="The {device} waits for the next batch in {share} of the step ({time}).",
        fix="Make the input pipeline faster: parallel map, cache() after it, prefetch at the end.",
        code="ds = ds.map(f, num_parallel_calls=tf.data.AUTOTUNE).cache().shuffle(n).batch(b)\n"
        "ds = ds.prefetch(tf.data.AUTOTUNE)",
        also=("slowest_iterator", "proof.idle_input"),
        gpu_only=False,
    ),
    Cause(
        id="launch_bound",
        share="share.launch",
        # XProf warns of kernel launches strongly from 15 % on.
        threshold=0.15,
        claim="The {device} waits in {share} of the step ({time}) for kernels that the host has not launched yet, or "
        "that are launched and not started.",
        fix="Launch less for the same work: compile with XLA, a larger batch, several steps per execution.",
        code="model.compile(..., jit_compile=True)  # or steps_per_execution=8",
        also=(
            "share.idle_launch",
            "share.idle_queue",
            "kernels_per_step",
            "kernel_median_us",
            "kernels_under_10us_count_fraction",
        ),
    ),
    Cause(
        id="copy_bound",
        share="share.copy",
        # Kineto's tb_plugin advises from 10 % of the step on what is exchanged between devices; so much for copies.
        threshold=0.10,
        claim="Copies that no kernel hides take {share} of the step ({time}).",
        fix="Copy less and earlier: feed uint8 and cast on the device, prefetch to the device, or keep the data there.",
        code="ds = ds.apply(tf.data.experimental.prefetch_to_device('/GPU:0'))",
        also=(
            "share.gpu_copy_h2d",
            "share.gpu_copy_d2h",
            "share.gpu_copy_d2d",
            "exposed_copy_fraction",
            "copy_h2d_gb_per_s",
        ),
    ),
    Cause(
        id="sync_every_step",
        share="share.idle_sync",
        # As for the input: XProf's lower bound for a wait of the host.
        threshold=0.05,
        claim="The {device} is idle in {share} of the step ({time}) while the host waits inside a synchronising call "
        "or reads a result back.",
        fix="Read losses and metrics on the host once in many steps, not in each.",
        code="model.fit(..., callbacks=[])  # none that reads logs in on_train_batch_end",
        also=("proof.idle_sync",),
    ),
    Cause(
        id="host_between_steps",
        share="share.idle_between_steps",
        # XProf warns of 'All Others' strongly from 15 % on.
        threshold=0.15,
        claim="The {device} is idle in {share} of the step ({time}) while the host is outside the training function: "
        "callbacks, metrics, logging, Python.",
        fix="Do less between steps: fewer callbacks and summaries per batch, verbose=2, several steps per execution.",
        code="model.compile(..., steps_per_execution=8)\nmodel.fit(..., verbose=2)",
        also=("idle_outside_step_fraction", "proof.idle_between_steps"),
        gpu_only=False,
    ),
    Cause(
        id="collective_bound",
        share="share.gpu_collective",
        # Kineto's tb_plugin advises on communication from 10 % of the step on.
        threshold=0.10,
        claim="Exchanging gradients between devices takes {share} of the step ({time}) in which no kernel computes.",
        fix="Exchange less often or in fewer, larger parts, in float16, or over a faster link.",
        code="",
        also=("kernel_fraction",),
    ),
    Cause(
        id="gpu_memory_tight",
        share="share.idle_memory",
        threshold=0.05,
        claim="The {device} is idle in {share} of the step ({time}) while the host allocates or frees device memory.",
        fix="Leave the allocator room: a smaller batch, or no other process on the card.",
        code="",
        also=("proof.idle_memory",),
    ),
    Cause(
        id="recompiling",
        share="share.idle_compile",
        # As for the input; after warm-up nothing should compile at all.
        threshold=0.05,
        claim="The {device} is idle in {share} of the step ({time}) while the host builds graphs or compiles.",
        fix="Let every step have the same shapes and types: drop_remainder=True, tensors instead of Python numbers.",
        code="ds = ds.batch(b, drop_remainder=True)",
        also=("graphs_built", "compile_ms", "proof.idle_compile"),
        gpu_only=False,
    ),
)


def diagnose(evidence: Evidence) -> tuple[tuple[Finding, ...], tuple[NotEvaluated, ...]]:
    """Return the findings, the primary one first, and the causes that could not be decided."""
    kind = _text(evidence, "device_kind")
    if not kind:
        causes = [*(cause.id for cause in CAUSES), "compute_bound"]
        return (), tuple(NotEvaluated(cause=cause, reason=NO_DEVICE) for cause in causes)
    undecided = [_undecided(cause, evidence) for cause in CAUSES]
    known = [cause for cause, reason in zip(CAUSES, undecided, strict=True) if reason is None]
    ranked = sorted(known, key=lambda cause: -_share(evidence, cause))
    healthy = _compute_bound(evidence)
    leading = ranked[:1] if healthy is None and ranked and _leads(evidence, ranked[0]) else []
    others = [cause for cause in ranked if cause not in leading and _share(evidence, cause) >= cause.threshold]
    found = [*([healthy] if healthy else []), *(_finding(cause, evidence) for cause in (*leading, *others))]
    reasons = tuple(reason for reason in undecided if reason is not None)
    if not found:
        return (), (*reasons, NotEvaluated(cause="compute_bound", reason=_nothing_leads(evidence)))
    first = msgspec.structs.replace(found[0], primary=True, ties_with=_tie(evidence, ranked, found[0].cause))
    if first.ties_with and first.cause != "compute_bound":
        first = msgspec.structs.replace(first, confidence=_lowered(first.confidence))
    return (first, *found[1:]), reasons


def _compute_bound(evidence: Evidence) -> Finding | None:
    """The device itself is the limit. Healthy."""
    filled, device = evidence.get("kernel_fraction"), _device(evidence)
    if _text(evidence, "device_kind") == "cpu":
        return _compute_bound_cpu(evidence)
    if filled is None or not isinstance(filled.value, float) or filled.value < COMPUTE_FRACTION:
        return None
    busy = _value(evidence, "share.gpu_compute")
    if filled.value - _value(evidence, "share.gpu_collective") < COMPUTE_FRACTION or busy < COMPUTE_OF_STEP:
        return None
    return Finding(
        cause="compute_bound",
        primary=False,
        severity=busy,
        confidence=_confidence(evidence),
        claim=f"Kernels fill {wording.share(filled.value)} of the time from the first to the last event of the "
        f"{device}: the GPU itself is the limit.",
        evidence=_signals(evidence, "kernel_fraction", "share.gpu_compute", "sm_efficiency", "occupancy"),
        fix="Feeding it faster gains little. Make the work cheaper: mixed precision where the card has Tensor Cores, "
        "XLA to fuse kernels, or a faster card.",
    )


def _compute_bound_cpu(evidence: Evidence) -> Finding | None:
    idle = sum(_value(evidence, f"share.{name}") for name in ("idle_input", "idle_between_steps", "idle_compile"))
    busy = _value(evidence, "share.cpu_compute")
    if idle >= CPU_IDLE_FRACTION or busy < CPU_BUSY_FRACTION:
        return None
    return Finding(
        cause="compute_bound",
        primary=False,
        severity=busy,
        confidence=_confidence(evidence),
        claim="There is no GPU in the trace, and the processor itself is the limit: waiting for input, compiling and "
        f"what lies between steps are {wording.share(idle)} of the step.",
        evidence=_signals(evidence, "share.cpu_compute", "share.idle_input", "share.idle_between_steps"),
        fix="Only less work or a faster device helps.",
    )


def _finding(cause: Cause, evidence: Evidence) -> Finding:
    share = _share(evidence, cause)
    time = wording.milliseconds(share * _value(evidence, "step_ms"))
    return Finding(
        cause=cause.id,
        primary=False,
        severity=share,
        confidence=_confidence(evidence),
        claim=cause.claim.format(device=_device(evidence), share=wording.share(share), time=time),
        evidence=_signals(evidence, cause.share, "step_ms", *cause.also),
        fix=_fix(cause, evidence),
        code=_code(cause, evidence),
    )


def _fix(cause: Cause, evidence: Evidence) -> str:
    return PYTORCH_FIX if cause.id == "input_bound" and _waits_for_pytorch(evidence) else cause.fix


def _code(cause: Cause, evidence: Evidence) -> str:
    return PYTORCH_CODE if cause.id == "input_bound" and _waits_for_pytorch(evidence) else cause.code


def _waits_for_pytorch(evidence: Evidence) -> bool:
    proof = evidence.get("proof.idle_input")
    return proof is not None and "DataLoader" in proof.source


def _undecided(cause: Cause, evidence: Evidence) -> NotEvaluated | None:
    if cause.gpu_only and _text(evidence, "device_kind") == "cpu":
        return NotEvaluated(cause=cause.id, reason="there is no GPU in the trace")
    outside = evidence.get("idle_outside_step_fraction")
    untold = cause.id == "host_between_steps" and outside is not None and outside.value is None
    if untold and outside is not None and _text(evidence, "device_kind") == "gpu":
        return NotEvaluated(cause=cause.id, reason=outside.missing or "the trace names no training function")
    return None


def _leads(evidence: Evidence, cause: Cause) -> bool:
    """Whether the largest cause may be called the first: on a processor, what is unknown may be larger."""
    share = _share(evidence, cause)
    if _text(evidence, "device_kind") == "cpu":
        return share >= cause.threshold
    return share > 0


def _tie(evidence: Evidence, ranked: list[Cause], first: str) -> str | None:
    filled = _value(evidence, "kernel_fraction")
    if first == "compute_bound":
        near = filled and filled < COMPUTE_FRACTION + COMPUTE_MARGIN and ranked
        return ranked[0].id if near else None
    nearly = filled - _value(evidence, "share.gpu_collective") >= COMPUTE_FRACTION - COMPUTE_MARGIN
    if nearly and _value(evidence, "share.gpu_compute") >= COMPUTE_OF_STEP:
        return "compute_bound"
    second = next((cause for cause in ranked if cause.id != first), None)
    lead = next(cause for cause in ranked if cause.id == first)
    if second is None or _share(evidence, lead) - _share(evidence, second) >= TIE_POINTS:
        return None
    return second.id if _share(evidence, second) > 0 else None


def _nothing_leads(evidence: Evidence) -> str:
    filled = _value(evidence, "kernel_fraction")
    if _text(evidence, "device_kind") == "cpu":
        unknown = wording.share(_value(evidence, "share.unattributed"))
        return f"the trace does not tell what the processor did in {unknown} of the step"
    return f"kernels fill only {wording.share(filled)} of the GPU span, and no part of the idle time has a known cause"


def _confidence(evidence: Evidence) -> Confidence:
    """That of the account, but low where too much of the step is unexplained."""
    if _value(evidence, "share.unattributed") > UNATTRIBUTED_LIMIT:
        return "low"
    told = _text(evidence, "account_confidence")
    return "high" if told == "high" else "medium" if told == "medium" else "low"


def _lowered(confidence: Confidence) -> Confidence:
    return "medium" if confidence == "high" else confidence


def _device(evidence: Evidence) -> str:
    return "processor" if _text(evidence, "device_kind") == "cpu" else "GPU"


def _share(evidence: Evidence, cause: Cause) -> float:
    return _value(evidence, cause.share)


def _value(evidence: Evidence, name: str) -> float:
    signal = evidence.get(name)
    return signal.value if signal is not None and isinstance(signal.value, float) else 0.0


def _text(evidence: Evidence, name: str) -> str:
    signal = evidence.get(name)
    return signal.value if signal is not None and isinstance(signal.value, str) else ""


def _signals(evidence: Evidence, *names: str) -> tuple[Signal, ...]:
    """Those of the signals that have a value: what is missing proves nothing."""
    known = (evidence.get(name) for name in names)
    return tuple(signal for signal in known if signal is not None and signal.value is not None)
