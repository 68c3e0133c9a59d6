"""Gives each finding its advice: a sentence, and the code to change as a diff of the usual Keras 3 pattern."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from gpuprobe.diagnosis.advice import compute, feeding
from gpuprobe.diagnosis.advice.others import OTHERS
from gpuprobe.diagnosis.advice.situation import situation
from gpuprobe.diagnosis.advice.unknown import unattributed

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gpuprobe.diagnosis.advice.situation import Situation
    from gpuprobe.records import Evidence, Finding
    from gpuprobe.thresholds import Thresholds
    from gpuprobe.whatif.records import Replay

# (sentence, diff); a cause that is not here keeps what its rule said.
ADVICE: dict[str, Callable[[Finding, Situation], tuple[str, str]]] = {
    "input_bound": feeding.input_bound,
    "copy_bound": feeding.copy_bound,
    "launch_bound": compute.launch_bound,
    "batch_too_small": compute.batch_too_small,
    "sync_every_step": compute.sync_every_step,
    "host_between_steps": compute.host_between_steps,
    "eager_or_retracing": compute.eager_or_retracing,
    "recompiling": compute.recompiling,
    "tensor_cores_unused": compute.tensor_cores_unused,
    "compute_bound": compute.compute_bound,
}


def advised(
    findings: Sequence[Finding], known: Evidence, limits: Thresholds, replay: Replay | None = None
) -> tuple[Finding, ...]:
    """Return the findings, each with the advice that fits what is known of the training, in its framework's words.

    Where there is a replay of the trace, code shows only what that promises a gain from.
    """
    here, framework = situation(known, limits, replay), known.text("framework")
    return tuple(
        msgspec.structs.replace(found, fix=unattributed(found, known))
        if found.cause == "unattributed" and found.primary and framework not in OTHERS
        else _advised(found, here, framework)
        for found in findings
    )


def _advised(found: Finding, here: Situation, framework: str) -> Finding:
    if framework in OTHERS:
        fix, code = OTHERS[framework].get(found.cause, (found.fix, found.code))
    elif found.cause in ADVICE:
        fix, code = ADVICE[found.cause](found, here)
    else:
        return found
    return msgspec.structs.replace(found, fix=fix, code=code)
