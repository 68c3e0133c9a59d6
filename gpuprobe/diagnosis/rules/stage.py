"""The part of a cause that a finding names: the stage of the input that is late, or where the longest copies go."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gpuprobe.diagnosis.causes import CauseId
    from gpuprobe.records import Evidence

# The stages of `copy_bound` (`causes/feeding.py`), by the signal of their share.
OF_COPIES = {"share.gpu_copy_h2d": "to_gpu", "share.gpu_copy_d2h": "to_host", "share.gpu_copy_d2d": "on_gpu"}


def stage_of(cause: CauseId, evidence: Evidence) -> str | None:
    """Return the stage of a cause that the trace shows; None where it shows none."""
    if cause == "input_bound":
        return evidence.text("input_stage") or None
    longest = longest_copies(evidence) if cause == "copy_bound" else ""
    return OF_COPIES[longest] if longest else None


def longest_copies(evidence: Evidence) -> str:
    """Return the signal of the direction in which copies take most of the step, empty where none takes any."""
    longest = max(OF_COPIES, key=lambda name: evidence.number(name) or 0.0)
    return longest if evidence.number(longest) else ""
