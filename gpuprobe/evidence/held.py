"""What the host was in while a device idled, as signals: a recurrent loop, work of its own, events that prove it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpuprobe.records import Signal

if TYPE_CHECKING:
    from gpuprobe.ledger.records import DeviceBreakdown, HostEvent

NOT_HELD = "the trace holds none of it"


def recurrent(device: DeviceBreakdown) -> list[Signal]:
    """A recurrent layer that runs as a loop: signals only of a trace that shows one."""
    found, source = device.recurrent, "trace, operations in loops"
    if found is None:
        return []
    untold = None if found.setting else "the operations of the loop do not show it"
    return [
        Signal(name="recurrent_layer", unit="", source=source, value=found.layer),
        Signal(name="recurrent_share", unit="of the step", source=source, value=found.time_fraction),
        Signal(name="recurrent_operations", unit="per step", source=source, value=found.operations_per_step),
        Signal(name="recurrent_setting", unit="", source=source, value=found.setting or None, missing=untold),
    ]


def held(device: DeviceBreakdown) -> list[Signal]:
    """What held the host while it launched nothing: signals only of a trace in which something did."""
    held, source = device.held, "ledger, stretches in which nothing is launched"
    if held is None:
        return []
    by = device.proof.get("idle_host_work")
    figures: list[tuple[str, str, float | str | None]] = [
        ("held_by", "", by[0].name if by else None),
        ("held_kind", "", held.kind or None),
        ("held_stretches", "in all steps", float(held.stretches)),
        ("held_steps", "steps", float(held.steps)),
        ("held_told_fraction", "of idle_host_work", held.told_fraction),
        ("once_proven_fraction", "of idle_once", held.proven_fraction),
    ]
    return [
        Signal(name=name, unit=unit, source=source, value=value, missing=None if value is not None else NOT_HELD)
        for name, unit, value in figures
    ]


def proof(device: DeviceBreakdown) -> list[Signal]:
    """The events of the host that prove a category of idle time, by name and thread."""
    return [
        Signal(
            name=f"proof.{category}",
            unit="ms over all steps",
            source=_names(events),
            value=events[0].ms,
            n=device.steps,
        )
        for category, events in device.proof.items()
    ]


def _names(events: tuple[HostEvent, ...]) -> str:
    # TensorFlow appends a number to the names of its threads that means nothing outside the process.
    told = (f"{event.name} ({event.thread.partition('/')[0]})" for event in events)
    return "trace, events: " + ", ".join(dict.fromkeys(told))
