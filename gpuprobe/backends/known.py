"""The known backends of Keras, which of them are installed, and how to install one. Imports none of them."""

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
    """A backend that a run can train with: its title, how to install it, and its environment variables.

    Those in `unless_set` are only used where the user has set none of `WAITING`.
    """

    title: str
    install: str
    environment: Mapping[str, str] = field(default_factory=dict)
    unless_set: Mapping[str, str] = field(default_factory=dict)


BACKENDS = {
    TENSORFLOW: Known("TensorFlow", "pip install tensorflow", {"TF_CPP_MIN_LOG_LEVEL": "2"}),
    # Without this JAX allocates three quarters of a GPU's memory at its start: two runs that take turns would not fit,
    # and its peak would be useless (JAX documentation, "GPU memory allocation").
    "jax": Known("JAX", "pip install jax", {"XLA_PYTHON_CLIENT_PREALLOCATE": "false"}),
    # PyTorch's threads wait for each other at the end of each operation, and GNU's OpenMP spins for 3 ms there
    # (libgomp, env.c). If other programs run, the spinning threads keep the processor from the one that they wait for:
    # on two busy cores a step of ResNet20 took 8 to 13 s, and 0.4 to 0.5 s with this.
    "torch": Known("PyTorch", "pip install torch", unless_set={"GOMP_SPINCOUNT": "1000"}),
}
# Packages that can feed any backend, and that few have installed.
FEEDING = {"grain": Known("Grain", "pip install grain")}
# Environment variables by which a user chooses how threads wait.
WAITING = frozenset({"GOMP_SPINCOUNT", "OMP_WAIT_POLICY"})


@functools.cache
def is_installed(package: str) -> bool:
    """Whether the package of a backend or a feed can be imported, without importing it."""
    return find_spec(package) is not None


def title(backend: str) -> str:
    """Return the title of a backend; for an unknown one, its name."""
    return BACKENDS[backend].title if backend in BACKENDS else backend


def lacking(package: str) -> str:
    """Return that a backend or a feed is not installed, and how to install it."""
    known = FEEDING.get(package) or _known(package)
    return f"{known.title} is not installed: {known.install}"


def usual() -> str:
    """Return the default backend: TensorFlow, or else the first one that is installed.

    Raises MissingError where there is none.
    """
    backend = next(filter(is_installed, BACKENDS), None)
    if backend is None:
        raise MissingError(f"none of Keras's backends is installed; one is enough: {BACKENDS[TENSORFLOW].install}")
    return backend


def environment(backend: str) -> dict[str, str]:
    """Return the environment variables that a process needs before it imports Keras with this backend."""
    known = _known(backend)
    chosen = {} if WAITING & os.environ.keys() else known.unless_set
    return {**known.environment, **chosen, "KERAS_BACKEND": backend}


def _known(backend: str) -> Known:
    if backend not in BACKENDS:
        raise MissingError(f"{backend} is not a backend that this version of gpuprobe knows: {', '.join(BACKENDS)}")
    return BACKENDS[backend]
