"""gpuprobe finds out why a GPU is idle while TensorFlow and Keras train, and which change fixes it.

In a notebook or a script of your own:

    gpuprobe.diagnose("logs/")                  where the steps of a trace went, and why
    gpuprobe.run("mlp", ["numpy", "xla"])       train a workload under some strategies, rank them, say why
    gpuprobe.run(gpuprobe.Workload(...))        the same with your own model and data
    gpuprobe.load("reports/STUDY")              a study that was measured before
    model.fit(..., callbacks=[gpuprobe.keras.Probe()])    watch a training of your own
    with gpuprobe.window("my loop") as probe: ...         and a loop of your own; gpuprobe.steps counts for you

Each is imported on first use. They raise `gpuprobe.errors.GpuprobeError` for errors that a user can act on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import lazy_loader

if TYPE_CHECKING:
    from gpuprobe import keras as keras
    from gpuprobe.api import run as run
    from gpuprobe.keras.custom import steps as steps
    from gpuprobe.keras.custom import window as window
    from gpuprobe.results import diagnose as diagnose
    from gpuprobe.results import load as load
    from gpuprobe.workloads.workload import Workload as Workload

__version__ = "0.1.0"

# Imported on first use, to keep the command line quick.
__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submodules={"keras"},
    submod_attrs={
        "api": ["run"],
        "keras.custom": ["steps", "window"],
        "results": ["diagnose", "load"],
        "workloads.workload": ["Workload"],
    },
)
