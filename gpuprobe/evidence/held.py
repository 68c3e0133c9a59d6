"""What the host did while a device idled, as signals: a recurrent loop, its own work, and the events behind both."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpuprobe.records import Signal

if TYPE_CHECKING:
    from gpuprobe.ledger.records import DeviceBreakdown, HostEvent

NO_SUCH_TIME = "the trace holds no such time"


def recurrent(device: DeviceBreakdown) -> list[Signal]:
    """Return the signals of a recurrent layer that runs as a loop; none where the trace shows no such loop."""
    layer, source = device.recurrent, "trace, operations in loops"
    if layer is None:
        return []
    not_shown = None if layer.setting else "the operations of the loop do not show it"
    return [
        Signal(name="recurrent_layer", unit="", source=source, value=layer.layer),
        Signal(name="recurrent_share", unit="of the step", source=source, value=layer.time_fraction),
        Signal(name="recurrent_operations", unit="per step", source=source, value=layer.operations_per_step),
        Signal(name="recurrent_setting", unit="", source=source, value=layer.setting or None, missing=not_shown),
    ]


def held_signals(device: DeviceBreakdown) -> list[Signal]:
    """Return the signals of what held the host while it launched nothing; none where nothing did."""
    facts, source = device.held, "ledger, stretches in which nothing is launched"
    if facts is None:
        return []
    events = device.proof.get("idle_host_work")
    figures: list[tuple[str, str, float | str | None]] = [
        ("held_by", "", events[0].name if events else None),
        ("held_kind", "", facts.kind or None),
        ("held_stretches", "in all steps", float(facts.stretches)),
        ("held_steps", "steps", float(facts.steps)),
        ("held_told_fraction", "of idle_host_work", facts.told_fraction),
        ("once_proven_fraction", "of idle_once", facts.proven_fraction),
    ]
    return [
        Signal(name=name, unit=unit, source=source, value=value, missing=None if value is not None else NO_SUCH_TIME)
        for name, unit, value in figures
    ]


def proof(device: DeviceBreakdown) -> list[Signal]:
    """Return a signal for each category of idle time: the events of the host behind it, and the ms of the longest."""
    return [
        Signal(
            name=f"proof.{category}",
            unit="ms over all steps",
            source=_events_by_name(events),
            value=events[0].ms,
            n=device.steps,
        )
        for category, events in device.proof.items()
    ]


def _events_by_name(events: tuple[HostEvent, ...]) -> str:
    # TensorFlow appends a number to its threads' names that means nothing outside the process.
    named = (f"{event.name} ({event.thread.partition('/')[0]})" for event in events)
    return "trace, events: " + ", ".join(dict.fromkeys(named))
