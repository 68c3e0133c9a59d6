"""A case: whatever evidence there is of one training, which `diagnose` takes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gpuprobe.ledger.records import TraceBreakdown

if TYPE_CHECKING:
    from gpuprobe.evidence.whole_run import RunBreakdown
    from gpuprobe.ledger.breakdown import Workings
    from gpuprobe.records import Evidence, Signal
    from gpuprobe.whatif.records import Replay
    from gpuprobe.whatif.run_facts import Known

# The breakdown of a training without a trace.
UNTRACED = TraceBreakdown(source="", format="telemetry", devices=())


@dataclass(frozen=True)
class Case:
    """The evidence of one training. Any part may be missing.

    `breakdown` is that of the trace's steps. Without a trace it holds no device, and `no_trace` is the reason if one
    was asked for. `whole_run` is the breakdown of the run's wall time, `replay` the replay of the trace. `readings` are
    those of the GPU and the host. `settings` are signals of the run itself (`evidence.run`): its card, settings and
    clock. `compared` are signals of runs that differ from it in one thing (`diagnosis.rules.differential`); None where
    there are none. `workings` and `known` are what breakdown and replay were computed from, for views of the step.
    `simulated` says that no real GPU ran it.
    """

    breakdown: TraceBreakdown = UNTRACED
    replay: Replay | None = None
    readings: Evidence | None = None
    settings: tuple[Signal, ...] = ()
    compared: Evidence | None = None
    no_trace: str = ""
    whole_run: RunBreakdown | None = None
    workings: Workings | None = None
    known: Known | None = None
    simulated: bool = False
