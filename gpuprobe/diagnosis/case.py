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
    """What is known of one training. Every part may be missing, and says nothing then.

    `breakdown` is of the steps of its trace, and holds no device where there is no trace; `no_trace` is the reason
    where one was asked for. `whole_run` is where the wall time of the run went. `replay` is that of the trace.
    `readings` are of the GPU and the host meanwhile. `settings` are signals of the run itself (`evidence.run`): its
    card, its settings, its clock. `compared` are those of the runs that differ from it in one thing
    (`diagnosis.rules.differential`), None where it was not compared. `workings` is what `breakdown` was taken from,
    `known` what its replay knew beside the trace: for who looks into the step. `simulated` says that no GPU ran it.
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
