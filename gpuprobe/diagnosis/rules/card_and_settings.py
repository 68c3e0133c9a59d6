"""The rules about card and settings, and the list of all rules that look at all evidence together.

The rules read the signals of the trace (`evidence.breakdown`), of the readings over the timed window, and of the run
itself (`evidence.run`). Rules that need only readings are in `gpu_state`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpuprobe import wording
from gpuprobe.cards import TENSOR_CORES_FROM
from gpuprobe.diagnosis.records import NotEvaluated
from gpuprobe.diagnosis.rules import gpu_state, losses
from gpuprobe.diagnosis.rules.finding import finding_of
from gpuprobe.diagnosis.rules.meters import profiler_perturbed, wrong_meter
from gpuprobe.diagnosis.rules.operations import dense_update, loop_through_time, serial_loop
from gpuprobe.diagnosis.rules.recurrent import rnn_without_cudnn
from gpuprobe.diagnosis.rules.rule import Decided, Result, Rule, apply
from gpuprobe.diagnosis.rules.spinning_threads import spinning_threads
from gpuprobe.diagnosis.rules.straggler import straggler
from gpuprobe.thresholds import DEFAULTS, Thresholds

if TYPE_CHECKING:
    from gpuprobe.records import Evidence


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
    return finding_of(
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
    if evidence.text("device_kind") == "cpu":
        return _halves_on_a_processor(evidence)
    names = ("compute_dtype", "has_tensor_cores")
    if reason := evidence.lacking(*names):
        return NotEvaluated(cause="fp16_without_tensor_cores", reason=reason)
    dtype = evidence.text("compute_dtype")
    faster = (evidence.number("compute_capability") or 0.0) >= TENSOR_CORES_FROM
    if dtype not in {"float16", "bfloat16"} or evidence.flag("has_tensor_cores") or faster:
        return None
    return finding_of(
        evidence,
        "fp16_without_tensor_cores",
        severity=evidence.number("share.gpu_compute") or 0.0,
        claim=f"The model computes in {dtype}, and this card has no Tensor Cores: nothing is gained, and on compute "
        "capability 6.1 such arithmetic runs at 1/64 of the rate.",
        code='- keras.mixed_precision.set_global_policy("mixed_float16")',
        names=(*names, "compute_capability", "share.gpu_compute"),
        confidence="high",
    )


def _halves_on_a_processor(evidence: Evidence) -> Result:
    """Compute in float16 where no GPU is: nearly no processor has such arithmetic, and bfloat16 only newer ones."""
    dtype = evidence.text("compute_dtype")
    if dtype not in {"float16", "bfloat16"}:
        return None
    return finding_of(
        evidence,
        "fp16_without_tensor_cores",
        severity=evidence.number("share.cpu_compute") or 0.0,
        claim=f"The model computes in {dtype}, on a processor: most have no such arithmetic, and TensorFlow's fast "
        "kernels are made for float32.",
        code='- keras.mixed_precision.set_global_policy("mixed_float16")',
        names=("compute_dtype", "share.cpu_compute"),
        confidence="high" if dtype == "float16" else "medium",
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
    return finding_of(
        evidence,
        "batch_too_small",
        severity=busy * (1 - filled),
        claim=f"While kernels computed they filled {wording.share(filled)} of the multiprocessors: too few blocks for "
        f"this card{f' at a batch of {batch:.0f}' if batch else ''}.",
        names=(*names, "batch_size"),
        # The trace alone shows only the kernels; the run's settings tell the batch.
        confidence="high" if batch else "medium",
    )


def eager_or_retracing(evidence: Evidence, limits: Thresholds) -> Result:
    """Python dispatches single operations, or builds its graph again, while it trains."""
    if reason := evidence.lacking("eager_share", "step_ms"):
        return NotEvaluated(cause="eager_or_retracing", reason=reason)
    # A processor's operations run while Python dispatches them: their own time is only a part of the dispatching.
    shares = {name: evidence.number(name) or 0.0 for name in ("eager_share", "share.dispatch")}
    told = max(shares, key=shares.__getitem__)
    share = shares[told]
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
    return finding_of(
        evidence,
        "eager_or_retracing",
        severity=max(share, compiling),
        claim=f"The step is not one graph: {how}.",
        names=("share.idle_compile", "graphs_built", "run_eagerly")
        if rebuilt
        else (told, "run_eagerly", "jit_compile"),
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
    spinning_threads,
    eager_or_retracing,
    serial_loop,
    loop_through_time,
    dense_update,
    wrong_meter,
    profiler_perturbed,
)
