"""What curing a cause gains by the replay of a trace, where no advice of its own tells another change."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpuprobe.diagnosis.causes import CAUSES, STAGES

if TYPE_CHECKING:
    from gpuprobe.diagnosis.causes import CauseId
    from gpuprobe.diagnosis.records import Finding
    from gpuprobe.whatif.records import Prediction, Replay

# What a healthy step, or one that nothing explains, costs is no flaw that a change could mend.
NO_FLAW = frozenset({"compute_bound", "unattributed"})
NO_REPLAY = "there is no trace that could be replayed with the change"
NOT_REPLAYED = "no replay of the trace can make this change"


def cure(replay: Replay, cause: CauseId, stage: str | None = None) -> Prediction | None:
    """Return the prediction for the usual remedy of a cause; None where there is none, or none could be made."""
    wanted = STAGES[stage].cures if stage in STAGES else CAUSES[cause].cures
    made = (replay.of(change) for change in wanted)
    return next((prediction for prediction in made if prediction is not None), None)


def why_no_gain(found: Finding, change: str, replay: Replay | None) -> str:
    """Say why no gain of a change is told; empty where nothing is wrong, or no change was advised.

    `change` is what the advice does to a replay, empty where no replay can do that.
    """
    if not found.primary or found.cause in NO_FLAW:
        return ""
    if replay is None:
        return NO_REPLAY
    if replay.refused:
        return replay.refused
    if not change:
        return NOT_REPLAYED
    reasons = (one.reason for one in replay.unpredicted if one.change == change or one.change.startswith(f"{change}_"))
    return next(reasons, "")


def saved_share(replay: Replay, cause: CauseId) -> float | None:
    """Return the share of the step (0 to 1) that the best remedy of a cause saves; None where none was predicted."""
    made = [replay.of(change) for change in CAUSES[cause].cures]
    return max((1 - 1 / prediction.gain.ratio for prediction in made if prediction is not None), default=None)
