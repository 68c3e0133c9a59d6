"""A recurrent layer that runs as a loop of small operations where cuDNN could run it in a few kernels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from gpuprobe import wording
from gpuprobe.diagnosis.records import Finding, NotEvaluated
from gpuprobe.diagnosis.rules.finding import finding_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gpuprobe.diagnosis.causes import CauseId
    from gpuprobe.diagnosis.rules.rule import Result
    from gpuprobe.records import Evidence
    from gpuprobe.thresholds import Thresholds

# The causes as which a loop of many small operations shows on a processor.
SHOWN_AS: frozenset[CauseId] = frozenset(("compute_bound", "batch_too_small", "launch_bound"))


def rnn_without_cudnn(evidence: Evidence, limits: Thresholds) -> Result:
    """The loop of an LSTM or GRU takes much of the step. On a processor, without cuDNN, a setting must show too.

    Only a setting proves why cuDNN does not run it: a cell of the user's own may have such a name and operations.
    """
    layer, share = evidence.text("recurrent_layer"), evidence.number("recurrent_share")
    if not layer or share is None:
        return NotEvaluated(cause="rnn_without_cudnn", reason="the trace shows no loop of an LSTM or GRU")
    setting, on_gpu = evidence.text("recurrent_setting"), evidence.text("device_kind") == "gpu"
    if share < limits.recurrent_share or not (on_gpu or setting):
        return None
    count = evidence.number("recurrent_operations") or 0.0
    why = f" cuDNN cannot run it with {setting}." if setting else ""
    where = "" if on_gpu else " On a GPU it would run without cuDNN."
    return finding_of(
        evidence,
        "rnn_without_cudnn",
        severity=share,
        confidence="high" if on_gpu and setting and evidence.text("breakdown_confidence") == "high" else "medium",
        claim=f"In {wording.share(share)} of the step the recurrent layer {layer} runs as a loop of {count:,.0f} small "
        f"operations.{why}{where}",
        names=("recurrent_layer", "recurrent_share", "recurrent_operations", "recurrent_setting"),
    )


def with_loop(findings: Sequence[Finding], known: Evidence, limits: Thresholds) -> tuple[Finding, ...]:
    """Return the findings; on a processor the loop of a recurrent layer comes first if it takes most of the step.

    The loop can be changed by its setting; the busy processor is only its symptom.
    """
    first = next((finding for finding in findings if finding.primary), None)
    loop = next((finding for finding in findings if finding.cause == "rnn_without_cudnn"), None)
    if first is None or loop is None or first.cause not in SHOWN_AS or known.text("device_kind") != "cpu":
        return tuple(findings)
    if loop.severity < limits.mostly:
        return tuple(findings)
    lead = msgspec.structs.replace(loop, primary=True, ties_with=None, symptom_of=None)
    shown = msgspec.structs.replace(first, primary=False, ties_with=None, symptom_of=loop.cause)
    return (lead, shown, *(finding for finding in findings if finding is not first and finding is not loop))
