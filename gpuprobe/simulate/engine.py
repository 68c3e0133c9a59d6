"""Simulates a spec: the Python thread calls the train function, which dispatches, while input workers run.

Threads, streams and devices each have a clock of their own, in microseconds. They wait for each other only where real
ones do: for a batch, for room in the launch queue, for a stream, for a copy, for the other GPUs.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Generator
from functools import lru_cache
from typing import TYPE_CHECKING

from gpuprobe.simulate.dispatch import SCALAR_BYTES, Dispatcher
from gpuprobe.simulate.inputs import Pipeline, Taken
from gpuprobe.simulate.noise import Source
from gpuprobe.simulate.progress import PYTHON, Progress, span_ns
from gpuprobe.simulate.session import Call, Doing, Session
from gpuprobe.units import MIB

if TYPE_CHECKING:
    from gpuprobe.simulate.gpu import Pending
    from gpuprobe.simulate.spec import Spec

# The limits of the warm-up in calls, in which the launch queue and the input buffer fill.
FEWEST_WARMUP, MOST_WARMUP = 3, 40
# The step time is the mean of at least so many steps and calls: enough for the noise, and for two periods of what comes
# only in every n-th call.
FEWEST_STEPS, FEWEST_CALLS, MOST_CALLS = 12, 4, 400


def simulate(spec: Spec) -> Session:
    """Return the session under the profiler: a warm-up, a barrier, then `spec.steps` traced calls."""
    return Training(spec, traced=True).run(spec.steps)


def steady(spec: Spec) -> Session:
    """Return the session without the profiler, with enough calls for the mean step time of a long training."""
    return Training(spec, traced=False).run(_enough_calls(spec))


@lru_cache(maxsize=256)
def steady_ms(spec: Spec) -> float:
    """Return the mean step time of that session, in ms."""
    return Training(spec, traced=False).step_ms(_enough_calls(spec))


def _enough_calls(spec: Spec) -> int:
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
    # A whole number of the longest period, so that each event counts as often as it comes in a long training.
    calls = max(rhythms) * math.ceil(fewest / max(rhythms))
    return min(calls, MOST_CALLS)


def warmup_calls(spec: Spec) -> int:
    """Return how many calls the warm-up takes."""
    launches = math.ceil(spec.kernels.count / spec.kernels.fused) * spec.host.steps_per_execution
    wanted = FEWEST_WARMUP + spec.input.prefetch + math.ceil(spec.host.queue_depth / launches)
    return min(MOST_WARMUP, wanted)


# Begin and end of every call, and when the devices were done.
Played = tuple[list[tuple[float, float]], list[float]]
# What a training hands out where its devices come to an exchange, and takes back: when that ends.
Play = Generator["list[Pending]", float, Played]


class Training(Progress):
    """The Python thread, with its own clock in us: it calls the train function, and drives all other actors.

    One with `peers` exchanges with other trainings too: who plays them says when an exchange ends.
    """

    def __init__(self, spec: Spec, *, traced: bool, peers: bool = False) -> None:
        super().__init__(spec, traced=traced)
        self.input = Pipeline(spec, self.noise)
        self.now = 0.0
        self._exchanges = peers or (len(self.gpus) > 1 and spec.collective.allreduce_ms > 0)

    def run(self, calls: int) -> Session:
        """Return the session of so many calls after the warm-up."""
        return self.finished(self._alone(self.play(calls, warmup_calls(self.spec))))

    def step_ms(self, calls: int) -> float:
        """Return the mean step time in ms, without building a session."""
        return self.mean_step_ms(self._alone(self.play(calls, warmup_calls(self.spec))))

    def mean_step_ms(self, played: Played) -> float:
        """Return how long a step took of what was played."""
        _, ends = played
        return (ends[-1] - ends[0]) / 1000 / (len(ends) - 1) / self.spec.host.steps_per_execution

    def _alone(self, play: Play) -> Played:
        """Play a training without peers: its own devices exchange for as long as the spec says."""
        try:
            ops = next(play)
            while True:
                knobs, factor = self.spec.collective, self.noise.factor(Source.COPY, self.step, 1)
                took_us = 1000 * knobs.allreduce_ms / knobs.buckets * factor
                ops = play.send(max(op.start for op in ops) + took_us)
        except StopIteration as ended:
            played: Played = ended.value
            return played

    def play(self, calls: int, before: int) -> Play:
        """Play so many calls after `before` others, and hand out the exchanges as they come.

        Returns begin and end of every call, and when the devices were done, from the last of the warm-up on.
        """
        marks: list[tuple[float, float]] = []
        ends: list[float] = []
        self.first_call = before
        for call in range(before + calls):
            self.call, self.counting = call, call >= before
            if call == before:
                begun = self._barrier()
            self._between(call)
            begin = self.now
            marks.append((begin, (yield from self._train_function())))
            ends.append(max(gpu.last_end() for gpu in self.gpus))
        self._between(before + calls)
        return marks, [begun, *ends[before:]]

    def _barrier(self) -> float:
        """Wait for all devices where a trace begins; return when they finished the call before it."""
        done = max(self.now, *(gpu.last_end() for gpu in self.gpus))
        if self.traced:
            self.now = done
        return max(gpu.last_end() for gpu in self.gpus)

    def _between(self, call: int) -> None:
        """Spend Python's time between two calls, with making the next batch if Python feeds."""
        knobs = self.spec.host
        factor = self.noise.factor(Source.HOST, call, 0)
        if call % knobs.callback_every == 0:
            begin, self.now = self.now, self.now + 1000 * knobs.callback_ms * factor
            self.tell(PYTHON, "on_train_batch_end", begin, self.now)
        if self.spec.input.feed == "python":
            batches = knobs.steps_per_execution
            begin, self.now = self.now, self.now + 1000 * self.spec.input.python_ms * batches * factor
            self.tell(PYTHON, "next_batch", begin, self.now)

    def _train_function(self) -> Generator[list[Pending], float, float]:
        """Run one call of the train function; return when it returns to Python."""
        knobs, begin = self.spec.host, self.now
        self.now += knobs.function_call_us * self.noise.factor(Source.HOST, self.call, 1)
        self._specialise()
        compiled = self._compile()
        run_begin = self.now
        for _ in range(knobs.steps_per_execution):
            yield from self._one_step()
        end = self.now
        for device in self.doing:
            device[Doing.STEP].append(span_ns(begin, end))
        if not knobs.eager:
            call = (("_pt", 1), ("_p", self.call + 1), ("id", self.call + 1))
            traced = "traced" if compiled and knobs.compile_kind == "retracing" else "notTraced"
            how = f"{traced}-{'xla' if self.spec.kernels.fused > 1 else 'nonXla'}"
            self.tell(PYTHON, "train_function", begin, end, ("tf_function_call", how))
            self.tell(PYTHON, "TFE_Py_ExecuteCancelable", run_begin, end)
            self.tell(PYTHON, "EagerKernelExecute", run_begin, end)
            self.tell(PYTHON, "FunctionRun", run_begin, end, *call)
        self._read_back()
        return end

    def _compile(self) -> bool:
        knobs = self.spec.host
        if not knobs.compile_every or self.call % knobs.compile_every or not knobs.compile_ms:
            return False
        begin, self.now = self.now, self.now + 1000 * knobs.compile_ms * self.noise.factor(Source.HOST, self.call, 2)
        name = "XlaCompile" if knobs.compile_kind == "xla" else "tf.function-graph_building"
        self.tell(PYTHON, name, begin, self.now)
        for device in self.doing:
            device[Doing.COMPILE].append(span_ns(begin, self.now))
        return True

    def _specialise(self) -> None:
        """Compile a function again for a new shape, where the spec has that as one-time work."""
        for gpu in self.gpus:
            begin, self.now = self.now, self.now + self.once_us("specialising", gpu.index)
            self.tell(PYTHON, "XlaCompile", begin, self.now)
            if self.now > begin:
                self.doing[gpu.index][Doing.ONCE].append(span_ns(begin, self.now))

    def _one_step(self) -> Generator[list[Pending], float, None]:
        """Dispatch one step on all devices: input, copies, kernels, collectives in buckets, and what follows."""
        begin = self.now
        taken = self._next_batch()
        dispatchers = [Dispatcher(self, gpu, begin, taken) for gpu in self.gpus]
        for dispatcher in dispatchers:
            dispatcher.start()
        done = 0.0
        for point in self.spec.collective.points if self._exchanges else ():
            for dispatcher in dispatchers:
                dispatcher.kernels(done, point)
            done = point
            # All devices begin an exchange when they can; it ends for all at once, after the last one's begin.
            ops = [dispatcher.collective() for dispatcher in dispatchers]
            end = yield ops
            for dispatcher, op in zip(dispatchers, ops, strict=True):
                dispatcher.gpu.finish(op, end)
        for dispatcher in dispatchers:
            dispatcher.kernels(done, 1.0)
        for dispatcher in dispatchers:
            dispatcher.end()
        self.now = max(dispatcher.now for dispatcher in dispatchers)
        self.step += 1

    def _next_batch(self) -> Taken:
        if self.spec.input.feed in {"device", "python"}:
            return Taken(self.now, self.now)
        taken = self.input.take(self.now)
        for device in self.doing:
            device[Doing.INPUT].append(span_ns(self.now, taken.got_us))
        return taken

    def _read_back(self) -> None:
        """Copy the loss and `copies.back_mib` to the host, and wait for the copy."""
        knobs, size = self.spec.host, round(self.spec.copies.back_mib * MIB)
        due = knobs.sync_every and self.call % knobs.sync_every == 0
        if not (due or size) or not self.spec.card.on_gpu:
            return
        for gpu in self.gpus:
            self.now = self.wait_for(gpu, PYTHON, self.now, max(size, SCALAR_BYTES))

    def finished(self, played: Played) -> Session:
        """Return what was played as a session."""
        marks, ends = played
        before = self.first_call
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
            ops=self.ops(before, begins[before]),
            host=tuple(sorted([*self.events, *events], key=lambda event: (event.start_ns, -event.end_ns))),
            doing=tuple({kind: tuple(spans) for kind, spans in device.items()} for device in self.doing),
            call_ms=tuple((later - earlier) / 1000 for earlier, later in itertools.pairwise(ends)),
        )
