"""The state of a run by the events of its worker so far, and the record (`Run`) made of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec

from gpuprobe.measure.event_log import EventReader
from gpuprobe.records import (
    CoreUse,
    Given,
    GraphLoop,
    LossPoint,
    Outcome,
    Phase,
    PhaseName,
    Run,
    RunSpec,
    Settings,
    TraceInfo,
    Wall,
)
from gpuprobe.units import NS_PER_S

if TYPE_CHECKING:
    from pathlib import Path


@dataclass
class _PhaseInProgress:
    """A phase that may not have ended."""

    name: PhaseName
    start_ns: int
    end_ns: int
    lap: int = 0
    disturbed: str = ""
    calls: list[int] = field(default_factory=list)

    @property
    def waits_at_gate(self) -> bool:
        """Whether the run waits at its gate."""
        return self.name in {"held", "paused"}

    def as_record(self, steps_per_call: int) -> Phase:
        """Return the record of the phase so far."""
        return Phase(
            name=self.name,
            start_ns=self.start_ns,
            end_ns=self.end_ns,
            call_ends_ns=tuple(self.calls),
            steps_per_call=steps_per_call,
            lap=self.lap,
            disturbed=self.disturbed,
        )


@dataclass
class RunInProgress:
    """The state of a run by its events so far; `as_record` makes the frozen record of it."""

    spec: RunSpec
    phases: list[_PhaseInProgress] = field(default_factory=list)
    steps_per_call: int = 1
    settings: Settings | None = None
    given: Given | None = None
    losses: list[LossPoint] = field(default_factory=list)
    trace: TraceInfo | None = None
    host_peak_mib: float | None = None
    device_peak_mib: float | None = None
    flop_per_sample: float | None = None
    outside_fraction: float | None = None
    notes: list[str] = field(default_factory=list)
    wall: Wall | None = None
    loops: tuple[GraphLoop, ...] = ()
    core_use: CoreUse | None = None
    error: Outcome | None = None
    done: bool = False
    last_ns: int = 0

    def take(self, event: dict[str, Any]) -> None:
        """Add one event; one of an unknown kind only shows that the run makes progress."""
        self.last_ns = max(self.last_ns, event["t_ns"])
        if self.phases:
            self.phases[-1].end_ns = self.last_ns
        take_event = getattr(self, f"_take_{event['event']}", None)
        if take_event is not None:
            take_event(event)

    def _take_phase(self, event: dict[str, Any]) -> None:
        if self.phases:
            self.phases[-1].end_ns = event["t_ns"]
        lap = event.get("lap", 0)
        for phase_so_far in self.phases:
            if lap and phase_so_far.lap == lap:
                # The turn begins again from now.
                phase_so_far.name, phase_so_far.lap = "refill", 0
        self.phases.append(_PhaseInProgress(event["name"], event["t_ns"], event["t_ns"], lap))

    def _take_disturbed(self, event: dict[str, Any]) -> None:
        for phase in self.phases:
            if phase.lap == event["lap"]:
                phase.disturbed = event["words"]

    def _take_calls(self, event: dict[str, Any]) -> None:
        self.phases[-1].calls.extend(event["ends_ns"])

    def _take_settings(self, event: dict[str, Any]) -> None:
        self.settings = msgspec.convert(event["settings"], Settings)
        self.steps_per_call = self.settings.steps_per_execution

    def _take_given(self, event: dict[str, Any]) -> None:
        self.given = msgspec.convert(event["given"], Given)

    def _take_losses(self, event: dict[str, Any]) -> None:
        self.losses.extend(msgspec.convert(event["points"], list[LossPoint]))

    def _take_trace(self, event: dict[str, Any]) -> None:
        self.trace = msgspec.convert(event["trace"], TraceInfo)

    def _take_wall(self, event: dict[str, Any]) -> None:
        self.wall = msgspec.convert(event["wall"], Wall)

    def _take_loops(self, event: dict[str, Any]) -> None:
        self.loops = msgspec.convert(event["loops"], tuple[GraphLoop, ...] | None)

    def _take_core_use(self, event: dict[str, Any]) -> None:
        self.core_use = msgspec.convert(event["core_use"], CoreUse)

    def _take_memory(self, event: dict[str, Any]) -> None:
        self.host_peak_mib, self.device_peak_mib = event["host_peak_mib"], event["device_peak_mib"]

    def _take_flop(self, event: dict[str, Any]) -> None:
        self.flop_per_sample = event["per_sample"]

    def _take_outside(self, event: dict[str, Any]) -> None:
        self.outside_fraction = event["fraction"]

    def _take_note(self, event: dict[str, Any]) -> None:
        self.notes.append(event["text"])

    def _take_error(self, event: dict[str, Any]) -> None:
        self.error = Outcome(state=event["state"], message=event["message"])

    def _take_done(self, event: dict[str, Any]) -> None:
        self.done = True

    @property
    def pauses(self) -> int:
        """How often the run has come to its gate."""
        return sum(phase.waits_at_gate for phase in self.phases)

    @property
    def window_s(self) -> float:
        """The length of the timed window in seconds, 0 before it."""
        window = next((phase for phase in self.phases if phase.name == "window"), None)
        return (window.end_ns - window.start_ns) / NS_PER_S if window else 0.0

    @property
    def last_timed(self) -> Phase | None:
        """The last phase that is part of a lap, None where there is none."""
        timed = next((phase for phase in reversed(self.phases) if phase.lap), None)
        return timed.as_record(self.steps_per_call) if timed else None

    def as_record(self, outcome: Outcome) -> Run:
        """Return the record of the run, given how its process ended."""
        phases = tuple(phase.as_record(self.steps_per_call) for phase in self.phases)
        return Run(
            spec=self.spec,
            outcome=outcome,
            settings=self.settings,
            given=self.given,
            phases=phases,
            losses=tuple(self.losses),
            trace=self.trace,
            host_peak_mib=self.host_peak_mib,
            device_peak_mib=self.device_peak_mib,
            flop_per_sample=self.flop_per_sample,
            outside_fraction=self.outside_fraction,
            notes=tuple(self.notes),
            wall=self.wall,
            loops=self.loops,
            core_use=self.core_use,
        )


def run_of_events(folder: Path, spec: RunSpec, outcome: Outcome) -> Run:
    """Return the record of the run whose events are in `folder`."""
    progress = RunInProgress(spec)
    for event in EventReader(folder).new():
        progress.take(event)
    return progress.as_record(outcome)
