"""Notes on the telemetry of a study's runs: states of the driver and its GPUs, and gaps."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpuprobe import wording
from gpuprobe.telemetry.states import parse
from gpuprobe.units import NS_PER_S

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gpuprobe.telemetry import TelemetrySummary

# States that become notes; all others are shown beside the missing figure.
NOTABLE = frozenset(
    {"gpu_lost", "driver_reset", "vanished", "driver_hung", "driver_mismatch", "no_permission", "other_process"}
    | {"driver_not_loaded", "no_driver", "no_device", "driver_crashed", "clock_stepped"}
)


def notes(summaries: Mapping[tuple[int, str], TelemetrySummary], no_gpu: str | None) -> tuple[str, ...]:
    """Return one line for each state that affects the measurement, and for each gap in a timed window.

    `no_gpu` is why no GPU can be used, which the report begins with and no note repeats; None where one can.
    """
    found: dict[str, None] = {}
    for (number, strategy), summary in summaries.items():
        run = f"Telemetry of {strategy}, round {number}"
        for words in summary.said:
            for said in parse(0, words):
                of_field, told = "." in said.where, no_gpu is not None and no_gpu in said.words
                if said.state in NOTABLE and not of_field and not told:
                    found.setdefault(f"{run}: {said.where} {said.state.replace('_', ' ')}: {said.words}.")
        for gap in summary.gaps:
            length = wording.significant((gap.end_ns - gap.start_ns) / NS_PER_S, 2)
            found.setdefault(f"{run}: nothing was read of {gap.where} for {length} s ({gap.reason}).")
    return tuple(found)
