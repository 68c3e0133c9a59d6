"""Samples the GPU through NVML and the host through psutil, in a process of its own, on the clock of the traces."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gpuprobe.telemetry.devices import Inventory, inventory
    from gpuprobe.telemetry.follow import Follower, load_now
    from gpuprobe.telemetry.matching import Visible, visible
    from gpuprobe.telemetry.metrics import serving
    from gpuprobe.telemetry.recording import Telemetry, read
    from gpuprobe.telemetry.scalars import write_scalars
    from gpuprobe.telemetry.session import sampling
    from gpuprobe.telemetry.smi import is_log, read_any
    from gpuprobe.telemetry.states import Said
    from gpuprobe.telemetry.summary import Gap, TelemetrySummary, summarize

# Where each public name is found.
_FOUND_IN = {
    "Follower": "follow",
    "Gap": "summary",
    "Inventory": "devices",
    "Said": "states",
    "Telemetry": "recording",
    "TelemetrySummary": "summary",
    "Visible": "matching",
    "inventory": "devices",
    "is_log": "smi",
    "load_now": "follow",
    "read": "recording",
    "read_any": "smi",
    "sampling": "session",
    "serving": "metrics",
    "summarize": "summary",
    "visible": "matching",
    "write_scalars": "scalars",
}
__all__ = [
    "Follower",
    "Gap",
    "Inventory",
    "Said",
    "Telemetry",
    "TelemetrySummary",
    "Visible",
    "inventory",
    "is_log",
    "load_now",
    "read",
    "read_any",
    "sampling",
    "serving",
    "summarize",
    "visible",
    "write_scalars",
]


def __getattr__(name: str) -> object:
    """Import what is asked for when it is asked for: the sampler must not pay for numpy."""
    if name not in _FOUND_IN:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_FOUND_IN[name]}"), name)
