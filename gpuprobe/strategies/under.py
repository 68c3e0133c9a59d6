"""Which strategies a study has, and what the others train with, where backends of Keras are asked for."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING

from gpuprobe.backends.known import BACKENDS, is_installed, usual
from gpuprobe.errors import UsageError
from gpuprobe.strategies.registry import PLAIN, select, strategies

if TYPE_CHECKING:
    from gpuprobe.strategies.registry import Strategy

ALL = "all"


def under(backend: str | None, named: str | None, option: str = "--strategies") -> tuple[tuple[Strategy, ...], str]:
    """Return the strategies of a study, and the backend of all that name none.

    With `all` the backends are compared on the one strategy that is named, on plain arrays where none is. Raises
    UsageError, which names the `option`, where several are named.
    """
    base = _usual() if backend in {None, ALL} else str(backend)
    if backend != ALL:
        return select(named or "all", option), base
    chosen = [found for found in select(named or PLAIN, option) if not found.backend]
    if len(chosen) != 1 or chosen[0].combines:
        raise UsageError(f"{option}: name one strategy that all backends train under, as {PLAIN}")
    others = [found for found in strategies().values() if found.backend not in {"", base}]
    return (*chosen, *(replace(found, against=chosen[0].name) for found in others)), base


def _usual() -> str:
    """Return what the user set Keras to, as far as it is known and installed; else the first that is."""
    wanted = os.environ.get("KERAS_BACKEND", "")
    return wanted if wanted in BACKENDS and is_installed(wanted) else usual()
