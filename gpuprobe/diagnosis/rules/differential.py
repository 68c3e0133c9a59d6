"""Findings from differential runs: two runs differ in one thing, so the gain of one over the other has one cause.

Signals: `baseline`, the name of the diagnosed run; `gpu` (bool); `has_tensor_cores` (bool) where the card is known;
`input_share` of the baseline with its 95 % range. For each strategy there are `gain.<strategy>`, how many times as fast
it is as the strategy that it differs from in one thing; `over.<strategy>`, the name of that one; and
`over_share.<strategy>`, the step of that one as a share of the baseline's. A severity is always a share of the
baseline's step. Source of the method: Mohan et al., "Analyzing and Mitigating Data Stalls in DNN Training"
(DS-Analyzer), VLDB 2021.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from gpuprobe import wording
from gpuprobe.diagnosis.records import Finding, NotEvaluated
from gpuprobe.diagnosis.rules.rule import Decided, Result, Rule, apply
from gpuprobe.records import Evidence, Gain, Signal
from gpuprobe.thresholds import DEFAULTS, Thresholds

if TYPE_CHECKING:
    from gpuprobe.diagnosis.causes import CauseId

UNCOMPARED = "device_resident, which shows what the input costs, was not measured beside the baseline"


def decide(evidence: Evidence, limits: Thresholds = DEFAULTS) -> Decided:
    """Return the findings, the primary one first, and the rules that could not be decided."""
    findings, undecided = apply(RULES, evidence, limits)
    if not findings:
        healthy = compute_bound(evidence, limits)
        if isinstance(healthy, NotEvaluated):
            return (), (*undecided, healthy)
        findings = (healthy,)
    ties = len(findings) > 1 and findings[0].severity - findings[1].severity < limits.tie_points
    first = msgspec.structs.replace(findings[0], primary=True, ties_with=findings[1].cause if ties else None)
    return (first, *findings[1:]), undecided


def input_bound(evidence: Evidence, limits: Thresholds) -> Result:
    """The baseline is faster with its data already on the device."""
    share, signal = evidence.number("input_share"), evidence.get("input_share")
    if share is None or signal is None or signal.low is None:
        return NotEvaluated(cause="input_bound", reason=UNCOMPARED)
    if share < limits.input_share or signal.low <= 0:
        return None
    stage, gain = _largest_gain(
        evidence, {"numpy": "python_feed", "tfdata_prefetch": "no_prefetch", "tfdata_cache_prefetch": "slow_map"}
    )
    return Finding(
        cause="input_bound",
        stage=stage,
        primary=False,
        severity=share,
        confidence="high" if gain else "medium",
        claim=f"{wording.share(share)} of the baseline's step goes into getting the next batch: with the data already "
        "on the device, this time is saved.",
        evidence=(signal, *([gain] if gain else [])),
        fix="Feed from tf.data with cache() after the map and prefetch(tf.data.AUTOTUNE) at the end.",
        predicted_gain=Gain(ratio=1 / (1 - share), low=1 / (1 - signal.low), over=evidence.text("baseline")),
        measured_gain=_gain(gain, evidence) if gain else None,
    )


def launch_bound(evidence: Evidence, limits: Thresholds) -> Result:
    """On a GPU, running the same work in fewer launches is faster."""
    return _gpu_gain(
        evidence,
        "launch_bound",
        {"xla": "xla", "steps_per_execution": "steps_per_execution"},
        limits.launch_share,
        "The GPU waited for kernel launches: the same work in fewer launches ({}) takes {} less time.",
        "Compile with XLA, or run several steps per execution.",
    )


def batch_too_small(evidence: Evidence, limits: Thresholds) -> Result:
    """On a GPU, a larger batch takes much less time per sample."""
    return _gpu_gain(
        evidence,
        "batch_too_small",
        {"large_batch": "large_batch"},
        limits.batch_saved,
        "The batch is too small to fill the GPU: a sample in a larger one ({}) takes {} less time.",
        "Train with a larger batch, raise the learning rate with it, and check that the loss still falls as before.",
    )


def tensor_cores_unused(evidence: Evidence, limits: Thresholds) -> Result:
    """On a GPU, 16-bit compute is faster; without Tensor Cores that has another reason."""
    if evidence.flag("has_tensor_cores") is False:
        return None
    return _gpu_gain(
        evidence,
        "tensor_cores_unused",
        {"mixed_precision": "mixed_precision"},
        limits.precision_saved,
        "The Tensor Cores were idle: with {} the step takes {} less time.",
        "Switch mixed precision on before the model is built.",
    )


def compute_bound(evidence: Evidence, limits: Thresholds) -> Finding | NotEvaluated:
    """Faster feeding or launching gains nothing: the device itself is the limit, which is healthy."""
    share, signal = evidence.number("input_share"), evidence.get("input_share")
    if share is None or signal is None or signal.high is None:
        return NotEvaluated(cause="compute_bound", reason=UNCOMPARED)
    if signal.high >= limits.launch_share:
        reason = f"the noise allows an input share of up to {wording.share(signal.high)}; measure with more --rounds"
        return NotEvaluated(cause="compute_bound", reason=reason)
    device = "GPU" if evidence.flag("gpu") else "processor"
    return Finding(
        cause="compute_bound",
        primary=False,
        severity=1 - max(share, 0.0),
        confidence="high" if signal.high < limits.input_share else "medium",
        claim=f"The {device} itself is the limit: with the data on the device already, the baseline's step would be "
        f"at most {wording.share(signal.high)} shorter.",
        evidence=(signal,),
        fix=f"Only less work or a faster device helps; see which strategies make better use of this {device}.",
    )


RULES: tuple[Rule, ...] = (
    input_bound,
    launch_bound,
    batch_too_small,
    tensor_cores_unused,
)


def _gpu_gain(
    evidence: Evidence, cause: CauseId, stages: dict[str, str], threshold: float, claim: str, fix: str
) -> Result:
    if not evidence.flag("gpu"):
        return NotEvaluated(cause=cause, reason="there is no GPU in use")
    if not any(evidence.get(f"gain.{name}") for name in stages):
        return NotEvaluated(cause=cause, reason=f"{wording.listing(list(stages))} not measured beside its baseline")
    stage, gain = _largest_gain(evidence, stages)
    saved = 1 - 1 / float(gain.value or 1.0) if gain else 0.0
    if gain is None or saved < threshold:
        return None
    of_baseline = evidence.number(f"over_share.{_strategy(gain)}")
    return Finding(
        cause=cause,
        primary=False,
        severity=saved * (1.0 if of_baseline is None else min(1.0, of_baseline)),
        confidence="medium",
        claim=claim.format(stage, wording.share(saved)),
        evidence=(gain,),
        fix=fix,
        measured_gain=_gain(gain, evidence),
    )


def _largest_gain(evidence: Evidence, stages: dict[str, str]) -> tuple[str | None, Signal | None]:
    """Return the stage whose change gained most beyond the noise, and its signal; None for both where none did."""
    gains = [(signal, stage) for name, stage in stages.items() if (signal := evidence.get(f"gain.{name}"))]
    beyond_noise = [(signal, stage) for signal, stage in gains if signal.low is not None and signal.low > 1]
    if not beyond_noise:
        return None, None
    signal, stage = max(beyond_noise, key=lambda pair: float(pair[0].value or 0))
    return stage, signal


def _gain(signal: Signal, evidence: Evidence) -> Gain:
    over = evidence.text(f"over.{_strategy(signal)}")
    return Gain(ratio=float(signal.value or 1.0), low=signal.low, high=signal.high, over=over)


def _strategy(gain: Signal) -> str:
    return gain.name.removeprefix("gain.")
