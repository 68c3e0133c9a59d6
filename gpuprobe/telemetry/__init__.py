"""Samples the GPU through NVML and the host through psutil, in a process of its own, on the clock of the traces."""

from gpuprobe.telemetry.inventory import Inventory, inventory
from gpuprobe.telemetry.recording import Telemetry, load_now, read
from gpuprobe.telemetry.session import sampling
from gpuprobe.telemetry.summary import TelemetrySummary, summarize

__all__ = [
    "Inventory",
    "Telemetry",
    "TelemetrySummary",
    "inventory",
    "load_now",
    "read",
    "sampling",
    "summarize",
]
