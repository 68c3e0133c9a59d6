"""gpuprobe finds out why a GPU is idle while TensorFlow and Keras train, and which change fixes it."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gpuprobe.api import run as run
    from gpuprobe.workloads.workload import Workload as Workload

__version__ = "0.1.0"

# What `gpuprobe.NAME` stands for, imported when it is first used: the command line starts with none of it.
LAZY = {
    "Workload": "gpuprobe.workloads.workload",
    "run": "gpuprobe.api",
    "window": "gpuprobe.keras.custom",
    "steps": "gpuprobe.keras.custom",
}


def __getattr__(name: str) -> Any:
    if name == "keras":
        return importlib.import_module("gpuprobe.keras")
    if name in LAZY:
        return getattr(importlib.import_module(LAZY[name]), name)
    raise AttributeError(f"module 'gpuprobe' has no attribute {name!r}")
