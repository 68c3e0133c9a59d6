"""What is known, and what follows from it: signals, findings, gains."""

from __future__ import annotations

from typing import Literal

from gpuprobe.records.base import Record

Confidence = Literal["high", "medium", "low"]


class Signal(Record, frozen=True, kw_only=True):
    """One named piece of evidence: a value with unit, source and spread, or the reason why it is missing.

    `low` and `high` are p5 and p95 of a level, or the 95 % range of an estimate; `median` is p50.
    """

    name: str
    unit: str
    source: str
    value: float | str | bool | None = None
    low: float | None = None
    high: float | None = None
    n: int | None = None
    missing: str | None = None
    median: float | None = None


class Evidence(Record, frozen=True, kw_only=True):
    """All signals known about one run or trace, in the order in which they were gathered."""

    signals: tuple[Signal, ...] = ()

    def get(self, name: str) -> Signal | None:
        """Return the signal of that name, or None where nobody gathered it."""
        return next((signal for signal in self.signals if signal.name == name), None)

    def number(self, name: str) -> float | None:
        """Return the value of a signal that is a number, None where it is missing or no number."""
        value = self._value(name)
        return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None

    def text(self, name: str) -> str:
        """Return the value of a signal that is a text, empty where it is missing or no text."""
        value = self._value(name)
        return value if isinstance(value, str) else ""

    def flag(self, name: str) -> bool | None:
        """Return the value of a signal that is true or false, None where it is missing or neither."""
        value = self._value(name)
        return value if isinstance(value, bool) else None

    def lacking(self, *names: str) -> str | None:
        """Return the reason why the first of these signals without a value has none; None where all have one."""
        for name in names:
            signal = self.get(name)
            if signal is None:
                return f"{name} was not gathered"
            if signal.value is None:
                return f"{name}: {signal.missing or 'it has no value'}"
        return None

    def numbers(self, *names: str) -> tuple[float, ...]:
        """Return the numbers of these signals, of which `lacking` has said before that none lacks its value."""
        values = [self.number(name) for name in names]
        assert None not in values, f"not all of {', '.join(names)} are numbers"
        return tuple(value for value in values if value is not None)

    def only(self, *names: str) -> tuple[Signal, ...]:
        """Return those of these signals that have a value, in this order: what is missing proves nothing."""
        signals = (self.get(name) for name in names)
        return tuple(signal for signal in signals if signal is not None and signal.value is not None)

    def _value(self, name: str) -> float | str | bool | None:
        signal = self.get(name)
        return None if signal is None else signal.value


class Gain(Record, frozen=True, kw_only=True):
    """A speed-up as the ratio old step time / new step time, with its 95 % range where one is known.

    `over` says whose step the old one is: a strategy's name, or what was traced; empty in files of before it was told.
    `most` is what no way of making the change exceeds, where that is part of what is told.
    """

    ratio: float
    low: float | None = None
    high: float | None = None
    over: str = ""
    most: float | None = None
