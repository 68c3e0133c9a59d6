"""Which change cures which cause: the gain that a finding may expect."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gpuprobe.records import Finding
    from gpuprobe.whatif.records import Prediction, Replay

# The changes that cure a cause, the usual remedy first: the first that could be predicted counts. A name stands for
# the change and for all of its sizes (`prefetch` for `prefetch_2`).
CURES: dict[str, tuple[str, ...]] = {
    "input_bound": ("input_free",),
    "launch_bound": ("launches_fused", "batch_times", "steps_per_execution"),
    "batch_too_small": ("batch_times",),
    "copy_bound": ("copies_hidden", "uint8_feed"),
    "pcie_degraded": ("copies_hidden", "uint8_feed"),
    "sync_every_step": ("syncs_removed",),
    "host_between_steps": ("callbacks_removed", "steps_per_execution"),
    "eager_or_retracing": ("eager_removed", "compiling_removed"),
    "recompiling": ("compiling_removed",),
    "tensor_cores_unused": ("fp16",),
    "gpu_memory_tight": ("allocations_removed",),
    "compute_bound": ("fp16", "faster_card"),
}
# A cause of the input's stage is cured by what that stage lacks; with nothing of the kind, by a free input.
STAGES: dict[str, tuple[str, ...]] = {
    "no_prefetch": ("prefetch", "input_free"),
    "slow_map": ("parallel_map", "input_free"),
    "python_feed": ("input_free",),
    "cold_cache": ("input_free",),
    "shuffle_fill": ("input_free",),
}


def cure(replay: Replay, cause: str, stage: str | None = None) -> Prediction | None:
    """Return the prediction for the usual remedy of a cause; None where there is none, or none could be made."""
    wanted = STAGES.get(stage or "", CURES.get(cause, ()))
    made = (replay.of(change) for change in wanted)
    return next((prediction for prediction in made if prediction is not None), None)


def saved_share(replay: Replay, cause: str) -> float | None:
    """Return the share of the step (0 to 1) that the best remedy of a cause saves; None where none was predicted."""
    made = [replay.of(change) for change in CURES.get(cause, ())]
    return max((1 - 1 / prediction.gain.ratio for prediction in made if prediction is not None), default=None)


def with_gains(findings: Iterable[Finding], replay: Replay) -> tuple[Finding, ...]:
    """Return the findings with the gain that is predicted for their cause, where one is."""
    return tuple(_with_gain(finding, cure(replay, finding.cause, finding.stage)) for finding in findings)


def _with_gain(finding: Finding, made: Prediction | None) -> Finding:
    return finding if made is None else msgspec.structs.replace(finding, predicted_gain=made.gain)
