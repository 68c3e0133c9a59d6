"""Selects the strategies of a study where a backend of Keras is asked for."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING

from gpuprobe.backends.known import BACKENDS, is_installed, usual
from gpuprobe.errors import UsageError
from gpuprobe.strategies.registry import PIPELINE, PLAIN, select, strategies

if TYPE_CHECKING:
    from gpuprobe.strategies.registry import Strategy

ALL = "all"


def under(backend: str | None, named: str | None, option: str = "--strategies") -> tuple[tuple[Strategy, ...], str]:
    """Return the strategies of a study, and the backend of those that do not name one.

    With `all` the backends are compared under one strategy, by default plain arrays, or tf.data for a workload that
    these cannot feed. Raises UsageError, which names the `option`, where several are named.
    """
    base = _usual() if backend in {None, ALL} else str(backend)
    if backend != ALL:
        return tuple(_worded(entry, base) for entry in select(named or "all", option)), base
    chosen = [entry for entry in select(named or PLAIN, option) if not entry.backend]
    if len(chosen) != 1 or chosen[0].combines:
        raise UsageError(f"{option}: name one strategy that all backends train under, as {PLAIN}")
    if named is None:
        chosen = [replace(chosen[0], instead=PIPELINE)]
    others = [entry for entry in strategies().values() if entry.backend not in {"", base}]
    return (*chosen, *(replace(entry, against=chosen[0].name) for entry in others)), base


def _worded(entry: Strategy, backend: str) -> Strategy:
    return replace(entry, changes=entry.changes_under.get(entry.backend or backend, entry.changes))


def _usual() -> str:
    """Return the backend that the user has set for Keras, if known and installed; else the first one that is."""
    wanted = os.environ.get("KERAS_BACKEND", "")
    return wanted if wanted in BACKENDS and is_installed(wanted) else usual()
