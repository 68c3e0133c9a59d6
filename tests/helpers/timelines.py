"""Timelines made by hand: a step of a GPU, in whole milliseconds, that a reader of the test can follow."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from gpuprobe.traces.timeline import (
    NO_CORRELATION,
    UNKNOWN,
    Copies,
    Device,
    Direction,
    Events,
    Kernels,
    Steps,
    Thread,
    Timeline,
)
from gpuprobe.units import PS_PER_MS

HOST = "host"


@dataclass
class Made:
    """Collects events by thread and device. `launch` is when the launch call of a kernel began.

    All times are ms, or as many of `unit_ms`.
    """

    calls: dict[str, list[tuple[float, float, str, int, int]]] = field(default_factory=dict)
    work: list[tuple[float, float, str, int, str]] = field(default_factory=list)
    marks: list[tuple[float, float]] = field(default_factory=list)
    facts: dict[str, float | str] = field(default_factory=dict)
    correlated: bool = True
    unit_ms: float = 1.0

    def host(self, start: float, end: float, name: str, thread: str = "python", step: int = UNKNOWN) -> Made:
        self.calls.setdefault(thread, []).append((start, end, name, NO_CORRELATION, step))
        return self

    def kernel(self, start: float, end: float, launch: float, name: str = "kernel", thread: str = "python") -> Made:
        return self._launched(start, end, launch, name, "kernel", thread)

    def copy(self, start: float, end: float, launch: float, direction: Direction = Direction.H2D) -> Made:
        return self._launched(start, end, launch, f"Memcpy{direction.name}", direction.name, "python")

    def line(self, start: float, end: float) -> Made:
        self.marks.append((start, end))
        return self

    def _launched(self, start: float, end: float, launch: float, name: str, what: str, thread: str) -> Made:
        number = len(self.work) + 1 if self.correlated else NO_CORRELATION
        self.work.append((start, end, name, number, what))
        if self.correlated:
            self.calls.setdefault(thread, []).append((launch, launch + 0.001, "cuLaunchKernel", number, UNKNOWN))
        return self

    def timeline(self) -> Timeline:
        names = sorted({call[2] for calls in self.calls.values() for call in calls} | {work[2] for work in self.work})
        place = {name: number for number, name in enumerate(names)}
        threads = tuple(self._thread(name, calls, place) for name, calls in self.calls.items())
        devices = (self._device(place),) if self.work else ()
        return Timeline("made", "xplane", 0, False, tuple(names), devices, threads)

    def _thread(self, name: str, calls: list[tuple[float, float, str, int, int]], place: dict[str, int]) -> Thread:
        calls = sorted(calls, key=lambda call: (call[0], -call[1]))
        start, end = self._ps([call[0] for call in calls]), self._ps([call[1] for call in calls])
        events = Events(
            start,
            end - start,
            np.array([place[call[2]] for call in calls], np.int32),
            np.array([call[3] for call in calls], np.int64),
        )
        return Thread(name, HOST, events, step=np.array([call[4] for call in calls], np.int64))

    def _device(self, place: dict[str, int]) -> Device:
        kernels = sorted(work for work in self.work if work[4] == "kernel")
        copies = sorted(work for work in self.work if work[4] != "kernel")
        lines = self._ps([start for start, _ in self.marks]), self._ps([end for _, end in self.marks])
        count = len(kernels)
        return Device(
            "/device:GPU:0",
            HOST,
            Kernels(
                *self._columns(kernels, place),
                stream=np.ones(count, np.int64),
                op=np.full(count, UNKNOWN, np.int32),
                grid=np.full((count, 3), [40, 1, 1], np.int32).reshape(count, 3),
                block=np.full((count, 3), [256, 1, 1], np.int32).reshape(count, 3),
                occupancy_percent=np.full(count, 50.0),
            ),
            Copies(
                *self._columns(copies, place),
                stream=np.full(len(copies), 2, np.int64),
                direction=np.array([Direction[work[4]] for work in copies], np.int8),
                bytes=np.full(len(copies), 12_000_000, np.int64),
            ),
            Steps(lines[0], lines[1] - lines[0], np.arange(len(self.marks), dtype=np.int64)),
            self.facts,
        )

    def _columns(
        self, work: list[tuple[float, float, str, int, str]], place: dict[str, int]
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        start, end = self._ps([one[0] for one in work]), self._ps([one[1] for one in work])
        names = np.array([place[one[2]] for one in work], np.int32)
        return start, end - start, names, np.array([one[3] for one in work], np.int64)

    def _ps(self, values: list[float]) -> np.ndarray:
        return np.array([round(value * self.unit_ms * PS_PER_MS) for value in values], np.int64)
