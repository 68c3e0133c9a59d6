"""Reads XPlane files (TensorFlow 2.3 and newer, JAX) into one timeline."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpuprobe.traces import devices, hosts
from gpuprobe.traces.frame import OTHERS, Frame, shift
from gpuprobe.traces.planes import Plane, Space, read_space
from gpuprobe.traces.timeline import Timeline

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from gpuprobe.traces.names import Names

# The plane and the stat (Unix ns) in which newer versions of TensorFlow write when profiling began.
ENVIRONMENT, BEGAN = "Task Environment", "profile_start_time"


def read(file: Path, names: Names) -> Timeline:
    """Read one XPlane file, that of one host, as a timeline whose columns hold indices in `names`.

    Raises InputError where it cannot be read or is damaged.
    """
    space = read_space(file, _stats_read)
    first_ns = _first_ns(space)
    shift_ns, unix = shift(first_ns, _began_ns(space))
    warnings = list(space.warnings)
    frame = Frame(file, space.host, first_ns, names, warnings)
    devices_read = [devices.device_of(plane, frame) for plane in space.planes if plane.name.startswith(devices.PLANE)]
    threads = hosts.threads_of([plane for plane in space.planes if hosts.is_host(plane.name)], frame)
    return Timeline(
        source=str(file),
        format="xplane",
        origin_ns=first_ns + shift_ns,
        unix=unix,
        names=names.all(),
        devices=tuple(devices_read),
        threads=threads,
        steps=hosts.markers_of(threads),
        warnings=tuple(warnings),
        others=tuple(plane.name for plane in space.planes if _is_other(plane)),
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
