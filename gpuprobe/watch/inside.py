"""Figures that only some cards report: energy, how well kernels fill them (GPM), and their MIG instances."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from gpuprobe import telemetry, wording

if TYPE_CHECKING:
    from gpuprobe.records import Signal
    from gpuprobe.telemetry import Telemetry

GPM = {
    "gpm_sm_percent": "SMs active {:.0f} %",
    "gpm_occupancy_percent": "occupancy {:.0f} %",
    "gpm_tensor_percent": "Tensor Cores {:.0f} %",
}
MIG = re.compile(r"(mig\d+)_(.+)")


def lines(recording: Telemetry, start_ns: int, end_ns: int) -> list[tuple[str, str]]:
    """Return (label, figures) pairs between two times (ns): means over that interval."""
    summary = telemetry.summarize(recording, start_ns, end_ns)
    lines: list[tuple[str, str]] = []
    for number, signals in zip(recording.gpus, summary.gpus, strict=True):
        name = f"GPU {number}"
        known = {signal.name: signal for signal in signals if isinstance(signal.value, float)}
        if "energy_j" in known:
            energy = known["energy_j"]
            joules = wording.significant(float(energy.value or 0.0))
            lines.append((f"{name} energy", f"{joules} J ({energy.source})"))
        kernels = _kernels(known)
        if kernels:
            lines.append((f"{name} kernels", kernels))
        lines += [(f"{name} {part}", figures) for part, figures in _parts(known).items()]
    return lines


def _kernels(known: dict[str, Signal], prefix: str = "") -> str:
    parts = [words.format(known[prefix + name].value) for name, words in GPM.items() if prefix + name in known]
    return ", ".join(parts)


def _parts(known: dict[str, Signal]) -> dict[str, str]:
    parts = dict.fromkeys(match[1] for name in known if (match := MIG.fullmatch(name)))
    figures = {}
    for part in parts:
        used = known.get(f"{part}_memory_used_mib")
        memory = [f"memory {wording.mebibytes(float(used.value or 0.0))}"] if used else []
        figures[part.upper().replace("MIG", "MIG ")] = ", ".join(
            [*filter(None, [_kernels(known, part + "_")]), *memory]
        )
    return figures


def reports_fill(recording: Telemetry) -> bool:
    """Whether any card reported how well kernels fill it."""
    return any(name.endswith("gpm_sm_percent") for name in recording.columns)
