"""Which backends of Keras there are, which of them are installed, and how to get one. Light: imports none of them."""

from __future__ import annotations

import functools
import os
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import TYPE_CHECKING

from gpuprobe.errors import MissingError

if TYPE_CHECKING:
    from collections.abc import Mapping

TENSORFLOW = "tensorflow"


@dataclass(frozen=True)
class Known:
    """A backend that a run can train with: its title, how to install it, and what its process needs to be told.

    What is `unless_set` is told only to who has set none of `WAITING`.
    """

    title: str
    install: str
    environment: Mapping[str, str] = field(default_factory=dict)
    unless_set: Mapping[str, str] = field(default_factory=dict)


BACKENDS = {
    TENSORFLOW: Known("TensorFlow", "pip install tensorflow", {"TF_CPP_MIN_LOG_LEVEL": "2"}),
    # Without this JAX takes three quarters of a GPU's memory at its start: two runs that take turns would not fit, and
    # the peak would say nothing (JAX documentation, "GPU memory allocation").
    "jax": Known("JAX", "pip install 'gpuprobe[jax]'", {"XLA_PYTHON_CLIENT_PREALLOCATE": "false"}),
    # Its threads wait for each other at the end of each operation, and GNU's OpenMP has them spin for 3 ms there
    # (libgomp, env.c). Where anything else runs, what they wait for does not get the processor that they spin on: on
    # two cores that others used a step of ResNet20 took 8 to 13 s, and 0.4 to 0.5 s with this.
    "torch": Known("PyTorch", "pip install 'gpuprobe[torch]'", unless_set={"GOMP_SPINCOUNT": "1000"}),
}
# What feeds any of them, and few have.
FEEDING = {"grain": Known("Grain", "pip install grain")}
# Who sets one of these has chosen how threads wait.
WAITING = frozenset({"GOMP_SPINCOUNT", "OMP_WAIT_POLICY"})


@functools.cache
def is_installed(package: str) -> bool:
    """Whether the package of a backend or a feed can be imported, without importing it."""
    return find_spec(package) is not None


def title(backend: str) -> str:
    """Return how a backend is called; of one that this version does not know, its name."""
    return BACKENDS[backend].title if backend in BACKENDS else backend


def lacking(package: str) -> str:
    """Say that a backend or what feeds one is not installed, and the way to it."""
    known = FEEDING.get(package) or _known(package)
    return f"{known.title} is not installed: {known.install}"


def usual() -> str:
    """Return the backend to train with where none is asked for: TensorFlow, or else the first that is installed.

    Raises MissingError where there is none.
    """
    found = next(filter(is_installed, BACKENDS), None)
    if found is None:
        raise MissingError(f"none of Keras's backends is installed; one is enough: {BACKENDS[TENSORFLOW].install}")
    return found


def environment(backend: str) -> dict[str, str]:
    """Return what a process that trains with the backend has to have in its environment before it imports Keras."""
    known = _known(backend)
    chosen = {} if WAITING & os.environ.keys() else known.unless_set
    return {**known.environment, **chosen, "KERAS_BACKEND": backend}


def _known(backend: str) -> Known:
    if backend not in BACKENDS:
        raise MissingError(f"{backend} is no backend that this version of gpuprobe knows: {', '.join(BACKENDS)}")
    return BACKENDS[backend]
