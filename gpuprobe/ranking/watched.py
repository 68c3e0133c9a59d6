"""What the telemetry of a study's runs says in words: states of the driver and its GPUs, and gaps."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpuprobe import wording
from gpuprobe.telemetry.states import parse

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gpuprobe.telemetry import TelemetrySummary

# A machine without a GPU is told at the top of the report, and what a card lacks beside its missing figure.
NOTABLE = frozenset(
    {"gpu_lost", "driver_reset", "vanished", "driver_hung", "driver_mismatch", "no_permission", "other_process"}
    | {"clock_stepped"}
)


def notes(summaries: Mapping[tuple[int, str], TelemetrySummary]) -> tuple[str, ...]:
    """Return one line for each state that bears on what was measured, and for each gap in a timed window."""
    found: dict[str, None] = {}
    for (number, strategy), summary in summaries.items():
        run = f"Telemetry of {strategy}, round {number}"
        for words in summary.said:
            for said in parse(0, words):
                whole_gpu = "." not in said.where
                if said.state in NOTABLE and whole_gpu:
                    found.setdefault(f"{run}: {said.where} {said.state.replace('_', ' ')}: {said.words}.")
        for gap in summary.gaps:
            length = wording.significant((gap.end_ns - gap.start_ns) / 1e9, 2)
            found.setdefault(f"{run}: nothing was read of {gap.where} for {length} s ({gap.reason}).")
    return tuple(found)
