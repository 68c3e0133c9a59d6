"""A cause whose cure saves nothing, since another one sets the pace: then that one leads.

Copies that no kernel hides take their share of a step also where the host is busy outside the training function for
longer than the device works. Without them the step would be as long. Only the replay of several steps shows it: a
single step ends before the host's work that follows it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from gpuprobe import wording
from gpuprobe.diagnosis.confidence import LOWER
from gpuprobe.diagnosis.gains import saved_share
from gpuprobe.thresholds import fixed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gpuprobe.diagnosis.causes import CauseId
    from gpuprobe.diagnosis.records import Finding
    from gpuprobe.records import Evidence
    from gpuprobe.thresholds import Thresholds
    from gpuprobe.whatif.records import Replay

# Causes whose time is the device's own, so that it can lie beside the host's work.
BESIDE_THE_HOST: frozenset[CauseId] = frozenset(("copy_bound", "collective_bound"))
# Causes whose time is the host's own. Fewer launches shorten the replay of nearly any step, and would prove nothing.
SETS_THE_PACE: frozenset[CauseId] = frozenset(
    ("host_between_steps", "input_bound", "recompiling", "host_work", "sync_every_step")
)


def with_pace_setter(
    findings: Sequence[Finding], known: Evidence, limits: Thresholds, replay: Replay | None
) -> tuple[Finding, ...]:
    """Return the findings; the host's cause whose cure saves most leads if curing the first one saves nothing."""
    first = next((finding for finding in findings if finding.primary), None)
    step = known.get("step_ms")
    several = step is not None and (step.n or 0) >= fixed.HELD_STEPS
    if first is None or first.cause not in BESIDE_THE_HOST or replay is None or not several:
        return tuple(findings)
    saved = saved_share(replay, first.cause, first.stage)
    others = [finding for finding in findings if finding.cause in SETS_THE_PACE and finding.confidence != "low"]
    other = max(others, key=lambda finding: saved_share(replay, finding.cause) or 0.0, default=None)
    if saved is None or other is None or saved >= limits.beside_full_share:
        return tuple(findings)
    saved_by_other = saved_share(replay, other.cause) or 0.0
    if saved_by_other < limits.tie_points + max(saved, 0.0):
        return tuple(findings)
    claim = (
        f"{other.claim} It sets the pace: in the replay, curing it saves {wording.share(saved_by_other)} of the step, "
        f"and curing {first.cause} saves {wording.share(max(saved, 0.0))}."
    )
    lead = msgspec.structs.replace(
        other, primary=True, claim=claim, confidence=LOWER["high"], ties_with=None, symptom_of=None
    )
    beside = msgspec.structs.replace(first, primary=False, ties_with=None)
    return (lead, beside, *(finding for finding in findings if finding is not first and finding is not other))
