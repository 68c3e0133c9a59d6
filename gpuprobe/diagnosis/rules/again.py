"""Work that seems to be done once in a single traced step, but that the steps of the timed window have too."""

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
    """Return a trace's signals, with `idle_once` as recurring work if timed calls are as long as the traced step.

    If that work were done once, the calls would be shorter by its time. `window` is the signal of the mean call, in ms.
    The breakdown is then at most of medium confidence, since only the clock shows it.
    """
    once, step_ms = traced.number(ONCE) or 0.0, traced.number("step_ms") or 0.0
    proven = (traced.number("once_proven_fraction") or 0.0) >= limits.mostly
    if not once or proven or window is None or not isinstance(window.value, float):
        return traced
    lasted_ms = once * step_ms
    if abs(window.value - step_ms) > (1 - limits.mostly) * lasted_ms:
        return traced
    compiled = (traced.number("compile_ms") or 0.0) >= limits.mostly * lasted_ms
    recurring_as = COMPILING if compiled else HELD
    moved: dict[str, float | str] = {ONCE: 0.0, recurring_as: (traced.number(recurring_as) or 0.0) + once}
    if traced.text(SURE) == "high":
        moved[SURE] = "medium"
    return Evidence(signals=tuple(_with_moved(signal, moved) for signal in traced.signals))


def _with_moved(signal: Signal, moved: dict[str, float | str]) -> Signal:
    return msgspec.structs.replace(signal, value=moved[signal.name]) if signal.name in moved else signal
