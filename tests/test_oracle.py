"""Both breakdowns, the ledger's of a trace and the simulator's own, against the slow and obvious one."""

from __future__ import annotations

from dataclasses import dataclass, field

import oracle
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import Stretch
from simulated import specs
from timelines import Made

from gpuprobe.ledger.account import account_of
from gpuprobe.simulate import ledger
from gpuprobe.simulate.engine import simulate
from gpuprobe.simulate.session import Doing, Kind, Session
from gpuprobe.simulate.spec import Spec
from gpuprobe.traces.timeline import Direction
from gpuprobe.units import PS_PER_MS

# --- timelines of which every event's meaning is drawn with it -----------------------------------------------------

# What a host thread may be in, by the category for which it is a reason, and on which thread: a sync counts only where
# the thread that waits is one that feeds the device.
EVENTS = (
    ("idle_compile", "XlaCompile", "python"),
    ("idle_memory", "cuMemAlloc_v2", "python"),
    ("idle_memory", "cudaFree", "another"),
    ("idle_input", "IteratorGetNextOp::DoCompute", "tf_data"),
    ("idle_sync", "cuStreamSynchronize", "python"),
    ("", "cuStreamSynchronize", "another"),
    ("", "Session::Other", "another"),
)
WORK = ("gpu_compute", "gpu_copy_h2d", "gpu_copy_d2h", "gpu_copy_d2d", "gpu_collective")
DIRECTIONS = {"gpu_copy_h2d": Direction.H2D, "gpu_copy_d2h": Direction.D2H, "gpu_copy_d2d": Direction.D2D}


@dataclass
class Told:
    """A timeline with the meaning of all that happens in it; `functions` are in ms, `steps` and `stretches` in ps."""

    made: Made = field(default_factory=Made)
    steps: list[tuple[int, int]] = field(default_factory=list)
    functions: list[tuple[int, int]] = field(default_factory=list)
    stretches: list[Stretch] = field(default_factory=list)

    def mean(self, category: str, begin: float, end: float) -> None:
        """Note that a category holds."""
        self.stretches.append(Stretch(category, round(begin * PS_PER_MS), round(end * PS_PER_MS)))

    def work(self, category: str, launch: int, waits: int, lasts: int) -> int:
        """Add work of the device, launched at a time and begun so long after; return when it ends."""
        start, end = launch + waits, launch + waits + lasts
        if category in DIRECTIONS:
            self.made.copy(start, end, launch, DIRECTIONS[category])
        else:
            self.made.kernel(start, end, launch, "sgemm" if category == "gpu_compute" else "ncclDevKernel_AllReduce")
        self.mean(category, start, end)
        self.mean("idle_queue", launch, start)
        if category == "gpu_copy_d2h":
            # The call that copies to the host waits for it.
            self.mean("idle_sync", launch, launch + 0.001)
        return end


@st.composite
def told(draw: st.DrawFn) -> Told:
    """Draw a trace of one to three steps, their training functions and their markers, and all else at random."""
    made = Told()
    marked = draw(st.booleans())
    now, begins = 0, []
    ends: list[int] = []
    for number in range(draw(st.integers(1, 3))):
        lead, inside, after = draw(st.integers(0, 4)), draw(st.integers(5, 30)), draw(st.integers(1, 10))
        begins.append(now if marked else now + lead)
        made.functions.append((now + lead, now + lead + inside))
        made.made.host(now + lead, now + lead + inside, "train_function")
        if marked:
            made.made.host(now, now + lead + inside + after, "train", step=number)
        for _ in range(draw(st.integers(0 if ends else 1, 5))):
            launch = draw(st.integers(now + lead, now + lead + inside))
            # A device on which no kernel runs takes no part in the training.
            category = draw(st.sampled_from(WORK)) if ends else "gpu_compute"
            ends.append(made.work(category, launch, draw(st.integers(0, 6)), draw(st.integers(1, 8))))
        now += lead + inside + after
    for _ in range(draw(st.integers(0, 8))):
        category, name, thread = draw(st.sampled_from(EVENTS))
        begin = draw(st.integers(0, now))
        end = begin + draw(st.integers(1, 8))
        made.made.host(begin, end, name, thread)
        if category:
            made.mean(category, begin, end)
    last = max(*ends, begins[-1])
    made.steps = [(begin * PS_PER_MS, end * PS_PER_MS) for begin, end in zip(begins, [*begins[1:], last], strict=True)]
    for begin, end in made.functions:
        made.mean("idle_launch", begin, end)
    for begin, end in oracle.outside(0, last, made.functions):
        made.mean("idle_between_steps", begin, end)
    return made


@given(told())
@settings(max_examples=300, deadline=None)
def test_the_ledger_s_parts_add_up_and_are_the_oracle_s(made: Told) -> None:
    (device,) = account_of(made.made.timeline()).devices
    wanted = [spent for spent in oracle.breakdown(made.steps, made.stretches) if sum(spent.values())]
    assert len(device.each_step) == len(wanted)
    for step, spent in zip(device.each_step, wanted, strict=True):
        assert sum(step.ledger_ms.values()) == pytest.approx(step.step_ms, abs=1e-9)
        for category, ps in spent.items():
            assert step.ledger_ms.get(category, 0.0) == pytest.approx(ps / PS_PER_MS, abs=1e-9), category


# --- the simulator's own account -----------------------------------------------------------------------------------

REASONS = {
    Doing.COMPILE: "idle_compile",
    Doing.ONCE: "idle_once",
    Doing.MEMORY: "idle_memory",
    Doing.INPUT: "idle_input",
    Doing.SYNC: "idle_sync",
    Doing.HOST_WORK: "idle_host_work",
    Doing.STEP: "idle_launch",
}
BUSY = {
    Kind.KERNEL: "gpu_compute",
    Kind.COLLECTIVE: "gpu_collective",
    Kind.H2D: "gpu_copy_h2d",
    Kind.D2H: "gpu_copy_d2h",
    Kind.D2D: "gpu_copy_d2d",
}


def waits(session: Session, device: int) -> list[Stretch]:
    """Return when a device was in an exchange that the last one had not come to; the n-th of each are one exchange."""
    begun = [
        [op.start_ns for op in session.ops if op.kind is Kind.COLLECTIVE and op.device == each]
        for each in range(session.devices)
    ]
    return [Stretch("idle_peer", own, max(together)) for own, *together in zip(begun[device], *begun, strict=True)]


def happened(session: Session, device: int) -> list[Stretch]:
    """Return all that happened for a device, each with what it means."""
    doing = session.doing[device]
    ops = [op for op in session.ops if op.device == device]
    begin = session.calls[0].start_ns
    end = max(session.calls[-1].next_ns, *(op.end_ns for op in ops))
    return [
        *waits(session, device),
        *(Stretch(BUSY[op.kind], op.start_ns, op.end_ns) for op in ops),
        *(Stretch("idle_queue", op.call[0], op.start_ns) for op in ops),
        *(Stretch(REASONS[what], *span) for what, spans in doing.items() for span in spans),
        *(Stretch("idle_between_steps", *span) for span in oracle.outside(begin, end, doing[Doing.STEP])),
    ]


@given(specs())
@settings(max_examples=30, deadline=None)
def test_the_simulator_s_own_account_is_the_oracle_s(spec: Spec) -> None:
    session = simulate(spec)
    for device in range(session.devices):
        wanted = oracle.breakdown(ledger.windows(session, device), happened(session, device))
        for step, spent in zip(ledger.account(session, device), wanted, strict=True):
            assert {name: ns for name, ns in step.items() if ns} == {name: ns for name, ns in spent.items() if ns}
