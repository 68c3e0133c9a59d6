"""Reads XPlane files (TensorFlow 2.3 and newer, JAX) into one timeline."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpuprobe.traces import devices, hosts
from gpuprobe.traces.find import called_apart
from gpuprobe.traces.frame import OTHERS, UNCOMPARED, Frame, shifts_ns
from gpuprobe.traces.names import Names
from gpuprobe.traces.planes import Plane, Space, read_space
from gpuprobe.traces.timeline import Steps, Timeline

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from gpuprobe.traces.timeline import Device, Thread

# The plane and the stat (Unix ns) in which newer versions of TensorFlow write when profiling began.
ENVIRONMENT, BEGAN = "Task Environment", "profile_start_time"


def read(source: Path, files: list[Path]) -> Timeline:
    """Read one session's XPlane files, one for each host.

    Raises InputError where one cannot be read or is damaged.
    """
    spaces = [read_space(path, _stats_read) for path in files]
    warnings = [text for space in spaces for text in space.warnings]
    shifts, unix = shifts_ns([_first_ns(space) for space in spaces], [_began_ns(space) for space in spaces])
    if len(spaces) > 1 and not unix:
        warnings.append(UNCOMPARED)
    origin_ns = min((_first_ns(space) + shift for space, shift in zip(spaces, shifts, strict=True)), default=0)
    names = Names()
    found: list[Device] = []
    threads: list[Thread] = []
    steps = Steps()
    others = tuple(plane.name for space in spaces for plane in space.planes if _is_other(plane))
    hosts_called = called_apart([space.host for space in spaces], files)
    # The last first, so that each file's columns can go once the timeline holds them.
    spaces.reverse()
    for shift, host in zip(shifts, hosts_called, strict=True):
        space = spaces.pop()
        frame = Frame(space.path, host, origin_ns - shift, names, warnings)
        found += [devices.device_of(plane, frame) for plane in space.planes if plane.name.startswith(devices.PLANE)]
        of_host = hosts.threads_of([plane for plane in space.planes if hosts.is_host(plane.name)], frame)
        threads += of_host
        # All hosts mark the same steps: the markers of the first one that has any are used.
        steps = steps if len(steps) else hosts.markers_of(of_host)
    return Timeline(
        source=str(source),
        format="xplane",
        origin_ns=origin_ns,
        unix=unix,
        names=names.all(),
        devices=tuple(found),
        threads=tuple(threads),
        steps=steps,
        warnings=tuple(warnings),
        others=others,
    )


def _stats_read(plane: str, line: str) -> Mapping[str, str] | None:
    """Choose what to read: all lines of hosts, streams and steps of GPUs, and the stats that are used."""
    if hosts.is_host(plane):
        return hosts.STATS
    return devices.stats_read(line) if plane.startswith(devices.PLANE) else None


def _is_other(plane: Plane) -> bool:
    gpu = plane.name.startswith(devices.PLANE)
    return devices.is_unknown(plane) if gpu else bool(OTHERS.match(plane.name))


def _began_ns(space: Space) -> int:
    """Return when profiling began, in Unix ns; 0 where the file does not say."""
    began = next((plane.stats.get(BEGAN, 0) for plane in space.planes if plane.name == ENVIRONMENT), 0)
    return began if isinstance(began, int) and began < 2**62 else 0


def _first_ns(space: Space) -> int:
    """Return the earliest start of a line (ns), on the file's own clock."""
    starts = [line.start_ns for plane in space.planes for line in plane.lines if len(line.events)]
    return min(starts, default=0)
