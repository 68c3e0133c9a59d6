"""Chrome-trace JSON (TensorFlow, JAX, PyTorch's Kineto) becomes one timeline."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

from gpuprobe.foreign import visible
from gpuprobe.traces import chrome_devices
from gpuprobe.traces.chrome_columns import (
    CATEGORY,
    CORRELATION,
    NAME,
    STEP,
    THREAD,
    ChromeColumns,
    read_columns,
)
from gpuprobe.traces.collectives import ranks
from gpuprobe.traces.frame import OTHERS, outer_first, shift
from gpuprobe.traces.hosts import markers_of
from gpuprobe.traces.timeline import UNKNOWN, Events, Thread, Timeline
from gpuprobe.units import PS_PER_NS, PS_PER_US

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from gpuprobe.traces.names import Names
    from gpuprobe.traces.timeline import Int64s

# PyTorch's profiler marks a step by an event of this name.
MARKER = re.compile(r"ProfilerStep#(\d{1,18})$")
# Kineto's categories of work on other accelerators.
OTHER_WORK = ("mtia_ccp", "hpu_op", "glow_runtime")
# Kineto's annotations that repeat the time of other events: they are no calls of a thread.
REPEATED = frozenset({"gpu_user_annotation", "trace", "overhead", "async", "ac2g"})


def read(file: Path, names: Names) -> Timeline:
    """Read one Chrome trace, that of one host or rank, as a timeline whose columns hold indices in `names`.

    Raises InputError where it is no trace, damaged, or a decompression bomb.
    """
    part = read_columns(file, names)
    first_ns = _first_ns(part)
    shift_ns, unix = shift(first_ns, _base_ns(part))
    start_ps = _starts(part, first_ns)
    devices, threads = chrome_devices.devices_of(part, start_ps, names), _threads(part, start_ps, names)
    return Timeline(
        source=str(file),
        format="chrome",
        origin_ns=first_ns + shift_ns,
        unix=unix,
        names=names.all(),
        devices=tuple(devices),
        threads=threads,
        steps=markers_of(threads),
        warnings=tuple(part.warnings),
        others=tuple(_others(part)),
        ranks=ranks(part.document),
    )


def _others(part: ChromeColumns) -> list[str]:
    """Name the devices of a file that are no GPUs (TPUs and other accelerators), which are not read."""
    processes = [name for name in part.processes.values() if OTHERS.match(name)]
    return processes + [category for category in part.categories if category.startswith(OTHER_WORK)]


def _base_ns(part: ChromeColumns) -> int:
    """Return the Unix time (ns) that Kineto's times count from; 0 where the file does not say."""
    base = part.document.base_ns
    return base if type(base) is int and 0 <= base < 2**62 else 0


def _first_ns(part: ChromeColumns) -> int:
    return int(part.start_us.min()) * 1000 if len(part.start_us) else 0


def _starts(part: ChromeColumns, zero_ns: int) -> Int64s:
    """Return when the events start, (n,) int64 ps after the timeline's origin."""
    zero_us, rest_ns = divmod(zero_ns, 1000)
    return (part.start_us - zero_us) * PS_PER_US + part.start_ps - rest_ns * PS_PER_NS


def _threads(part: ChromeColumns, start_ps: Int64s, names: Names) -> tuple[Thread, ...]:
    """Return the host's threads, without repeated annotations and the GPUs' lines."""
    numbers, markers = part.rows, _marker_numbers(names)
    calls = ~chrome_devices.on_device(part) & (part.duration_ps >= 0)
    calls &= ~np.array([category in REPEATED for category in part.categories], bool)[numbers[:, CATEGORY]]
    chosen = np.flatnonzero(calls)
    chosen = chosen[np.argsort(numbers[chosen, THREAD], kind="stable")]
    cuts = np.flatnonzero(np.diff(numbers[chosen, THREAD])) + 1
    return tuple(_thread(part, start_ps, index, markers) for index in np.split(chosen, cuts) if len(index))


def _thread(part: ChromeColumns, start_ps: Int64s, index: NDArray[np.intp], markers: Int64s) -> Thread:
    order = outer_first(start_ps[index], part.duration_ps[index])
    index = index if order is None else index[order]
    rows = part.rows[index]
    key = part.threads[rows[0, THREAD]]
    marked = markers[rows[:, NAME]]
    step = np.where(marked == UNKNOWN, rows[:, STEP], marked)
    return Thread(
        name=visible(part.thread_names.get(key, f"thread {key[1]}")),
        host=visible(part.host),
        events=Events(
            start_ps=start_ps[index],
            duration_ps=part.duration_ps[index],
            name=rows[:, NAME].astype(np.int32),
            correlation=rows[:, CORRELATION].copy(),
        ),
        step=step if (step != UNKNOWN).any() else np.empty(0, np.int64),
    )


def _marker_numbers(names: Names) -> Int64s:
    """Return for each name, (names,) int64, the number of the step that it marks, UNKNOWN where it marks none."""
    matches = [MARKER.match(name) for name in names.all()]
    return np.array([int(match[1]) if match else UNKNOWN for match in matches], np.int64)
