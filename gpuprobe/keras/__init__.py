"""One line in a user's own training: the `Probe` callback, and `window` and `steps` for custom loops."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gpuprobe.keras.callback import Probe as Probe
    from gpuprobe.keras.custom import steps as steps
    from gpuprobe.keras.custom import window as window

# Imported on first use: the start-up hook must not load Keras or TensorFlow into a script that does not use them.
LAZY = {"Probe": "gpuprobe.keras.callback", "window": "gpuprobe.keras.custom", "steps": "gpuprobe.keras.custom"}


def __getattr__(name: str) -> Any:
    if name in LAZY:
        return getattr(importlib.import_module(LAZY[name]), name)
    raise AttributeError(f"module 'gpuprobe.keras' has no attribute {name!r}")
