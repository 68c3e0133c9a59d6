"""Parts of a timeline, as a profiler that began late or ended early leaves them, or a tool that cuts a file in two."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Literal, TypeVar

import numpy as np

from gpuprobe.traces.timeline import Device, Spans, Thread, Timeline

# What is done with an event across the border: it is left out, kept where it begins inside, or cut there.
Border = Literal["whole", "begun", "clipped"]
Line = TypeVar("Line", bound=Spans)
PARTS = {"first half": (-1.0, 0.5), "second half": (0.5, 2.0), "middle": (0.25, 0.75)}


def part_of(timeline: Timeline, share: tuple[float, float], border: Border) -> Timeline:
    """Return what lies between two shares (0 to 1) of the time from the first to the last work of the devices."""
    work = [events for device in timeline.devices for events in (device.kernels, device.copies) if len(events)]
    first = min(int(events.start_ps[0]) for events in work)
    last = max(int(events.end_ps.max()) for events in work)
    low, high = (first + round(end * (last - first)) for end in share)

    def device(given: Device) -> Device:
        kernels, _ = _cut(given.kernels, low, high, border)
        copies, _ = _cut(given.copies, low, high, border)
        return replace(given, kernels=kernels, copies=copies, steps=_cut(given.steps, low, high, border)[0])

    def thread(given: Thread) -> Thread:
        events, kept = _cut(given.events, low, high, border)
        more = {name: getattr(given, name) for name in ("step", "producer", "consumer")}
        return replace(
            given, events=events, **{name: value[kept] if len(value) else value for name, value in more.items()}
        )

    steps, _ = _cut(timeline.steps, low, high, border)
    devices, threads = tuple(map(device, timeline.devices)), tuple(map(thread, timeline.threads))
    return replace(timeline, devices=devices, threads=threads, steps=steps)


def _cut(line: Line, low: int, high: int, border: Border) -> tuple[Line, np.ndarray]:
    """Return what of a line lies there, and the places of what was kept."""
    start, end = line.start_ps, line.end_ps
    kept = {
        "whole": (start >= low) & (end <= high),
        "begun": (start >= low) & (start < high),
        "clipped": (end > low) & (start < high),
    }[border]
    places = np.flatnonzero(kept)
    if border == "clipped":
        start, end = np.maximum(start, low), np.minimum(end, high)
        places = places[np.lexsort((-end[places], start[places]))]
    columns = {field.name: getattr(line, field.name) for field in fields(line)}
    columns |= {"start_ps": start, "duration_ps": end - start}
    return type(line)(**{name: column[places] if len(column) else column for name, column in columns.items()}), places
