"""A recurrent layer that runs as a loop of small operations where cuDNN could run it in a few kernels."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpuprobe import wording
from gpuprobe.diagnosis.causes import CAUSES
from gpuprobe.diagnosis.records import Finding, NotEvaluated

if TYPE_CHECKING:
    from gpuprobe.diagnosis.rules.rule import Result
    from gpuprobe.records import Evidence
    from gpuprobe.thresholds import Thresholds


def rnn_without_cudnn(evidence: Evidence, limits: Thresholds) -> Result:
    """The loop of a recurrent layer takes much of the step. On a processor, which has no cuDNN, a setting must show."""
    layer, share = evidence.text("recurrent_layer"), evidence.number("recurrent_share")
    if not layer or share is None:
        return NotEvaluated(cause="rnn_without_cudnn", reason="the trace shows no loop of a recurrent layer")
    setting, on_gpu = evidence.text("recurrent_setting"), evidence.text("device_kind") == "gpu"
    if share < limits.recurrent_share or not (on_gpu or setting):
        return None
    count = evidence.number("recurrent_operations") or 0.0
    why = f" cuDNN cannot run it with {setting}." if setting else ""
    where = "" if on_gpu else " On a GPU it would run without cuDNN."
    return Finding(
        cause="rnn_without_cudnn",
        primary=False,
        severity=share,
        confidence="high" if on_gpu and evidence.text("breakdown_confidence") == "high" else "medium",
        claim=f"In {wording.share(share)} of the step the recurrent layer {layer} runs as a loop of {count:,.0f} small "
        f"operations.{why}{where}",
        evidence=evidence.only("recurrent_layer", "recurrent_share", "recurrent_operations", "recurrent_setting"),
        fix=CAUSES["rnn_without_cudnn"].fix,
    )
