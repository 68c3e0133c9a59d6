"""Dispatches one step to one device: allocations, copies, kernels and collectives, in order."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpuprobe.simulate.gpu import COLLECTIVE, COMPUTE, H2D, Gpu, Pending, compute_stream, compute_streams
from gpuprobe.simulate.inputs import PRODUCER, Taken
from gpuprobe.simulate.noise import Source
from gpuprobe.simulate.progress import PYTHON, Progress, span_ns
from gpuprobe.simulate.session import Doing, Kind
from gpuprobe.simulate.work import durations_us
from gpuprobe.units import MIB

if TYPE_CHECKING:
    from collections.abc import Sequence

SCALAR_BYTES = 4


class Dispatcher:
    """The thread that dispatches one step to one device; `now` is its own clock, in us."""

    def __init__(self, running: Progress, gpu: Gpu, begin: float, taken: Taken) -> None:
        self.running, self.gpu, self.begin, self.now, self.taken = running, gpu, begin, taken.got_us, taken
        spec = running.spec
        self.thread = PYTHON if spec.host.eager else f"tf_Compute_{gpu.index}"
        self.durations = durations_us(spec, running.noise, gpu.index, running.step)
        self.first: list[Pending] = []
        self.collectives: list[Pending] = []
        self.place = 0
        self.factor = running.noise.factor(Source.HOST, running.call, 4)
        # Two parts: Python's and the runtime's.
        self.each_us = (spec.host.eager * spec.host.eager_op_us + spec.host.dispatch_us) * self.factor
        self.syncs = self._places(spec.host.syncs_in_step)
        self.stalls = self._places(spec.host.host_work_pieces if spec.host.host_work_ms else 0)

    def start(self) -> None:
        """Allocate memory, and copy the batch to the device."""
        spec = self.running.spec
        for _ in range(spec.host.allocations):
            begin, self.now = self.now, self.now + spec.host.allocation_us * self.factor
            self.running.doing[self.gpu.index][Doing.MEMORY].append(span_ns(begin, self.now))
            self.running.tell(self.thread, "cuMemAlloc_v2", begin, self.now)
        if not spec.card.on_gpu:
            return
        self.first = list(self.gpu.last_of([*compute_streams(spec), COLLECTIVE]))
        if spec.copies.on_card_mib:
            self._copy_on_card(round(spec.copies.on_card_mib * MIB))
        if spec.copies.batch_mib and spec.input.feed != "device":
            self._copy_batch(round(spec.copies.batch_mib * MIB))

    def kernels(self, begin_share: float, end_share: float) -> None:
        """Launch the kernels of a part of the step, given as fractions of it."""
        count = len(self.durations)
        for place in range(round(begin_share * count), round(end_share * count)):
            self._host_work(place)
            self._kernel(place)
            if place in self.syncs and self.running.spec.card.on_gpu:
                self.now = self.running.wait_for(self.gpu, self.thread, self.now, SCALAR_BYTES)

    def collective(self) -> Pending:
        """Launch a collective; return it, with its start known."""
        running = self.running
        op = Pending(Kind.COLLECTIVE, COLLECTIVE, 0.0, self.now, self.now, self.thread, running.call, self.place)
        op.after = self.gpu.last_of(compute_streams(running.spec))
        self.now = self.gpu.hand_over(self.gpu.launch(op, running.launch_us))
        self.collectives.append(op)
        return op

    def end(self) -> None:
        """Submit the launches that are still held back."""
        self.now = self.gpu.hand_over(self.now)
        self._note(Doing.DISPATCH, self.begin, self.now)
        running = self.running
        running.tell(self.thread, "ExecutorState::Process", self.begin, self.now, ("_ct", 1), ("_c", running.call + 1))

    def _kernel(self, place: int) -> None:
        running, knobs = self.running, self.running.spec.host
        begin = self.now
        if knobs.once_ms:
            self._tune()
        self.now += self.each_us
        stream = compute_stream(place % running.spec.kernels.streams)
        op = Pending(Kind.KERNEL, stream, self.durations[place], self.now, self.now, self.thread, running.call, place)
        if not running.spec.card.on_gpu:
            self.gpu.schedule(op, self.now)
            self.now = op.end
        else:
            # All streams begin a step together, after its copies and all work of the step before.
            first = self.first if place < running.spec.kernels.streams else ()
            op.after = (*first, *self._exchanged(place))
            loading_us = running.once_us("code_loading", self.gpu.index) if knobs.once_ms else 0.0
            self.now = self.gpu.launch(op, running.launch_us + loading_us)
            self._note(Doing.ONCE, op.call_begin, op.call_begin + loading_us)
        if running.traced:
            running.tell(self.thread, "op", begin, self.now, ("place", place))

    def _exchanged(self, place: int) -> Sequence[Pending]:
        """Return the exchanges that a kernel waits for: an update for all, what computes gradients for none."""
        knobs = self.running.spec.collective
        updates = place >= round((1 - knobs.update_share) * len(self.durations))
        return self.collectives if updates or not (knobs.overlap or knobs.update_share) else ()

    def _host_work(self, place: int) -> None:
        """Spend time without launching: in an operation placed on the processor, or in Python."""
        knobs = self.running.spec.host
        if place not in self.stalls:
            return
        begin, self.now = self.now, self.now + 1000 * knobs.host_work_ms / len(self.stalls) * self.factor
        self._note(Doing.HOST_WORK, begin, self.now)
        if knobs.host_work_kind == "operation":
            self.running.tell(self.thread, "host_op", begin, self.now)

    def _tune(self) -> None:
        """Autotune once: try which kernel is fastest."""
        begin, self.now = self.now, self.now + self.running.once_us("autotuning", self.gpu.index)
        self._note(Doing.ONCE, begin, self.now)

    def _note(self, doing: Doing, begin: float, end: float) -> None:
        if end > begin:
            self.running.doing[self.gpu.index][doing].append(span_ns(begin, end))

    def _copy_batch(self, size: int) -> None:
        running, copies = self.running, self.running.spec.copies
        op = Pending(Kind.H2D, H2D, running.copy_us(size, copies.pinned), self.now, self.now, self.thread, running.call)
        op.bytes = size
        if copies.ahead and running.spec.input.feed != "python":
            op.thread, op.call_begin = PRODUCER, self.taken.ready_us
            op.call_end = op.call_begin + running.launch_us
            self.gpu.schedule(op, op.call_end)
        else:
            self.now = self.gpu.launch(op, running.launch_us)
            if not copies.pinned:
                self.now = max(self.gpu.hand_over(self.now), op.end)
                op.call_end = self.now
        self.first.append(op)

    def _copy_on_card(self, size: int) -> None:
        running = self.running
        work_us = running.spec.copies.latency_us + size / (1000 * running.spec.card.memory_gb_per_s / 2)
        op = Pending(Kind.D2D, COMPUTE, work_us, self.now, self.now, self.thread, running.call)
        op.bytes, op.after = size, tuple(self.first)
        self.now = self.gpu.launch(op, running.launch_us)
        self.first.append(op)

    def _places(self, count: int) -> frozenset[int]:
        return frozenset(round((number + 1) * len(self.durations) / (count + 1)) - 1 for number in range(count))
