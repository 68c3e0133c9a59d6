"""Finds the workloads of `catalogue/`: each shows one bottleneck on any machine. Light: no TensorFlow here."""

from __future__ import annotations

import functools
import importlib
import pkgutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from gpuprobe.workloads.workload import Workload


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A built-in workload: its name, its function, and the expected verdict with the reason."""

    name: str
    order: int
    make: Callable[[], Workload]
    on_cpu: str
    on_gpu: str

    @property
    def sentence(self) -> str:
        """The docstring of its function as one paragraph."""
        return " ".join((self.make.__doc__ or "").split())


_found: dict[str, Entry] = {}


def workload(*, order: int, on_cpu: str, on_gpu: str) -> Callable[[Callable[[], Workload]], Callable[[], Workload]]:
    """Register a function as the workload of its name; `on_cpu` and `on_gpu` tell the expected verdict."""

    def register(function: Callable[[], Workload]) -> Callable[[], Workload]:
        name = function.__name__
        _found[name] = Entry(name=name, order=order, make=function, on_cpu=on_cpu, on_gpu=on_gpu)
        return function

    return register


@functools.cache
def workloads() -> dict[str, Entry]:
    """Return the built-in workloads by name, in order, without the ResNets on CIFAR-10, which take options."""
    package = importlib.import_module("gpuprobe.workloads.catalogue")
    for module in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"{package.__name__}.{module.name}")
    return {entry.name: entry for entry in sorted(_found.values(), key=lambda entry: entry.order)}
