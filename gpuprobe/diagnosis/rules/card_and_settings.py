"""Conditions of the card, the settings and the meters beside the cause of the idle time.

There is one rule for each cause. The rules read the signals of the trace (`evidence.breakdown`), of the readings over
the timed window, and of the run itself (`evidence.run`). Conditions that readings show without a trace are in
`gpu_state`. A rule whose signal is missing is not evaluated, with the reason.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gpuprobe import wording
from gpuprobe.cards import TENSOR_CORES_FROM
from gpuprobe.diagnosis.causes import CAUSES, CauseId
from gpuprobe.diagnosis.records import Finding, NotEvaluated
from gpuprobe.diagnosis.rules import gpu_state, losses
from gpuprobe.diagnosis.rules.operations import loop_through_time, serial_loop
from gpuprobe.diagnosis.rules.recurrent import rnn_without_cudnn
from gpuprobe.diagnosis.rules.rule import Decided, Result, Rule, apply
from gpuprobe.thresholds import DEFAULTS, Thresholds

if TYPE_CHECKING:
    from gpuprobe.records import Confidence, Evidence


def decide(evidence: Evidence, limits: Thresholds = DEFAULTS) -> Decided:
    """Return the findings, none primary, and the rules that could not be decided."""
    return apply((*RULES, *losses.RULES), evidence, limits)


def tensor_cores_unused(evidence: Evidence, limits: Thresholds) -> Result:
    """The card has Tensor Cores and operations could use them, but no kernel did."""
    names = ("has_tensor_cores", "eligible_time_fraction", "tensor_core_time_fraction", "share.gpu_compute")
    if reason := evidence.lacking(*names):
        return NotEvaluated(cause="tensor_cores_unused", reason=reason)
    eligible, used, computing = evidence.numbers(*names[1:])
    if not evidence.flag("has_tensor_cores"):
        return None
    if eligible < limits.tensor_eligible_fraction or used >= limits.tensor_used_fraction:
        return None
    # Only the run's own settings tell the type that the model computes in.
    sure = evidence.text("compute_dtype") == "float32"
    return _finding(
        evidence,
        "tensor_cores_unused",
        # 16 bits at least double the arithmetic rate: half of the eligible time goes.
        severity=eligible * computing / 2,
        claim=f"Operations that Tensor Cores could run take {wording.share(eligible)} of the kernels' time, and "
        f"{wording.share(used)} of it used them.",
        names=(*names, "compute_dtype"),
        confidence="high" if sure else "medium",
    )


def fp16_without_tensor_cores(evidence: Evidence, limits: Thresholds) -> Result:
    """16-bit compute on a card that is not faster at it; compute capability 6.1 does it at 1/64 of the rate.

    Cards of 7.5 without Tensor Cores do such arithmetic at twice the rate, and lose nothing.
    """
    del limits
    names = ("compute_dtype", "has_tensor_cores")
    if reason := evidence.lacking(*names):
        return NotEvaluated(cause="fp16_without_tensor_cores", reason=reason)
    dtype = evidence.text("compute_dtype")
    faster = (evidence.number("compute_capability") or 0.0) >= TENSOR_CORES_FROM
    if dtype not in {"float16", "bfloat16"} or evidence.flag("has_tensor_cores") or faster:
        return None
    return _finding(
        evidence,
        "fp16_without_tensor_cores",
        severity=evidence.number("share.gpu_compute") or 0.0,
        claim=f"The model computes in {dtype}, and this card has no Tensor Cores: nothing is gained, and on compute "
        "capability 6.1 such arithmetic runs at 1/64 of the rate.",
        code='- keras.mixed_precision.set_global_policy("mixed_float16")',
        names=(*names, "compute_capability", "share.gpu_compute"),
        confidence="high",
    )


def batch_too_small(evidence: Evidence, limits: Thresholds) -> Result:
    """The kernels keep the GPU busy, but leave many of its multiprocessors idle."""
    names = ("kernel_fraction", "sm_efficiency", "share.gpu_compute")
    if reason := evidence.lacking(*names):
        return NotEvaluated(cause="batch_too_small", reason=reason)
    kernels, efficiency, busy = evidence.numbers(*names)
    filled = efficiency / busy if busy else 1.0
    if kernels < limits.compute_fraction or filled >= limits.sm_filled:
        return None
    batch = evidence.number("batch_size")
    return _finding(
        evidence,
        "batch_too_small",
        severity=busy * (1 - filled),
        claim=f"While kernels ran they filled {wording.share(filled)} of the multiprocessors: too few blocks for this "
        f"card{f' at a batch of {batch:.0f}' if batch else ''}.",
        names=(*names, "batch_size"),
        # The trace alone shows only the kernels; the run's settings tell the batch.
        confidence="high" if batch else "medium",
    )


def straggler(evidence: Evidence, limits: Thresholds) -> Result:
    """The others wait for one device: it comes last to their exchanges, or else computes longest."""
    kept = evidence.number("kept_waiting_share")
    if kept is not None:
        return _kept_waiting(evidence, kept, limits)
    if reason := evidence.lacking("straggler_ratio", "straggler_share"):
        return NotEvaluated(cause="straggler", reason=reason)
    ratio, lost = evidence.numbers("straggler_ratio", "straggler_share")
    if ratio < limits.straggler_ratio:
        return None
    exchange = any(evidence.number(name) for name in ("exchange_volume_ms", "share.exchange", "share.idle_peer"))
    so = (
        f"the others wait for it, {wording.share(lost)} of the step"
        if exchange
        else "the trace shows no exchange between them, so that the others may not wait for it"
    )
    return _finding(
        evidence,
        "straggler",
        severity=lost,
        claim=f"{evidence.text('straggler_device') or 'One device'} computes {ratio:.2f} times as long as the median "
        f"device: {so}.",
        names=("straggler_ratio", "straggler_share", "straggler_device"),
        confidence="high" if exchange else "medium",
    )


def _kept_waiting(evidence: Evidence, kept: float, limits: Thresholds) -> Result:
    if kept < limits.kept_waiting_share:
        return None
    last = evidence.get("last_to_exchanges")
    often = f"{last.value:.0f} {last.unit}" if last is not None and last.value is not None else "most exchanges"
    changes = evidence.get("waited_for_always") is not None and not evidence.flag("waited_for_always")
    who = f"; the device that is waited for changes: {evidence.text('waited_for')}" if changes else _in_steps(evidence)
    so = "No single device explains all of it" if changes else "Whatever delays it delays all devices"
    return _finding(
        evidence,
        "straggler",
        severity=kept,
        claim=f"The other devices wait {wording.share(kept)} of the step for this one, which comes last to "
        f"{often}{who}. {so}.",
        names=("kept_waiting_share", "last_to_exchanges", "waited_for_always", "waited_for_steps", "waited_for_ms"),
        confidence="medium" if changes else "high",
    )


def _in_steps(evidence: Evidence) -> str:
    """Return in how many steps the others wait for it, and how long; empty where steps were not compared."""
    steps, kept = evidence.get("waited_for_steps"), evidence.get("waited_for_ms")
    if steps is None or kept is None or kept.low is None or kept.high is None:
        return ""
    times = [wording.milliseconds(kept.low), wording.milliseconds(kept.high)]
    return f", in {steps.value:.0f} {steps.unit} by {' to '.join(dict.fromkeys(times))}"


def eager_or_retracing(evidence: Evidence, limits: Thresholds) -> Result:
    """Python dispatches single operations, or builds its graph again, while it trains."""
    if reason := evidence.lacking("eager_share", "step_ms"):
        return NotEvaluated(cause="eager_or_retracing", reason=reason)
    # A processor's operations run while Python dispatches them: their own time is only a part of the dispatching.
    share = max(*evidence.numbers("eager_share"), evidence.number("share.dispatch") or 0.0)
    graphs = evidence.number("graphs_built") or 0.0
    compiling = evidence.number("share.idle_compile") or 0.0
    rebuilt = graphs >= limits.graphs_built and compiling >= limits.compile_share
    if share < limits.eager_share and not rebuilt:
        return None
    how = (
        f"{graphs:.0f} graphs were built while steady steps were traced"
        if rebuilt
        else f"Python starts single operations one by one in {wording.share(share)} of it"
    )
    return _finding(
        evidence,
        "eager_or_retracing",
        severity=max(share, compiling),
        claim=f"The step is not one graph: {how}.",
        names=("graphs_built", "share.idle_compile", "run_eagerly") if rebuilt else ("eager_share", "run_eagerly"),
        confidence="high",
    )


def wrong_meter(evidence: Evidence, limits: Thresholds) -> Result:
    """NVML's utilization is far above the kernels' share of the time, or the share of the card that they fill."""
    if reason := evidence.lacking("utilization_percent", "kernel_fraction"):
        return NotEvaluated(cause="wrong_meter", reason=reason)
    percent, kernels = evidence.numbers("utilization_percent", "kernel_fraction")
    meter = percent / 100
    efficiency = evidence.number("sm_efficiency")
    apart = max(meter - kernels, meter - efficiency if efficiency is not None else 0.0)
    if apart < limits.meters_apart:
        return None
    said = f"kernels run {wording.share(kernels)} of the time"
    if efficiency is not None:
        said += f" and fill {wording.share(efficiency)} of the SMs"
    if (mfu := evidence.number("mfu")) is not None:
        said += f", with {wording.share(mfu)} of the card's arithmetic"
    return _finding(
        evidence,
        "wrong_meter",
        severity=apart,
        claim=f"NVML's utilization says {wording.share(meter)}, but {said}. NVML counts a moment as busy when any "
        "kernel runs in it, however small; Windows' Task Manager leaves CUDA out of the graphs that it shows first.",
        names=("utilization_percent", "kernel_fraction", "sm_efficiency", "mfu"),
        confidence="high",
    )


def profiler_perturbed(evidence: Evidence, limits: Thresholds) -> Result:
    """The profiler slowed the steps that it recorded."""
    if reason := evidence.lacking("profiler_slowdown"):
        return NotEvaluated(cause="profiler_perturbed", reason=reason)
    (slowdown,) = evidence.numbers("profiler_slowdown")
    if slowdown < limits.profiler_slowdown:
        return None
    return _finding(
        evidence,
        "profiler_perturbed",
        severity=1 - 1 / slowdown,
        claim=f"Tracing slowed the steps {slowdown:.2f}x: shares of launches and host time in the "
        "trace are larger than in training.",
        names=("profiler_slowdown",),
        confidence="high",
    )


RULES: tuple[Rule, ...] = (
    rnn_without_cudnn,
    gpu_state.not_on_gpu,
    *gpu_state.RULES,
    tensor_cores_unused,
    fp16_without_tensor_cores,
    batch_too_small,
    straggler,
    eager_or_retracing,
    serial_loop,
    loop_through_time,
    wrong_meter,
    profiler_perturbed,
)


def _finding(
    evidence: Evidence,
    cause: CauseId,
    *,
    severity: float,
    claim: str,
    names: tuple[str, ...],
    code: str = "",
    confidence: Confidence = "medium",
) -> Finding:
    words: dict[str, Any] = {"claim": claim, "fix": CAUSES[cause].fix, "code": code, "confidence": confidence}
    return Finding(cause=cause, primary=False, severity=severity, evidence=evidence.only(*names), **words)
