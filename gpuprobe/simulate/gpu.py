"""One device: launches wait in a bounded queue, each stream runs its own in order, and copies run beside kernels."""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gpuprobe.simulate.session import Kind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gpuprobe.simulate.spec import Spec

# Stream numbers as in a trace: TensorFlow makes one stream to compute and one for each direction of copies.
COMPUTE, H2D, D2H, COLLECTIVE = 13, 14, 15, 30
MORE_COMPUTE = 16


def compute_stream(index: int) -> int:
    """Return the stream number of the `index`-th compute stream, counted from 0."""
    return COMPUTE if index == 0 else MORE_COMPUTE + index


def compute_streams(spec: Spec) -> list[int]:
    """Return the numbers of all compute streams of a device."""
    return [compute_stream(index) for index in range(spec.kernels.streams)]


@dataclass(eq=False, slots=True)
class Pending:
    """An operation that has been launched; times in microseconds, `start` and `end` once they are known."""

    kind: Kind
    stream: int
    work_us: float
    call_begin: float
    call_end: float
    thread: str
    call_number: int
    place: int = 0
    bytes: int = 0
    after: Sequence[Pending] = ()
    start: float = 0.0
    end: float = 0.0


@dataclass
class Gpu:
    """The state of a device; `done` are all operations whose times are known, in launch order."""

    spec: Spec
    index: int
    done: list[Pending] = field(default_factory=list)
    _held: list[Pending] = field(default_factory=list)
    _waiting: list[float] = field(default_factory=list)
    _stream_free: dict[int, float] = field(default_factory=dict)
    _last: dict[int, Pending] = field(default_factory=dict)

    def launch(self, op: Pending, launch_us: float) -> float:
        """Launch `op` by a call that begins at `op.call_begin`; return when the call returns.

        It returns later if the queue is full.
        """
        host = self.spec.host
        now = op.call_begin
        while self._waiting and self._waiting[0] <= now:
            heapq.heappop(self._waiting)
        if len(self._waiting) + len(self._held) >= host.queue_depth:
            now = self.hand_over(now)
            now = max(now, heapq.heappop(self._waiting))
        op.call_end = now + launch_us
        self._last[op.stream] = op
        if host.wddm_batch == 1:
            self._begin(op, op.call_end)
            return op.call_end
        self._held.append(op)
        if len(self._held) >= host.wddm_batch:
            op.call_end = self.hand_over(op.call_end)
        return op.call_end

    def hand_over(self, now: float) -> float:
        """Submit the launches held back (WDDM batches them) to the device; return when that is done."""
        if not self._held:
            return now
        now += self.spec.host.wddm_submit_us
        for op in self._held:
            self._begin(op, now)
        self._held.clear()
        return now

    def _begin(self, op: Pending, earliest: float) -> None:
        self.schedule(op, earliest)
        heapq.heappush(self._waiting, op.start)

    def schedule(self, op: Pending, earliest: float) -> None:
        """Set when an operation runs: in its stream's order, after the operations that it waits for."""
        op.start = max(earliest, self._stream_free.get(op.stream, 0.0))
        for other in op.after:
            op.start = max(op.start, other.end)
        self.finish(op, self._run(op.start, op.work_us) if op.kind is Kind.KERNEL else op.start + op.work_us)
        self.done.append(op)

    def finish(self, op: Pending, end: float) -> None:
        """Set when an operation ends; for a collective, call it once all devices have begun."""
        op.end = end
        self._stream_free[op.stream] = end

    def last_end(self) -> float:
        """Return when everything submitted is done."""
        return max(self._stream_free.values(), default=0.0)

    def last_of(self, streams: Sequence[int]) -> tuple[Pending, ...]:
        """Return the last operation launched into each of these streams, including those still held back."""
        return tuple(self._last[stream] for stream in streams if stream in self._last)

    def _run(self, start: float, work_us: float) -> float:
        """Return when a kernel ends that takes `length` us alone: it stands still in another process's time slices."""
        card = self.spec.card
        if card.other_process_share == 0:
            return start + work_us
        slice_us = 1000 * card.other_process_slice_ms
        period_us = slice_us / card.other_process_share
        ours_us = period_us - slice_us
        turns, within_us = divmod(start, period_us)
        # Convert the start to time outside the other's slices, add the kernel's length, and convert back.
        served_us = turns * ours_us + max(0.0, within_us - slice_us) + work_us
        turns, rest_us = divmod(served_us, ours_us)
        return max(start + work_us, turns * period_us + slice_us + rest_us)
