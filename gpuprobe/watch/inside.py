"""Figures that only some cards report: energy, how well kernels fill them (GPM), and their MIG instances."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from gpuprobe import telemetry, wording

if TYPE_CHECKING:
    from gpuprobe.records import Signal
    from gpuprobe.telemetry import Telemetry

GPM_WORDS = {
    "gpm_sm_percent": "SMs active {:.0f} %",
    "gpm_occupancy_percent": "occupancy {:.0f} %",
    "gpm_tensor_percent": "Tensor Cores {:.0f} %",
}
MIG_SIGNAL = re.compile(r"(mig\d+)_(.+)")


def labelled_figures(recording: Telemetry, start_ns: int, end_ns: int) -> list[tuple[str, str]]:
    """Return (label, figures) pairs between two times (ns): means over that interval."""
    summary = telemetry.summarize(recording, start_ns, end_ns)
    figure_lines: list[tuple[str, str]] = []
    for number, signals in zip(recording.gpus, summary.gpus, strict=True):
        name = f"GPU {number}"
        known = {signal.name: signal for signal in signals if isinstance(signal.value, float)}
        if "energy_j" in known:
            energy = known["energy_j"]
            joules = wording.significant(float(energy.value or 0.0))
            figure_lines.append((f"{name} energy", f"{joules} J ({energy.source})"))
        kernels = _kernel_figures(known)
        if kernels:
            figure_lines.append((f"{name} kernels", kernels))
        figure_lines += [(f"{name} {part}", figures) for part, figures in _mig_figures(known).items()]
    return figure_lines


def _kernel_figures(signals_by_name: dict[str, Signal], prefix: str = "") -> str:
    phrases = [
        words.format(signals_by_name[prefix + signal_name].value)
        for signal_name, words in GPM_WORDS.items()
        if prefix + signal_name in signals_by_name
    ]
    return ", ".join(phrases)


def _mig_figures(signals_by_name: dict[str, Signal]) -> dict[str, str]:
    mig_instances = dict.fromkeys(
        match[1] for signal_name in signals_by_name if (match := MIG_SIGNAL.fullmatch(signal_name))
    )
    figures = {}
    for mig_instance in mig_instances:
        memory_used = signals_by_name.get(f"{mig_instance}_memory_used_mib")
        memory = [f"memory {wording.mebibytes(float(memory_used.value or 0.0))}"] if memory_used else []
        figures[mig_instance.upper().replace("MIG", "MIG ")] = ", ".join(
            [*filter(None, [_kernel_figures(signals_by_name, mig_instance + "_")]), *memory]
        )
    return figures


def reports_fill(recording: Telemetry) -> bool:
    """Whether any card reported how well kernels fill it."""
    return any(name.endswith("gpm_sm_percent") for name in recording.columns)
