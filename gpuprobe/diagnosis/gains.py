"""What curing a cause gains by the replay of a trace, where no advice of its own tells another change."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpuprobe.diagnosis.causes import CAUSES, STAGES

if TYPE_CHECKING:
    from gpuprobe.diagnosis.causes import CauseId
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
