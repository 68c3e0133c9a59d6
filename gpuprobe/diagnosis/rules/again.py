"""Work that one traced step shows once, and that the timed window's steps have as well: it comes again in each."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from gpuprobe.records import Evidence

if TYPE_CHECKING:
    from gpuprobe.records import Signal
    from gpuprobe.thresholds import Thresholds

ONCE, COMPILING, HELD = "share.idle_once", "share.idle_compile", "share.idle_host_work"
SURE = "breakdown_confidence"


def recurring(traced: Evidence, window: Signal | None, limits: Thresholds) -> Evidence:
    """Return a trace's signals, `idle_once` as what comes again where the window's calls take as long with it.

    Without it they would be shorter than the traced step by all of it; `window` is the mean call, in ms. What
    one clock alone tells is never sure.
    """
    once, step_ms = traced.number(ONCE) or 0.0, traced.number("step_ms") or 0.0
    proven = (traced.number("once_proven_fraction") or 0.0) >= limits.mostly
    if not once or proven or window is None or not isinstance(window.value, float):
        return traced
    lasted_ms = once * step_ms
    if abs(window.value - step_ms) > (1 - limits.mostly) * lasted_ms:
        return traced
    compiled = (traced.number("compile_ms") or 0.0) >= limits.mostly * lasted_ms
    to = COMPILING if compiled else HELD
    moved: dict[str, float | str] = {ONCE: 0.0, to: (traced.number(to) or 0.0) + once}
    if traced.text(SURE) == "high":
        moved[SURE] = "medium"
    return Evidence(signals=tuple(_with(signal, moved) for signal in traced.signals))


def _with(signal: Signal, moved: dict[str, float | str]) -> Signal:
    return msgspec.structs.replace(signal, value=moved[signal.name]) if signal.name in moved else signal
