"""Gives each finding its advice: a sentence, and the code to change, as a diff of the usual Keras 3 pattern."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from gpuprobe.advice.others import FRAMEWORKS
from gpuprobe.advice.situation import situation
from gpuprobe.diagnosis.causes import STAGES
from gpuprobe.diagnosis.causes import cause_named as record_of
from gpuprobe.diagnosis.gains import cure, why_no_gain
from gpuprobe.diagnosis.unknown import unattributed

# The first line of all advised code: a context line, as in a diff.
EXAMPLE = "  # for example, with the names of your own script"

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gpuprobe.advice.situation import Situation
    from gpuprobe.diagnosis.records import Finding
    from gpuprobe.records import Evidence, Gain
    from gpuprobe.thresholds import Thresholds
    from gpuprobe.whatif.records import Replay


def advised(
    findings: Sequence[Finding], known: Evidence, limits: Thresholds, replay: Replay | None = None
) -> tuple[Finding, ...]:
    """Return the findings, each with the advice that fits the training, in the terms of its framework.

    If there is a replay, the code shows only changes for which it predicts a gain, and the gain is that of the advised
    change.
    """
    here, framework = situation(known, limits, replay), known.text("framework")
    return tuple(
        msgspec.structs.replace(finding, fix=unattributed(finding, known))
        if finding.cause == "unattributed" and finding.primary
        else _advised(finding, here, framework)
        for finding in findings
    )


def _advised(finding: Finding, here: Situation, framework: str) -> Finding:
    cause = record_of(finding.cause)
    if cause is None:
        return finding
    if framework in FRAMEWORKS:
        stage = STAGES.get(finding.stage or "")
        elsewhere = (stage.elsewhere if stage else None) or cause.elsewhere
        fix, code = elsewhere.get(framework, (finding.fix, finding.code))
        return msgspec.structs.replace(finding, fix=fix, code=code, predicted_gain=_gain_of_cure(finding, here.replay))
    advice = cause.advice(here, finding.stage) if cause.advice else None
    if advice is None:
        gain = _gain_of_cure(finding, here.replay)
        why = "" if gain else why_no_gain(finding, cause.cures[0] if cause.cures else "", here.replay)
        return msgspec.structs.replace(finding, predicted_gain=gain, no_gain=why)
    prediction = here.promised(advice.change) if advice.change else None
    gain = prediction.gain if prediction else None
    why = "" if gain else why_no_gain(finding, advice.change, here.replay)
    return msgspec.structs.replace(
        finding, fix=advice.fix, code=_example(advice.code), predicted_gain=gain, no_gain=why
    )


def _gain_of_cure(finding: Finding, replay: Replay | None) -> Gain | None:
    """Return the gain that the replay predicts for the first remedy that it can make, else the finding's, if any."""
    prediction = cure(replay, finding.cause, finding.stage) if replay else None
    return prediction.gain if prediction else finding.predicted_gain


def _example(code: str) -> str:
    """Mark a diff as an example: the lines of the user's script are not known."""
    return f"{EXAMPLE}\n{code}" if code else ""
