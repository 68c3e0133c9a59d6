"""What curing a cause gains, by the replay of a trace."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpuprobe.diagnosis.causes import CAUSES, STAGES

if TYPE_CHECKING:
    from gpuprobe.diagnosis.causes import CauseId
    from gpuprobe.diagnosis.records import Finding
    from gpuprobe.whatif.records import Prediction, Replay

# Causes that are no flaw which a change could remove.
NO_FLAW = frozenset({"compute_bound", "unattributed"})
NO_REPLAY = "there is no trace that could be replayed with the change"
NOT_REPLAYED = "no replay of the trace can make this change"


def cure(replay: Replay, cause: CauseId, stage: str | None = None) -> Prediction | None:
    """Return the prediction for the first remedy of a cause that has one; None where no remedy could be predicted."""
    wanted = STAGES[stage].cures if stage in STAGES else CAUSES[cause].cures
    predictions = (replay.of(change) for change in wanted)
    return next((prediction for prediction in predictions if prediction is not None), None)


def why_no_gain(finding: Finding, change: str, replay: Replay | None) -> str:
    """Return the reason why no gain is predicted; empty for a healthy finding or one that does not lead.

    `change` is the replay's change that does what the advice says, empty where there is none.
    """
    if not finding.primary or finding.cause in NO_FLAW:
        return ""
    if replay is None:
        return NO_REPLAY
    if replay.refused:
        return replay.refused
    if not change:
        return NOT_REPLAYED
    same = (tried for tried in replay.unpredicted if tried.change == change or tried.change.startswith(f"{change}_"))
    return next((tried.reason for tried in same), "")


def saved_share(replay: Replay, cause: CauseId, stage: str | None = None) -> float | None:
    """Return the share of the step (0 to 1) that the best remedy of a cause saves; None where none was predicted.

    With a stage, only what cures that stage counts.
    """
    wanted = STAGES[stage].cures if stage in STAGES else CAUSES[cause].cures
    predictions = [replay.of(change) for change in wanted]
    return max((1 - 1 / prediction.gain.ratio for prediction in predictions if prediction is not None), default=None)
