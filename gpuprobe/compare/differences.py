"""What else differs between A and B: settings, environment, telemetry, and the step-time breakdown."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from gpuprobe.compare.records import CategoryChange, Difference, Ledger, PartChange, SignalChange
from gpuprobe.thresholds import fixed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gpuprobe.compare.records import Measured
    from gpuprobe.records import Environment, Given, Signal

NOWHERE = "-"
# What one side did not record, as that of a loop without `fit`, is not known to differ.
OF_FIT = (
    "data",
    "workers of the PyDataset",
    "epochs",
    "own callbacks",
    "settings of callbacks",
    "validation_freq",
    "validation_steps",
    "steps an epoch",
)
UNKNOWN = "unknown"
# Smaller differences do not matter, even where they are a tenth; assumptions, by unit. 1 is a share of the time.
LEAST_BY_UNIT = {"cores": 0.05, "MiB": 32.0, "MiB/s": 1.0, "1": 0.01, "1/s": 10.0, "%": 1.0, "W": 1.0}


def settings(a: Measured, b: Measured) -> tuple[Difference, ...]:
    """Return the effective settings and the options of the run that differ."""
    first, second = ({**_fields(side.settings), **side.choices} for side in (a, b))
    unknown = {name for name in OF_FIT if not (first.get(name) and second.get(name))}
    unknown |= {name for side in (first, second) for name, value in side.items() if value == UNKNOWN}
    for side in (first, second):
        for name in unknown:
            side.pop(name, None)
    return _unlike(first, second) if first and second else ()


def environment(a: Environment | None, b: Environment | None) -> tuple[Difference, ...]:
    """Return what differs between the machines of A and B; empty where one of them is not known."""
    return _unlike(_machine(a), _machine(b)) if a and b else ()


def telemetry(a: Measured, b: Measured) -> tuple[SignalChange, ...]:
    """Return the readings whose means differ by a tenth or more, the largest relative change first."""
    before = {signal.name: signal for signal in a.telemetry}
    pairs = [(before[signal.name], signal) for signal in b.telemetry if signal.name in before]
    changed = [
        SignalChange(name=old.name, unit=old.unit, a=old.value, b=new.value)
        for old, new in pairs
        if isinstance(old.value, float) and isinstance(new.value, float) and _differ(old, old.value, new.value)
    ]
    return tuple(sorted(changed, key=lambda change: -_relative(change.a, change.b)))


def until_steady(a: Measured, b: Measured) -> tuple[PartChange, ...]:
    """Return each part of the runs before their steps are steady; empty unless both recorded the same parts."""
    first, second = a.until_steady_s, b.until_steady_s
    if first.keys() != second.keys():
        return ()
    return tuple(PartChange(part=part, a_s=first[part], b_s=second[part]) for part in first)


def ledger(a: Measured, b: Measured) -> Ledger | str:
    """Return where the traced step became longer or shorter, or the reason why that is not known."""
    if a.breakdown is None or b.breakdown is None:
        lacking = [name for name, side in (("A", a), ("B", b)) if side.breakdown is None]
        return f"{' and '.join(lacking)} {'has' if len(lacking) == 1 else 'have'} no trace of it"
    if a.breakdown.kind != b.breakdown.kind:
        return "one trace is of a GPU and the other of the processor"
    # What the trace marks as a step is a call of the train function.
    steps = [side.settings.steps_per_execution if side.settings else 1 for side in (a, b)]
    devices = (a.breakdown, b.breakdown)
    changes = [
        CategoryChange(
            category=name,
            a_ms=devices[0].ms(name) / steps[0],
            b_ms=devices[1].ms(name) / steps[1],
            a_fraction=devices[0].share(name),
            b_fraction=devices[1].share(name),
        )
        for name in devices[0].ledger_ms | devices[1].ledger_ms
        if devices[0].ms(name) > 0 or devices[1].ms(name) > 0
    ]
    changes.sort(key=lambda change: -abs(change.change_ms))
    return Ledger(
        a_step_ms=devices[0].step_ms / steps[0], b_step_ms=devices[1].step_ms / steps[1], changes=tuple(changes)
    )


def run(a: Measured, b: Measured) -> Ledger | None:
    """Return where the wall time of the runs went for each step; None unless both recorded it."""
    first, second = a.run_ms, b.run_ms
    if not first or not second:
        return None
    whole = sum(first.values()), sum(second.values())
    changes = [
        CategoryChange(
            category=name,
            a_ms=first.get(name, 0.0),
            b_ms=second.get(name, 0.0),
            a_fraction=first.get(name, 0.0) / whole[0],
            b_fraction=second.get(name, 0.0) / whole[1],
        )
        for name in first | second
    ]
    changes.sort(key=lambda change: -abs(change.change_ms))
    return Ledger(a_step_ms=whole[0], b_step_ms=whole[1], changes=tuple(changes))


def given_words(given: Given | None) -> dict[str, str]:
    """Return what `fit` was given, each value under the name that a comparison shows, as text."""
    if given is None:
        return {}
    callbacks = None if given.callbacks is None else ", ".join(given.callbacks) or "none"
    return {
        "data": given.data_kind,
        "workers of the PyDataset": _words(given.data_workers),
        "epochs": _words(given.epochs),
        "own callbacks": _words(callbacks),
        "settings of callbacks": ", ".join(
            f"{one.callback}.{one.name} {_words(one.value)}" for one in given.callback_settings
        ),
        "validation_freq": _words(given.validation_freq),
        "validation_steps": _words(given.validation_steps),
        "steps come from": "a loop in the script" if given.own_loop else "fit",
    }


def _unlike(a: Mapping[str, str], b: Mapping[str, str]) -> tuple[Difference, ...]:
    names = dict.fromkeys((*a, *b))
    values = [(name, a.get(name) or NOWHERE, b.get(name) or NOWHERE) for name in names]
    return tuple(Difference(name=name, a=first, b=second) for name, first, second in values if first != second)


def _fields(record: msgspec.Struct | None) -> dict[str, str]:
    return {name: _words(value) for name, value in msgspec.structs.asdict(record).items()} if record else {}


def _words(value: object) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return "" if value is None else str(value)


def _machine(machine: Environment) -> dict[str, str]:
    facts = _fields(machine)
    for name in ("versions", "gpus", "simulated"):
        del facts[name]
    facts["memory_mib"] = f"{machine.memory_mib:.0f}"
    facts |= {f"version of {name}": version for name, version in machine.versions.items()}
    for gpu in machine.gpus:
        of_gpu = {**_fields(gpu), **{name: _words(value) for name, value in gpu.facts.items()}}
        del of_gpu["index"], of_gpu["facts"]
        facts |= {f"GPU {gpu.index} {name}": words for name, words in of_gpu.items()}
    return facts


def _differ(signal: Signal, a: float, b: float) -> bool:
    return abs(b - a) >= LEAST_BY_UNIT.get(signal.unit, 0.0) and _relative(a, b) >= fixed.SIGNAL_APART


def _relative(a: float, b: float) -> float:
    larger = max(abs(a), abs(b))
    return abs(b - a) / larger if larger else 0.0
