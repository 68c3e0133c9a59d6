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

NOT_RECORDED = "-"
# Options of `fit` are compared only where both sides recorded them: a training loop without `fit` has none.
FIT_OPTIONS = (
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
# The smallest difference that is shown, by unit, even where it is a tenth of the reading. The unit 1 is a share of the
# time. Assumptions.
LEAST_DIFFERENCE_BY_UNIT = {"cores": 0.05, "MiB": 32.0, "MiB/s": 1.0, "1": 0.01, "1/s": 10.0, "%": 1.0, "W": 1.0}


def settings(a: Measured, b: Measured) -> tuple[Difference, ...]:
    """Return in which effective settings and options A and B differ.

    Left out are settings that one side does not know, and options of `fit` that one side did not record. Empty where
    one side recorded nothing.
    """
    a_settings, b_settings = (
        {**_fields_as_text(side_settings.settings), **side_settings.choices} for side_settings in (a, b)
    )
    unknown_settings = {setting for setting in FIT_OPTIONS if not (a_settings.get(setting) and b_settings.get(setting))}
    unknown_settings |= {
        setting
        for side_settings in (a_settings, b_settings)
        for setting, setting_value in side_settings.items()
        if setting_value == UNKNOWN
    }
    for side_settings in (a_settings, b_settings):
        for setting in unknown_settings:
            side_settings.pop(setting, None)
    return _differing(a_settings, b_settings) if a_settings and b_settings else ()


def environment(a: Environment | None, b: Environment | None) -> tuple[Difference, ...]:
    """Return what differs between the machines of A and B; empty where one of them is not known."""
    return _differing(_machine(a), _machine(b)) if a and b else ()


def telemetry(a: Measured, b: Measured) -> tuple[SignalChange, ...]:
    """Return the readings whose means differ by a tenth or more, the largest relative change first."""
    a_signals = {signal.name: signal for signal in a.telemetry}
    signal_pairs = [(a_signals[signal.name], signal) for signal in b.telemetry if signal.name in a_signals]
    changed = [
        SignalChange(name=a_signal.name, unit=a_signal.unit, a=a_signal.value, b=b_signal.value)
        for a_signal, b_signal in signal_pairs
        if isinstance(a_signal.value, float)
        and isinstance(b_signal.value, float)
        and _differ(a_signal, a_signal.value, b_signal.value)
    ]
    return tuple(sorted(changed, key=lambda change: -_relative(change.a, change.b)))


def until_steady(a: Measured, b: Measured) -> tuple[PartChange, ...]:
    """Return each part of the runs before their steps are steady; empty unless both recorded the same parts."""
    a_parts_s, b_parts_s = a.until_steady_s, b.until_steady_s
    if a_parts_s.keys() != b_parts_s.keys():
        return ()
    return tuple(PartChange(part=part, a_s=a_parts_s[part], b_s=b_parts_s[part]) for part in a_parts_s)


def ledger(a: Measured, b: Measured) -> Ledger | str:
    """Return where the traced step became longer or shorter, or the reason why that is not known."""
    if a.breakdown is None or b.breakdown is None:
        sides_without_trace = [category for category, side in (("A", a), ("B", b)) if side.breakdown is None]
        return (
            f"{' and '.join(sides_without_trace)} {'has' if len(sides_without_trace) == 1 else 'have'} no trace of it"
        )
    if a.breakdown.kind != b.breakdown.kind:
        return "one trace is of a GPU and the other of the processor"
    # A step of a trace is a call of the train function, which may run several steps.
    steps_per_call = [side.settings.steps_per_execution if side.settings else 1 for side in (a, b)]
    devices = (a.breakdown, b.breakdown)
    changes = [
        CategoryChange(
            category=category,
            a_ms=devices[0].ms(category) / steps_per_call[0],
            b_ms=devices[1].ms(category) / steps_per_call[1],
            a_fraction=devices[0].share(category),
            b_fraction=devices[1].share(category),
        )
        for category in devices[0].ledger_ms | devices[1].ledger_ms
        if devices[0].ms(category) > 0 or devices[1].ms(category) > 0
    ]
    changes.sort(key=lambda change: -abs(change.change_ms))
    return Ledger(
        a_step_ms=devices[0].step_ms / steps_per_call[0],
        b_step_ms=devices[1].step_ms / steps_per_call[1],
        changes=tuple(changes),
    )


def run(a: Measured, b: Measured) -> Ledger | None:
    """Return where the wall time of the runs went for each step; None unless both recorded it."""
    a_run_ms, b_run_ms = a.run_ms, b.run_ms
    if not a_run_ms or not b_run_ms:
        return None
    wall_ms = sum(a_run_ms.values()), sum(b_run_ms.values())
    changes = [
        CategoryChange(
            category=part,
            a_ms=a_run_ms.get(part, 0.0),
            b_ms=b_run_ms.get(part, 0.0),
            a_fraction=a_run_ms.get(part, 0.0) / wall_ms[0],
            b_fraction=b_run_ms.get(part, 0.0) / wall_ms[1],
        )
        for part in a_run_ms | b_run_ms
    ]
    changes.sort(key=lambda change: -abs(change.change_ms))
    return Ledger(a_step_ms=wall_ms[0], b_step_ms=wall_ms[1], changes=tuple(changes))


def given_words(given: Given | None) -> dict[str, str]:
    """Return what `fit` was given, each value under the name that a comparison shows, as text."""
    if given is None:
        return {}
    callbacks = None if given.callbacks is None else ", ".join(given.callbacks) or "none"
    return {
        "data": given.data_kind,
        "workers of the PyDataset": _as_text(given.data_workers),
        "epochs": _as_text(given.epochs),
        "own callbacks": _as_text(callbacks),
        "settings of callbacks": ", ".join(
            f"{setting.callback}.{setting.name} {_as_text(setting.value)}" for setting in given.callback_settings
        ),
        "validation_freq": _as_text(given.validation_freq),
        "validation_steps": _as_text(given.validation_steps),
        "steps come from": "a loop in the script" if given.own_loop else "fit",
    }


def _differing(a: Mapping[str, str], b: Mapping[str, str]) -> tuple[Difference, ...]:
    fact_names = dict.fromkeys((*a, *b))
    fact_pairs = [
        (fact_name, a.get(fact_name) or NOT_RECORDED, b.get(fact_name) or NOT_RECORDED) for fact_name in fact_names
    ]
    return tuple(
        Difference(name=fact_name, a=a_value, b=b_value)
        for fact_name, a_value, b_value in fact_pairs
        if a_value != b_value
    )


def _fields_as_text(record: msgspec.Struct | None) -> dict[str, str]:
    return (
        {field_name: _as_text(field_value) for field_name, field_value in msgspec.structs.asdict(record).items()}
        if record
        else {}
    )


def _as_text(field_value: object) -> str:
    if isinstance(field_value, bool):
        return "on" if field_value else "off"
    return "" if field_value is None else str(field_value)


def _machine(machine: Environment) -> dict[str, str]:
    facts = _fields_as_text(machine)
    for fact_name in ("versions", "gpus", "simulated"):
        del facts[fact_name]
    facts["memory_mib"] = f"{machine.memory_mib:.0f}"
    facts |= {f"version of {fact_name}": version for fact_name, version in machine.versions.items()}
    for gpu in machine.gpus:
        gpu_facts = {
            **_fields_as_text(gpu),
            **{fact_name: _as_text(fact_value) for fact_name, fact_value in gpu.facts.items()},
        }
        del gpu_facts["index"], gpu_facts["facts"]
        facts |= {f"GPU {gpu.index} {fact_name}": fact_words for fact_name, fact_words in gpu_facts.items()}
    return facts


def _differ(signal: Signal, a: float, b: float) -> bool:
    return abs(b - a) >= LEAST_DIFFERENCE_BY_UNIT.get(signal.unit, 0.0) and _relative(a, b) >= fixed.SIGNAL_APART


def _relative(a: float, b: float) -> float:
    larger = max(abs(a), abs(b))
    return abs(b - a) / larger if larger else 0.0
