"""Runs a spec: the Python thread calls the train function, its runtime dispatches, devices and input work beside it.

Each actor keeps its own clock, in microseconds, and waits for the others only where a real one does: for a batch, for
room in the launch queue, for a stream, for a copy, for the other GPUs.
"""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING

from gpuprobe.simulate.gpu import COLLECTIVE, COMPUTE, D2H, H2D, Gpu, Pending, compute_stream
from gpuprobe.simulate.inputs import PRODUCER, Pipeline, Taken
from gpuprobe.simulate.noise import Noise, Source
from gpuprobe.simulate.session import Call, DeviceOp, Doing, HostEvent, Interval, Kind, Session
from gpuprobe.simulate.work import durations_us

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gpuprobe.simulate.spec import Spec

PYTHON = "python3"
MIB, SCALAR_BYTES = 2**20, 4
# Calls before the first that counts: until the launch queue and the input buffer are as full as they get.
FEWEST_WARMUP, MOST_WARMUP = 3, 40
# Steps, and calls at least, whose mean is taken as the step time: enough for the noise, and twice the longest rhythm.
FEWEST_STEPS, FEWEST_CALLS, MOST_CALLS = 12, 4, 400


def simulate(spec: Spec) -> Session:
    """Return the session as it goes while the profiler traces it: a warm-up, a barrier, then `spec.steps` calls."""
    return _Running(spec, traced=True).run(spec.steps)


def steady(spec: Spec) -> Session:
    """Return the session without the profiler, over enough calls that its mean step time is that of a long training."""
    rhythms = [1]
    if spec.host.compile_every and spec.host.compile_ms:
        rhythms.append(spec.host.compile_every)
    if spec.host.sync_every:
        rhythms.append(spec.host.sync_every)
    if spec.host.callback_ms:
        rhythms.append(spec.host.callback_every)
    if spec.input.shuffle_fill_ms:
        rhythms.append(spec.input.shuffle_fill_every)
    fewest = max(FEWEST_CALLS, math.ceil(FEWEST_STEPS / spec.host.steps_per_execution), 2 * max(rhythms))
    # A whole number of the longest rhythm, so that each of its pauses counts as often as it comes.
    calls = max(rhythms) * math.ceil(fewest / max(rhythms))
    return _Running(spec, traced=False).run(min(calls, MOST_CALLS))


def warmup_calls(spec: Spec) -> int:
    """Return how many calls pass before the first that counts."""
    launches = math.ceil(spec.kernels.count / spec.kernels.fused) * spec.host.steps_per_execution
    wanted = FEWEST_WARMUP + spec.input.prefetch + math.ceil(spec.host.queue_depth / launches)
    return min(MOST_WARMUP, wanted)


class _Running:
    """A session in progress."""

    def __init__(self, spec: Spec, *, traced: bool) -> None:
        self.spec, self.traced = spec, traced
        self.noise = Noise(spec.seed, spec.noise)
        self.gpus = [Gpu(spec, index) for index in range(spec.collective.gpus)]
        self.input = Pipeline(spec, self.noise)
        self.doing: list[dict[Doing, list[Interval]]] = [{kind: [] for kind in Doing} for _ in self.gpus]
        self.events: list[HostEvent] = []
        self.now = 0.0
        self.call = 0
        self.step = 0
        self.counting = False

    def run(self, calls: int) -> Session:
        marks: list[tuple[float, float]] = []
        ends: list[float] = []
        before = warmup_calls(self.spec)
        for call in range(before + calls):
            self.call, self.counting = call, call >= before
            if call == before:
                begun = self._barrier()
            self._between(call)
            marks.append((self.now, self._train_function()))
            ends.append(max(gpu.last_end() for gpu in self.gpus))
        self._between(before + calls)
        return self._finished(marks, [begun, *ends[before:]], before)

    def _barrier(self) -> float:
        """Wait for all devices where a trace begins; return when the last call before it was done."""
        done = max(self.now, *(gpu.last_end() for gpu in self.gpus))
        if self.traced:
            self.now = done
        return max(gpu.last_end() for gpu in self.gpus)

    def _between(self, call: int) -> None:
        """Python between two calls, and the next batch where Python makes it there."""
        knobs = self.spec.host
        factor = self.noise.factor(Source.HOST, call, 0)
        if call % knobs.callback_every == 0:
            begin, self.now = self.now, self.now + 1000 * knobs.callback_ms * factor
            self._tell(PYTHON, "on_train_batch_end", begin, self.now)
        if self.spec.input.feed == "python":
            batches = knobs.steps_per_execution
            begin, self.now = self.now, self.now + 1000 * self.spec.input.python_ms * batches * factor
            self._tell(PYTHON, "next_batch", begin, self.now)

    def _train_function(self) -> float:
        """Run one call; return when it comes back to Python."""
        knobs, begin = self.spec.host, self.now
        self.now += knobs.function_call_us * self.noise.factor(Source.HOST, self.call, 1)
        compiled = self._compile()
        run_begin = self.now
        for _ in range(knobs.steps_per_execution):
            self._one_step()
        end = self.now
        for device in self.doing:
            device[Doing.STEP].append(_ns(begin, end))
        if not knobs.eager:
            call = (("_pt", 1), ("_p", self.call + 1), ("id", self.call + 1))
            traced = "traced" if compiled and knobs.compile_kind == "retracing" else "notTraced"
            how = f"{traced}-{'xla' if self.spec.kernels.fused > 1 else 'nonXla'}"
            self._tell(PYTHON, "train_function", begin, end, ("tf_function_call", how))
            self._tell(PYTHON, "TFE_Py_ExecuteCancelable", run_begin, end)
            self._tell(PYTHON, "EagerKernelExecute", run_begin, end)
            self._tell(PYTHON, "FunctionRun", run_begin, end, *call)
        self._read_back()
        return end

    def _compile(self) -> bool:
        knobs = self.spec.host
        if not knobs.compile_every or self.call % knobs.compile_every or not knobs.compile_ms:
            return False
        begin, self.now = self.now, self.now + 1000 * knobs.compile_ms * self.noise.factor(Source.HOST, self.call, 2)
        name = "XlaCompile" if knobs.compile_kind == "xla" else "tf.function-graph_building"
        self._tell(PYTHON, name, begin, self.now)
        for device in self.doing:
            device[Doing.COMPILE].append(_ns(begin, self.now))
        return True

    def _one_step(self) -> None:
        """Dispatch one step on all devices: input, copies, kernels, collectives in buckets, and what follows them."""
        begin = self.now
        taken = self._next_batch()
        dispatchers = [_Dispatcher(self, gpu, begin, taken) for gpu in self.gpus]
        for dispatcher in dispatchers:
            dispatcher.start()
        buckets = self.spec.collective.buckets if len(self.gpus) > 1 else 1
        for bucket in range(buckets):
            for dispatcher in dispatchers:
                dispatcher.kernels(bucket / buckets, (bucket + 1) / buckets)
            if len(self.gpus) > 1 and self.spec.collective.allreduce_ms:
                self._collective(dispatchers, buckets)
        for dispatcher in dispatchers:
            dispatcher.end()
        self.now = max(dispatcher.now for dispatcher in dispatchers)
        self.step += 1

    def _next_batch(self) -> Taken:
        if self.spec.input.feed in {"device", "python"}:
            return Taken(self.now, self.now)
        taken = self.input.take(self.now)
        for device in self.doing:
            device[Doing.INPUT].append(_ns(self.now, taken.got_us))
        return taken

    def _collective(self, dispatchers: Sequence[_Dispatcher], buckets: int) -> None:
        """All devices begin an exchange when they can; it ends for all at once, after the last one's begin."""
        ops = [dispatcher.collective() for dispatcher in dispatchers]
        factor = self.noise.factor(Source.COPY, self.step, 1)
        end = max(op.start for op in ops) + 1000 * self.spec.collective.allreduce_ms / buckets * factor
        for dispatcher, op in zip(dispatchers, ops, strict=True):
            dispatcher.gpu.finish(op, end)

    def _read_back(self) -> None:
        """Copy the loss, and what else is wanted, to the host, and wait for it."""
        knobs, size = self.spec.host, round(self.spec.copies.back_mib * MIB)
        due = knobs.sync_every and self.call % knobs.sync_every == 0
        if not (due or size) or not self.spec.card.on_gpu:
            return
        for gpu in self.gpus:
            self.now = self.wait_for(gpu, PYTHON, self.now, max(size, SCALAR_BYTES))

    def wait_for(self, gpu: Gpu, thread: str, begin: float, size: int) -> float:
        """Copy so many bytes back after all that was launched; return when the waiting call returns."""
        copies, knobs = self.spec.copies, self.spec.host
        after = gpu.last_of([compute_stream(index) for index in range(self.spec.kernels.streams)] + [COLLECTIVE])
        op = Pending(Kind.D2H, D2H, self.copy_us(size, copies.pinned), begin, begin, thread, self.call)
        op.bytes, op.after = size, after
        handed_over = gpu.hand_over(gpu.launch(op, self.launch_us))
        back = max(handed_over, op.end) + knobs.sync_wake_us * self.noise.factor(Source.HOST, self.call, 3)
        # While Python waits for one device it feeds none of the others either.
        for device in self.doing if thread == PYTHON else [self.doing[gpu.index]]:
            device[Doing.SYNC].append(_ns(begin, back))
        # What was still held back is handed over within the waiting call.
        self._tell(thread, "cuStreamSynchronize", op.call_end, back)
        return back

    def copy_us(self, size: int, pinned: bool) -> float:
        """How long a copy over the bus takes."""
        copies = self.spec.copies
        speed = min(copies.link_gb_per_s, copies.link_gb_per_s if pinned else copies.pageable_gb_per_s)
        speed *= self.spec.card.pcie_fraction
        return copies.latency_us + size / (1000 * speed) * self.noise.factor(Source.COPY, self.step, 0)

    @property
    def launch_us(self) -> float:
        """One launch call, with what the profiler adds while it traces."""
        knobs = self.spec.host
        return knobs.launch_us + (knobs.profiler_us if self.traced and self.counting else 0.0)

    def tell(self, thread: str, name: str, begin: float, end: float, *stats: tuple[str, int | str]) -> None:
        """Note what a thread of the host did, while the trace runs."""
        self._tell(thread, name, begin, end, *stats)

    def _tell(self, thread: str, name: str, begin: float, end: float, *stats: tuple[str, int | str]) -> None:
        if self.traced and self.counting and end > begin:
            self.events.append(HostEvent(thread, name, *_ns(begin, end), stats))

    def _finished(self, marks: list[tuple[float, float]], ends: list[float], before: int) -> Session:
        begins = [*(begin for begin, _ in marks), self.now]
        calls = tuple(
            Call(number, round(1000 * begin), round(1000 * end), round(1000 * begins[number + 1]))
            for number, (begin, end) in enumerate(marks)
            if number >= before
        )
        begin_ns = calls[0].start_ns
        events = (event for event in self.input.events if event.end_ns > begin_ns)
        return Session(
            spec=self.spec,
            calls=calls,
            ops=self._ops(before, begins[before]),
            host=tuple(sorted([*self.events, *events], key=lambda event: (event.start_ns, -event.end_ns))),
            doing=tuple({kind: tuple(spans) for kind, spans in device.items()} for device in self.doing),
            call_ms=tuple((later - earlier) / 1000 for earlier, later in itertools.pairwise(ends)),
        )

    def _ops(self, before: int, begin: float) -> tuple[DeviceOp, ...]:
        done = ((gpu.index, op) for gpu in self.gpus for op in gpu.done)
        # What was launched before the trace began is not in it.
        pending = [(device, op) for device, op in done if op.call_number >= before and op.call_begin >= begin]
        pending.sort(key=lambda pair: (pair[1].call_begin, pair[0]))
        return tuple(
            DeviceOp(
                kind=op.kind,
                device=device,
                stream=op.stream,
                start_ns=round(1000 * op.start),
                end_ns=round(1000 * op.end),
                call=_ns(op.call_begin, op.call_end),
                thread=op.thread,
                id=number + 1,
                call_number=op.call_number,
                place=op.place,
                bytes=op.bytes,
            )
            for number, (device, op) in enumerate(pending)
        )


class _Dispatcher:
    """The thread that dispatches one step to one device: its own clock, until the step is out of its hands."""

    def __init__(self, running: _Running, gpu: Gpu, begin: float, taken: Taken) -> None:
        self.running, self.gpu, self.begin, self.now, self.taken = running, gpu, begin, taken.got_us, taken
        spec = running.spec
        self.thread = PYTHON if spec.host.eager else f"tf_Compute_{gpu.index}"
        self.durations = durations_us(spec, running.noise, gpu.index, running.step)
        self.first: list[Pending] = []
        self.collectives: list[Pending] = []
        self.place = 0
        self.factor = running.noise.factor(Source.HOST, running.call, 4)
        self.syncs = self._sync_places(spec.host.syncs_in_step)

    def start(self) -> None:
        """Allocate, and bring the batch onto the device."""
        spec = self.running.spec
        for _ in range(spec.host.allocations):
            begin, self.now = self.now, self.now + spec.host.allocation_us * self.factor
            self.running.doing[self.gpu.index][Doing.MEMORY].append(_ns(begin, self.now))
            self.running.tell(self.thread, "cuMemAlloc_v2", begin, self.now)
        if not spec.card.on_gpu:
            return
        streams = [compute_stream(index) for index in range(spec.kernels.streams)]
        self.first = list(self.gpu.last_of([*streams, COLLECTIVE]))
        if spec.copies.on_card_mib:
            self._copy_on_card(round(spec.copies.on_card_mib * MIB))
        if spec.copies.batch_mib and spec.input.feed != "device":
            self._copy_batch(round(spec.copies.batch_mib * MIB))

    def kernels(self, begin_share: float, end_share: float) -> None:
        """Launch the kernels of this part of the step."""
        count = len(self.durations)
        for place in range(round(begin_share * count), round(end_share * count)):
            self._kernel(place)
            if place in self.syncs and self.running.spec.card.on_gpu:
                self.now = self.running.wait_for(self.gpu, self.thread, self.now, SCALAR_BYTES)

    def collective(self) -> Pending:
        """Launch an exchange between the devices; return it, with its start."""
        running = self.running
        op = Pending(Kind.COLLECTIVE, COLLECTIVE, 0.0, self.now, self.now, self.thread, running.call, self.place)
        op.after = self.gpu.last_of([compute_stream(index) for index in range(running.spec.kernels.streams)])
        self.now = self.gpu.hand_over(self.gpu.launch(op, running.launch_us))
        self.collectives.append(op)
        return op

    def end(self) -> None:
        """Hand over what is still held back."""
        self.now = self.gpu.hand_over(self.now)
        running = self.running
        running.tell(self.thread, "ExecutorState::Process", self.begin, self.now, ("_ct", 1), ("_c", running.call + 1))

    def _kernel(self, place: int) -> None:
        running, knobs = self.running, self.running.spec.host
        begin = self.now
        self.now += (knobs.eager_op_us if knobs.eager else 0.0) * self.factor + knobs.dispatch_us * self.factor
        stream = compute_stream(place % running.spec.kernels.streams)
        op = Pending(Kind.KERNEL, stream, self.durations[place], self.now, self.now, self.thread, running.call, place)
        if not running.spec.card.on_gpu:
            self.gpu.schedule(op, self.now)
            self.now = op.end
        else:
            # Streams begin a step together, after its copies and all that the step before left behind.
            op.after = (*self.first, *self.collectives) if place < running.spec.kernels.streams else self.collectives
            self.now = self.gpu.launch(op, running.launch_us)
        running.tell(self.thread, "op", begin, self.now, ("place", place))

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

    def _sync_places(self, count: int) -> frozenset[int]:
        return frozenset(round((number + 1) * len(self.durations) / (count + 1)) - 1 for number in range(count))


def _ns(begin_us: float, end_us: float) -> Interval:
    return round(1000 * begin_us), round(1000 * end_us)
