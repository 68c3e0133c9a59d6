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

    `no_gpu` is why no GPU can be used, None where one can. The report begins with it, so no note repeats it.
    """
    lines: dict[str, None] = {}
    for (number, strategy), summary in summaries.items():
        run = f"Telemetry of {strategy}, round {number}"
        for text in summary.said:
            for notice in parse(0, text):
                of_field, already_said = "." in notice.where, no_gpu is not None and no_gpu in notice.words
                if notice.state in NOTABLE and not of_field and not already_said:
                    lines.setdefault(f"{run}: {notice.where} {notice.state.replace('_', ' ')}: {notice.words}.")
        for gap in summary.gaps:
            length = wording.significant((gap.end_ns - gap.start_ns) / NS_PER_S, 2)
            lines.setdefault(f"{run}: no reading of {gap.where} for {length} s ({gap.reason}).")
    return tuple(lines)
