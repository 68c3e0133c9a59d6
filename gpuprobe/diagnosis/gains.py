"""The gain that a finding may expect: that of the change that cures its cause."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from gpuprobe.diagnosis.causes import CAUSES, STAGES

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gpuprobe.diagnosis.causes import CauseId
    from gpuprobe.diagnosis.records import Finding
    from gpuprobe.whatif.records import Prediction, Replay


def cure(replay: Replay, cause: CauseId, stage: str | None = None) -> Prediction | None:
    """Return the prediction for the usual remedy of a cause; None where there is none, or none could be made."""
    wanted = STAGES[stage].cures if stage in STAGES else CAUSES[cause].cures
    made = (replay.of(change) for change in wanted)
    return next((prediction for prediction in made if prediction is not None), None)


def saved_share(replay: Replay, cause: CauseId) -> float | None:
    """Return the share of the step (0 to 1) that the best remedy of a cause saves; None where none was predicted."""
    made = [replay.of(change) for change in CAUSES[cause].cures]
    return max((1 - 1 / prediction.gain.ratio for prediction in made if prediction is not None), default=None)


def with_gains(findings: Iterable[Finding], replay: Replay) -> tuple[Finding, ...]:
    """Return the findings with the gain that is predicted for their cause, where one is."""
    return tuple(_with_gain(finding, cure(replay, finding.cause, finding.stage)) for finding in findings)


def _with_gain(finding: Finding, made: Prediction | None) -> Finding:
    return finding if made is None else msgspec.structs.replace(finding, predicted_gain=made.gain)
