"""Describes the machine for the study's record, without importing TensorFlow."""

from __future__ import annotations

import platform
from importlib import metadata
from pathlib import Path

import psutil

from gpuprobe import telemetry
from gpuprobe.records import Environment
from gpuprobe.units import MIB

PACKAGES = (
    "gpuprobe",
    "tensorflow",
    "jax",
    "jaxlib",
    "torch",
    "keras",
    "numpy",
    "tensorboard",
    "xprof",
    "nvidia-ml-py",
)


def environment() -> Environment:
    """Return the processor, memory, package versions and GPUs of this machine, or why there is no GPU."""
    inventory = telemetry.inventory()
    return Environment(
        system=f"{platform.system()} {platform.release()} {platform.machine()}",
        python=platform.python_version(),
        cpu=_cpu_model(),
        cores=len(psutil.Process().cpu_affinity())
        if hasattr(psutil.Process, "cpu_affinity")
        else psutil.cpu_count() or 1,
        memory_mib=psutil.virtual_memory().total / MIB,
        versions={name: version for name in PACKAGES if (version := _version(name))},
        gpus=inventory.gpus,
        driver=inventory.driver,
        cuda=inventory.cuda,
        no_gpu=inventory.missing,
    )


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or platform.machine()


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
