"""Samples the GPU through NVML and the host through psutil, in a process of its own, on the clock of the traces."""

from __future__ import annotations

from typing import TYPE_CHECKING

import lazy_loader

if TYPE_CHECKING:
    from gpuprobe.telemetry.devices import Inventory as Inventory
    from gpuprobe.telemetry.devices import inventory as inventory
    from gpuprobe.telemetry.follow import Follower as Follower
    from gpuprobe.telemetry.follow import load_now as load_now
    from gpuprobe.telemetry.gaps import Gap as Gap
    from gpuprobe.telemetry.matching import Visible as Visible
    from gpuprobe.telemetry.matching import visible as visible
    from gpuprobe.telemetry.metrics import serving as serving
    from gpuprobe.telemetry.recording import Telemetry as Telemetry
    from gpuprobe.telemetry.recording import read as read
    from gpuprobe.telemetry.scalars import write_scalars as write_scalars
    from gpuprobe.telemetry.session import sampling as sampling
    from gpuprobe.telemetry.states import Notice as Notice
    from gpuprobe.telemetry.summary import TelemetrySummary as TelemetrySummary
    from gpuprobe.telemetry.summary import summarize as summarize

# Imported on first use: the sampler process must start without numpy.
__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "devices": ["Inventory", "inventory"],
        "follow": ["Follower", "load_now"],
        "matching": ["Visible", "visible"],
        "metrics": ["serving"],
        "recording": ["Telemetry", "read"],
        "scalars": ["write_scalars"],
        "session": ["sampling"],
        "states": ["Said"],
        "gaps": ["Gap"],
        "summary": ["TelemetrySummary", "summarize"],
    },
)
