"""A trace that shows only a processor, although the training used a GPU: its profiler did not see the GPU."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import msgspec

from gpuprobe import wording
from gpuprobe.diagnosis.case import UNTRACED
from gpuprobe.ledger.missing_reasons import NO_CUPTI
from gpuprobe.records import Evidence

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gpuprobe.diagnosis.case import Case
    from gpuprobe.diagnosis.records import Finding
    from gpuprobe.thresholds import Thresholds

UNSEEN = f"the training ran on a GPU, and the trace shows the processor alone; {NO_CUPTI}"


def without_unseen_gpu(case: Case) -> Case:
    """Return the case; without its trace, and with the reason, where the settings name a GPU that the trace lacks.

    What the host did then looks like a processor's steps, in which a wait for the GPU is idle time.
    """
    breakdown = case.breakdown
    on_gpu = Evidence(signals=case.settings).flag("device_is_gpu")
    if not on_gpu or not breakdown.devices or any(device.kind == "gpu" for device in breakdown.devices):
        return case
    untraced = msgspec.structs.replace(UNTRACED, source=breakdown.source, warnings=(*breakdown.warnings, UNSEEN))
    return replace(case, breakdown=untraced, replay=None, no_trace=UNSEEN)


def doubted_beside_a_busy_gpu(findings: Sequence[Finding], known: Evidence, limits: Thresholds) -> tuple[Finding, ...]:
    """Return the findings, none sure where the trace shows a processor, and readings a GPU that somebody used.

    Only the settings of the run tell whether it was this training, or `other_sm_percent` that it was not.
    """
    busy = (known.number("utilization_percent") or 0.0) - (known.number("other_sm_percent") or 0.0)
    told = known.flag("device_is_gpu") is not None
    if told or known.text("device_kind") != "cpu" or busy < 100 * limits.at_rest:
        return tuple(findings)
    doubt = (
        f" The GPU was {wording.share(busy / 100)} busy meanwhile: if this training used it, the trace lacks its work, "
        f"and {NO_CUPTI}."
    )
    return tuple(
        msgspec.structs.replace(
            finding, confidence="low", claim=f"{finding.claim}{doubt}" if finding.primary else finding.claim
        )
        for finding in findings
    )
