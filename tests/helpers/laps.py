"""Runs that took turns, at the rates that are asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpuprobe.records import Outcome, Phase, Run, RunSpec
from gpuprobe.simulate import recordings

if TYPE_CHECKING:
    from collections.abc import Mapping

S = 1_000_000_000
SETTINGS = recordings.settings(device="/device:CPU:0", batch_size=32)


def timed(name: str, number: int, rates: Mapping[int, float], disturbed: tuple[int, ...] = ()) -> Run:
    """Return a run with a window at 100 samples/s, and turns at these rates by lap."""
    phases = [Phase(name="window", start_ns=1, end_ns=1 + 3 * S, call_ends_ns=ends(1, 100.0))]
    for lap, rate in rates.items():
        start = lap * 10 * S
        phases.append(
            Phase(
                name="turn",
                start_ns=start,
                end_ns=ends(start, rate)[-1],
                call_ends_ns=ends(start, rate),
                lap=lap,
                disturbed="others" if lap in disturbed else "",
            )
        )
    return Run(
        spec=RunSpec(strategy=name, round=number, seed=0, batch_size=32),
        outcome=Outcome(state="done"),
        settings=SETTINGS,
        phases=tuple(phases),
    )


def ends(start: int, samples_per_s: float) -> tuple[int, ...]:
    """Return when each of eight steps ends (ns), from `start` on."""
    return tuple(start + round(32 / samples_per_s * S * call) for call in range(1, 9))
