"""The complete events (`ph` X) of a Chrome trace as columns, before GPU events are told from those of the host."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass
from operator import attrgetter
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from gpuprobe.errors import InputError
from gpuprobe.traces.chrome_json import Args, Document, Event, batches, read_document
from gpuprobe.traces.chrome_times import split_us
from gpuprobe.traces.formats import CHROME
from gpuprobe.traces.names import LONGEST_NAME, Names
from gpuprobe.traces.timeline import UNKNOWN, Int64s
from gpuprobe.units import PS_PER_US
from gpuprobe.wording import count

if TYPE_CHECKING:
    from pathlib import Path

# The longest trace that is read, 26 days: then every sum of two times fits into int64 picoseconds.
LONGEST_US = 2**61 // PS_PER_US
# A file with more threads is damaged.
MOST_THREADS = 50_000
# The name of a process that is a GPU in TensorFlow and JAX (`/device:GPU:0`) or in Kineto (`GPU 0`).
GPU = re.compile(r"(?:/device:GPU:|^GPU )(\d{1,9})\b")
# The columns of an event's row of numbers.
THREAD, NAME, CATEGORY, CORRELATION, STEP, DETAIL = range(6)


# A plain value of JSON.
Plain = int | float | str | None


class Detail(NamedTuple):
    """The arguments of a kernel or copy, unparsed; events with equal arguments share one."""

    device: Plain = None
    stream: Plain = None
    grid: tuple[Plain, ...] = ()
    block: tuple[Plain, ...] = ()
    registers: Plain = None
    shared: Plain = None
    occupancy: Plain = None
    bytes: Plain = None
    launch: Plain = None
    copy: Plain = None
    op: Plain = None
    group: Plain = None
    group_ranks: Plain | tuple[Plain, ...] = None
    elements: tuple[Plain, Plain] = (None, None)
    dtype: Plain = None


@dataclass
class ChromeColumns:
    """One file: (n,) columns of its complete events.

    An event starts at `start_us` and `start_ps` added; `rows` (n, 6) int64 holds indices in `threads`, `categories` and
    `details`.
    """

    path: Path
    document: Document
    start_us: Int64s
    start_ps: Int64s
    duration_ps: Int64s
    rows: Int64s
    threads: list[tuple[str, str]]
    categories: list[str]
    details: list[Detail]
    processes: dict[str, str]
    thread_names: dict[tuple[str, str], str]
    warnings: list[str]

    @property
    def host(self) -> str:
        """The host or rank, by the file's name."""
        name, endings = self.path.name, CHROME.all_endings
        # PyTorch's files end in `.pt.trace.json`.
        return next((name.removesuffix(end) for end in endings if name.endswith(end)), name).removesuffix(".pt")


class _Places(dict[Any, int]):
    """Numbers things in the order in which they are first looked up."""

    def __missing__(self, thing: Any) -> int:
        index = self[thing] = len(self)
        return index


def read_columns(path: Path, names: Names) -> ChromeColumns:
    """Read one file. Raises InputError where it is no trace, damaged, or tells times that no trace can have."""
    document = read_document(path)
    reading = _Reading(path, names)
    for events, left_out in batches(document):
        reading.take(events)
        reading.left_out += left_out
    return reading.finished(document)


class _Reading:
    """The columns of a file while its batches are read."""

    def __init__(self, path: Path, names: Names) -> None:
        self.path, self.names = path, names
        self.left_out = 0
        self.processes: dict[str, str] = {}
        self.thread_names: dict[tuple[str, str], str] = {}
        self._threads, self._categories, self._details = _Places(), _Places(), _Places()
        self._begun = 0
        self._seen: dict[tuple[Any, ...], int] = {}
        self._rows: list[Int64s] = []
        self._times: list[tuple[Int64s, Int64s, Int64s]] = []

    def take(self, events: list[Event]) -> None:
        """Add the complete events (X) of a batch, and the names of processes and threads (M)."""
        complete = [event for event in events if event.ph == "X" and event.ts is not None]
        if len(complete) < len(events):
            self._take_others(events)
        self._take_times(complete)
        rows = np.empty((len(complete), 6), np.int64, order="F")
        rows[:, THREAD] = list(map(self._threads.__getitem__, map(_THREAD_OF, complete)))
        rows[:, NAME] = self.names.indices(map(_NAME_OF, complete))
        rows[:, CATEGORY] = list(map(self._categories.__getitem__, map(_CATEGORY_OF, complete)))
        self._take_args([_NO_ARGS if event.args is None else event.args for event in complete], rows)
        self._rows.append(rows)

    def _take_others(self, events: list[Event]) -> None:
        for event in events:
            if event.ph == "M":
                self._note(event)
            elif event.ph == "B":
                self._begun += 1

    def _take_times(self, events: list[Event]) -> None:
        try:
            start_us, start_ps = split_us([event.ts for event in events])
            duration_us, duration_ps = split_us([event.dur for event in events])
        except OverflowError as error:
            raise InputError(f"{self.path}: a time is beyond any clock; the file is damaged") from error
        longest_us = max(int(duration_us.max()), -int(duration_us.min())) if len(events) else 0
        if longest_us > LONGEST_US:
            raise InputError(f"{self.path}: an event of {longest_us / 86_400e6:,.0f} days; the file is damaged")
        self._times.append((start_us, start_ps, duration_us * PS_PER_US + duration_ps))

    def _take_args(self, args: list[Args], rows: Int64s) -> None:
        correlations = [
            event_args.correlation_id if event_args.correlation is None else event_args.correlation
            for event_args in args
        ]
        rows[:, CORRELATION] = wholes(correlations)
        rows[:, STEP] = wholes([event_args.step_num for event_args in args])
        rows[:, DETAIL] = UNKNOWN
        tells = [
            index
            for index, event_args in enumerate(args)
            if event_args.device is not None
            or event_args.kernel_details
            or event_args.memcpy_details
            or event_args.memset_details
        ]
        if tells:
            rows[tells, DETAIL] = self._places_of_details([args[index] for index in tells])

    def _places_of_details(self, args: list[Args]) -> list[int]:
        """Return the index of each of these arguments among the details. Most repeat, so they are looked up first."""
        keys, seen = list(map(_SAID, args)), self._seen
        try:
            by_details = dict(zip(keys, args, strict=True))
        except TypeError:
            # A value cannot be hashed, such as a list in place of a number.
            return [self._details[_detail(event_args)] for event_args in args]
        for key, event_args in by_details.items():
            if key not in seen:
                seen[key] = self._details[_detail(event_args)]
        return list(map(seen.__getitem__, keys))

    def _note(self, event: Event) -> None:
        if event.args is None:
            return
        name = event.args.labels if event.name == "process_labels" else event.args.name
        # Kineto names every process `python`, and gives those that are a GPU a label.
        labelled = event.name == "process_labels" and isinstance(name, str) and name.startswith("GPU ")
        if labelled or (event.name == "process_name" and isinstance(name, str)):
            kept = self.processes.get(str(event.pid), "")
            self.processes[str(event.pid)] = name[:LONGEST_NAME] if labelled or not GPU.search(kept) else kept
        elif isinstance(name, str) and event.name == "thread_name":
            self.thread_names[str(event.pid), str(event.tid)] = name.strip()[:LONGEST_NAME]

    def finished(self, document: Document) -> ChromeColumns:
        nothing = np.empty(0, np.int64)
        times = self._times or [(nothing, nothing, nothing)]
        start_us, start_ps, duration_ps = (np.concatenate([part[column] for part in times]) for column in range(3))
        if len(start_us) and int(start_us.max()) - int(start_us.min()) > LONGEST_US:
            days = (int(start_us.max()) - int(start_us.min())) / 86_400e6
            raise InputError(f"{self.path}: its events lie {days:,.0f} days apart; the file is damaged")
        if len(self._threads) > MOST_THREADS:
            raise InputError(f"{self.path}: {len(self._threads):,} threads; no trace has so many, the file is damaged")
        rows = np.concatenate([np.empty((0, 6), np.int64), *self._rows])
        # Versions of Kineto write the same thread as a number and as text.
        threads = _Places()
        same = [threads[str(process), str(thread)] for process, thread in self._threads]
        rows[:, THREAD] = np.array(same, np.int64)[rows[:, THREAD]]
        return ChromeColumns(
            path=self.path,
            document=document,
            start_us=start_us,
            start_ps=start_ps,
            duration_ps=duration_ps,
            rows=rows,
            threads=list(threads),
            categories=[category.lower() for category in self._categories],
            details=list(self._details),
            processes=self.processes,
            thread_names=self.thread_names,
            warnings=self._warnings(int((duration_ps < 0).sum())),
        )

    def _warnings(self, backwards: int) -> list[str]:
        left_out = (
            (self.left_out, "item", "no trace event"),
            (self._begun, "event", "begin and end stand apart (B, E), and only whole ones (X) are read"),
            (backwards, "event", "the end lies before the beginning"),
        )
        return [f"{self.path.name}: {count(number, noun)} left out: {why}" for number, noun, why in left_out if number]


_NO_ARGS = Args()
_THREAD_OF, _NAME_OF, _CATEGORY_OF = attrgetter("pid", "tid"), attrgetter("name"), attrgetter("cat")
# The arguments that make up a `Detail`.
_SAID = attrgetter(
    "device", "stream", "grid", "block", "registers", "shared", "occupancy", "bytes", "kernel_details",
    "memcpy_details", "memset_details", "tf_op", "annotation", "group", "group_ranks", "elements_in", "elements_out",
    "dtype",
)  # fmt: skip


def wholes(values: list[Any]) -> Int64s:
    """Read whole numbers, (n,) int64, as `whole` does; UNKNOWN for None. Plain integers are converted at once."""
    kinds = set(map(type, values))
    if kinds == {type(None)}:
        return np.full(len(values), UNKNOWN, np.int64)
    if kinds <= {int, type(None)}:
        with suppress(OverflowError):
            return np.maximum(np.array([UNKNOWN if value is None else value for value in values], np.int64), UNKNOWN)
    return np.array([UNKNOWN if value is None else whole(value) for value in values], np.int64)


def whole(value: object) -> int:
    """Read a whole number from 0 to 2^63 - 1, given as a number or as text; UNKNOWN for anything else."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 19:
        value = int(value)
    return value if type(value) is int and 0 <= value < 2**63 else UNKNOWN


def _detail(args: Args) -> Detail:
    return Detail(
        _plain(args.device),
        _plain(args.stream),
        _shape(args.grid),
        _shape(args.block),
        _plain(args.registers),
        _plain(args.shared),
        _plain(args.occupancy),
        _plain(args.bytes),
        _plain(args.kernel_details),
        _plain(args.memcpy_details or args.memset_details),
        _plain(args.tf_op or args.annotation),
        _plain(args.group),
        tuple(map(_plain, args.group_ranks)) if isinstance(args.group_ranks, tuple) else _plain(args.group_ranks),
        (_plain(args.elements_in), _plain(args.elements_out)),
        _plain(args.dtype),
    )


def _plain(value: object) -> Plain:
    return value if isinstance(value, (int, float, str)) else None


def _shape(value: object) -> tuple[Plain, ...]:
    return tuple(map(_plain, value[:3])) if isinstance(value, tuple) else ()
