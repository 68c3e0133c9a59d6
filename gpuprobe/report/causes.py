"""How a finding is named in a sentence, for a reader who has never heard of its cause's id."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpuprobe.diagnosis.causes import STAGES, cause_named

if TYPE_CHECKING:
    from gpuprobe.diagnosis.records import Finding


def cause_in_words(finding: Finding) -> str:
    """Name a cause as a sentence goes on: its plain words, its stage, its id."""
    cause, stage = cause_named(finding.cause), STAGES.get(finding.stage or "")
    stage_words = f", {stage.words if stage else finding.stage}" if finding.stage else ""
    return f"{cause.words if cause else finding.cause}{stage_words} (`{finding.cause}`)"
