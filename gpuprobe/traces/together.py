"""Puts the timelines of a session's files side by side: a name for each host, and one clock where they share one."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, TypeVar

from gpuprobe.errors import InputError
from gpuprobe.traces.find import called_apart
from gpuprobe.traces.frame import LONGEST_PS
from gpuprobe.traces.timeline import Spans, Steps, Timeline
from gpuprobe.units import PS_PER_NS

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from gpuprobe.traces.timeline import Device, Thread

UNCOMPARED = "the hosts' clocks are not Unix time; their first events are taken to be at one time"
Moved = TypeVar("Moved", bound=Spans)


@dataclasses.dataclass(frozen=True)
class Clocked:
    """What a file says of its times: where they begin, in ns, and whether that is Unix time."""

    file: Path
    origin_ns: int
    unix: bool


def together(source: Path, files: Sequence[Path], parts: Sequence[Timeline]) -> Timeline:
    """Join the timelines of files, whose columns hold indices in the same names; the last part has them all.

    Raises InputError where a file's clock is so far from the others' that they cannot be of one job.
    """
    if len(parts) == 1:
        return dataclasses.replace(parts[0], source=str(source))
    clocks = [Clocked(file, part.origin_ns, part.unix) for file, part in zip(files, parts, strict=True)]
    origin_ns, unix = common_origin(clocks)
    offsets = offsets_ps(clocks)
    hosts = called_apart([host_of(part, file) for part, file in zip(parts, files, strict=True)], files)
    placed = list(zip(parts, hosts, offsets, strict=True))
    return Timeline(
        source=str(source),
        format=parts[0].format,
        origin_ns=origin_ns,
        unix=unix,
        names=parts[-1].names,
        devices=tuple(_device(device, host, by) for part, host, by in placed for device in part.devices),
        threads=tuple(_thread(thread, host, by) for part, host, by in placed for thread in part.threads),
        # All hosts mark the same steps: the markers of the first one that has any are used.
        steps=next((_later(part.steps, by) for part, _, by in placed if len(part.steps)), Steps()),
        warnings=(*(text for part in parts for text in part.warnings), *([] if unix else [UNCOMPARED])),
        others=tuple(name for part in parts for name in part.others),
        ranks=max(part.ranks for part in parts),
    )


def host_of(part: Timeline, file: Path) -> str:
    """Return the name of a file's host, the file's where nothing in it happened."""
    host_names = (*(device.host for device in part.devices), *(thread.host for thread in part.threads), file.name)
    return host_names[0]


def common_origin(clocks: Sequence[Clocked]) -> tuple[int, bool]:
    """Return where the times of all files begin, in ns, and whether that is Unix time; 0 where some are not."""
    unix = all(clock.unix for clock in clocks)
    return min(clock.origin_ns for clock in clocks) if unix else 0, unix


def offsets_ps(clocks: Sequence[Clocked]) -> list[int]:
    """Return what to add to the times of each file (ps) for all to count from one origin.

    Clocks that are no Unix time begin together. Raises InputError where one is further away than any trace is long.
    """
    origin_ns, unix = common_origin(clocks)
    offsets = [PS_PER_NS * (clock.origin_ns - origin_ns) if unix else 0 for clock in clocks]
    for clock, offset in zip(clocks, offsets, strict=True):
        if offset >= LONGEST_PS:
            days = offset / 86_400e12
            raise InputError(f"{clock.file}: its clock is {days:,.0f} days after the others'; name one file alone")
    return offsets


def renamed(part: Timeline, host: str) -> Timeline:
    """Return the timeline of a file with another name for its host."""
    devices = tuple(_device(device, host, 0) for device in part.devices)
    return dataclasses.replace(
        part, devices=devices, threads=tuple(_thread(thread, host, 0) for thread in part.threads)
    )


def _device(device: Device, host: str, by: int) -> Device:
    kernels, copies, steps = _later(device.kernels, by), _later(device.copies, by), _later(device.steps, by)
    return dataclasses.replace(device, host=host, kernels=kernels, copies=copies, steps=steps)


def _thread(thread: Thread, host: str, by: int) -> Thread:
    return dataclasses.replace(thread, host=host, events=_later(thread.events, by))


def _later(spans: Moved, by: int) -> Moved:
    return dataclasses.replace(spans, start_ps=spans.start_ps + by) if by else spans
