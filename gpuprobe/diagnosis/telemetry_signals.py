"""How the rules on telemetry look at their evidence: what is known, what it is worth, and what was missing."""

from __future__ import annotations

from gpuprobe.records import Evidence, Finding, NotEvaluated, Signal

Result = Finding | NotEvaluated


def known(evidence: Evidence, *names: str) -> tuple[Signal | None, ...]:
    """Return the signals of those names that hold a number, None for each other one."""
    signals = (evidence.get(name) for name in names)
    return tuple(signal if signal is not None and isinstance(signal.value, float) else None for signal in signals)


def value(signal: Signal) -> float:
    """Return the number of a signal that `known` gave."""
    assert isinstance(signal.value, float)
    return signal.value


def undecided(evidence: Evidence, cause: str, *names: str) -> NotEvaluated:
    """Say which of the signals that a rule needs was missing, and why."""
    for name in names:
        signal = evidence.get(name)
        if signal is None:
            return NotEvaluated(cause=cause, reason=f"{name} was not gathered")
        if not isinstance(signal.value, float):
            return NotEvaluated(cause=cause, reason=f"{name}: {signal.missing or 'no value'}")
    return NotEvaluated(cause=cause, reason="no signal")
