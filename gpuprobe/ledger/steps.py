"""Where the steps of a trace begin and end, and what in the trace shows it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from gpuprobe.ledger.intervals import Intervals, intersection, join, union
from gpuprobe.ledger.names import Kind
from gpuprobe.ledger.step_markers import Marks, marks_of
from gpuprobe.ledger.training_calls import TrainingCalls, training_calls
from gpuprobe.traces.timeline import UNKNOWN

if TYPE_CHECKING:
    from gpuprobe.ledger.host import TracedHost
    from gpuprobe.traces.timeline import Int64s, Steps

NO_MARKER = "no marker: the whole trace is taken as one step"


@dataclass(frozen=True)
class Windows:
    """The steps, (n,) each: `start_ps`, `end_ps` and `number` as the trace gives it; `source` says what showed them.

    `inside` is when the host was in the training function, None where the trace does not tell; `inside_source` says
    what showed it. `whole` tells whether the last step is as whole as the others. On a processor it ends with its
    marker, so the time up to the next step is missing. On a GPU it ends with the work left in the queue, and is whole.
    `compiled` tells that `inside` are calls of a compiled function, in which no Python of the user's runs. `named`
    tells that they are known to be the training function, by name or by markers: what Python starts outside them is no
    work of the step.
    """

    start_ps: Int64s
    end_ps: Int64s
    number: Int64s
    source: str
    inside: Intervals | None
    inside_source: str
    whole: bool
    compiled: bool = False
    named: bool = False

    def __len__(self) -> int:
        """Count the steps."""
        return len(self.start_ps)

    def of_step(self, work: Intervals) -> Intervals:
        """Return the part of the work started by Python that belongs to the step: not saving, logging or metrics."""
        return intersection(work, self.inside) if self.inside is not None and self.named else work

    @property
    def guessed(self) -> bool:
        """Whether nothing showed the steps, so that all of the device's work counts as one step."""
        return self.source == NO_MARKER


@dataclass(frozen=True)
class _StepStarts:
    """Where the steps start, where the last one ends by itself, what showed them, and whether that one is whole."""

    start_ps: Int64s
    number: Int64s
    end_ps: int
    source: str
    whole: bool


def find_steps(
    host: TracedHost, device_steps: Steps, worked_ps: tuple[int, int] | None, trains: bool = True
) -> Windows | None:
    """Find the steps: from markers, the training function, the `Steps` line, the iterator, or as one whole.

    `worked_ps` is when the device's first work was launched and when its last work ended, where the last step ends
    too. It is None where the processor is the device: then the last step ends with its marker. A device that does not
    take part in the training (`trains`) has one step, its own work. Returns None where nothing shows a step.
    """
    marks = marks_of(host)
    calls = training_calls(host)
    inside, inside_source = _inside(host, marks, calls)
    starts = _step_starts(host, marks, calls, device_steps, worked_ps) if trains else _one_step(worked_ps)
    if starts is None:
        return None
    whole = worked_ps is not None or starts.whole
    last_end = max(worked_ps[1], int(starts.start_ps[-1])) if worked_ps else starts.end_ps
    ends = np.append(starts.start_ps[1:], last_end)
    kept = ends > starts.start_ps
    if not kept.any():
        return None
    number = starts.number[kept]
    compiled = calls is not None
    named = calls is None or not calls.by_time
    return Windows(
        starts.start_ps[kept], ends[kept], number, starts.source, inside, inside_source, whole, compiled, named
    )


def _inside(host: TracedHost, marks: Marks | None, calls: TrainingCalls | None) -> tuple[Intervals | None, str]:
    """Return when the host was in the training function, and what shows it; None and empty where nothing does."""
    compiled = host.select(Kind.JIT)
    if len(compiled):
        # The call only hands the work over: threads of the runtime go on with it after it returns.
        return join([compiled, host.select(Kind.KERNEL_RUN)]), "the calls of compiled functions and their execution"
    if calls is not None:
        # A loop may call several functions, such as those of a generator and a discriminator: inside is any of them.
        others = host.select(Kind.CALL) if calls.by_time else Intervals()
        return join([union(calls.start_ps, calls.end_ps), others]), f"the calls of {calls.name}"
    if marks is not None and marks.enclose_the_call:
        return marks.spans, "the step markers"
    return None, ""


def _step_starts(
    host: TracedHost,
    marks: Marks | None,
    calls: TrainingCalls | None,
    device_steps: Steps,
    worked_ps: tuple[int, int] | None,
) -> _StepStarts | None:
    if marks is not None:
        return _StepStarts(
            marks.spans.start, marks.number, int(marks.spans.end[-1]), "step markers", not marks.enclose_the_call
        )
    if calls is not None:
        starts, end = calls.start_ps, int(calls.end_ps[-1])
        return _StepStarts(starts, _unknown(starts), end, f"the calls of {calls.name}", whole=False)
    if len(device_steps):
        end = int(device_steps.end_ps.max())
        return _StepStarts(
            device_steps.start_ps, device_steps.number, end, "the Steps line of the profiler", whole=True
        )
    waits = host.input_wait
    # A single wait may lie long after the work of its step.
    if len(waits) > 1:
        return _StepStarts(waits.start, _unknown(waits.start), host.last_ps, "the calls of the iterator", whole=False)
    return _one_step(worked_ps)


def _one_step(worked_ps: tuple[int, int] | None) -> _StepStarts | None:
    if worked_ps is None:
        return None
    start = np.array([worked_ps[0]], np.int64)
    return _StepStarts(start, _unknown(start), worked_ps[1], NO_MARKER, whole=True)


def _unknown(starts: Int64s) -> Int64s:
    return np.full(len(starts), UNKNOWN, np.int64)
