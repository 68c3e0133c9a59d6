"""Both breakdowns, the ledger's of a trace and the simulator's own, against the slow and obvious one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpuprobe.ledger.breakdown import breakdown_of
from gpuprobe.simulate import ledger
from gpuprobe.simulate.engine import simulate
from gpuprobe.simulate.session import Doing, Kind, Session
from gpuprobe.simulate.spec import Spec
from gpuprobe.traces.timeline import UNKNOWN, Direction
from gpuprobe.units import PS_PER_MS
from tests.helpers import oracle
from tests.helpers.oracle import Stretch
from tests.helpers.simulated import specs
from tests.helpers.timelines import Made

# --- timelines of which every event's meaning is drawn with it -----------------------------------------------------

# What a host thread may be in, by the category for which it is a reason, and on which thread: a sync and an allocation
# count only on a thread that feeds the device, and an operation that itself compiles does so from its start.
EVENTS = (
    ("idle_compile", "XlaCompile", "another"),
    ("idle_memory", "cuMemAlloc_v2", "python"),
    ("idle_memory", "cudaFree", "python"),
    ("", "cudaMalloc", "another"),
    ("idle_input", "IteratorGetNextOp::DoCompute", "tf_data"),
    ("idle_sync", "cuStreamSynchronize", "python"),
    ("", "cuStreamSynchronize", "another"),
    ("", "Session::Other", "another"),
)
WORK = ("gpu_compute", "gpu_copy_h2d", "gpu_copy_d2h", "gpu_copy_d2d", "gpu_collective")
# As long as a launch call of `Made` is.
CALL_PS = PS_PER_MS // 1000
DIRECTIONS = {"gpu_copy_h2d": Direction.H2D, "gpu_copy_d2h": Direction.D2H, "gpu_copy_d2d": Direction.D2D}


# Times are drawn in these. All that lies between two launches is shorter than a launch on its way can be, but for the
# pieces in which an operation holds the thread (`ledger.launch_pace`): these are longer than the waits in them
# together, and some are shorter than a slow host's pauses may be.
UNIT_PS = PS_PER_MS // 20
PIECES = (75, 400)


@dataclass
class Told:
    """A timeline with the meaning of all in it; `functions` are in units, `steps` and `stretches` in ps."""

    made: Made = field(default_factory=Made)
    steps: list[tuple[int, int]] = field(default_factory=list)
    functions: list[tuple[int, int]] = field(default_factory=list)
    stretches: list[Stretch] = field(default_factory=list)

    def mean(self, category: str, begin: int, end: int) -> None:
        """Note that a category holds."""
        self.stretches.append(Stretch(category, begin * UNIT_PS, end * UNIT_PS))

    def event(self, begin: int, end: int, name: str, thread: str = "python", step: int = UNKNOWN) -> None:
        """Add an event of the host."""
        self.made.host(_ms(begin), _ms(end), name, thread, step)

    def work(self, category: str, launch: int, waits: int, lasts: int) -> int:
        """Add work of the device, launched at a time and begun so long after; return when it ends."""
        start, end = launch + waits, launch + waits + lasts
        if category in DIRECTIONS:
            self.made.copy(_ms(start), _ms(end), _ms(launch), DIRECTIONS[category])
        else:
            name = "sgemm" if category == "gpu_compute" else "ncclDevKernel_AllReduce"
            self.made.kernel(_ms(start), _ms(end), _ms(launch), name)
        self.mean(category, start, end)
        self.mean("idle_queue", launch, start)
        if category == "gpu_copy_d2h":
            # The call that copies to the host waits for it.
            self.stretches.append(Stretch("idle_sync", launch * UNIT_PS, launch * UNIT_PS + CALL_PS))
        return end

    def hold(self, begin: int, piece: int) -> int:
        """Hold the launching thread by an operation, from one launch to the next; return when the work of both ends."""
        first, end = self.work("gpu_compute", begin, 0, 1), begin + piece
        self.made.host(_ms(begin) + CALL_PS / PS_PER_MS, _ms(end), "vocabulary/LookupTableFindV2:LookupTableFindV2")
        self.stretches.append(Stretch("idle_host_work", begin * UNIT_PS + CALL_PS, end * UNIT_PS))
        return max(first, self.work("gpu_compute", end, 0, 1))


@st.composite
def told(draw: st.DrawFn) -> Told:
    """Draw a trace of one to three steps, their training functions and their markers, and all else at random."""
    made = Told()
    marked, held = draw(st.booleans()), draw(st.booleans())
    now, begins = 0, []
    ends: list[int] = []
    for number in range(draw(st.integers(1, 3))):
        lead, inside, after = draw(st.integers(0, 4)), draw(st.integers(5, 30)), draw(st.integers(1, 10))
        begins.append(now if marked else now + lead)
        for _ in range(draw(st.integers(0 if ends else 1, 5))):
            launch = draw(st.integers(now + lead, now + lead + inside))
            # A device on which no kernel runs takes no part in the training.
            category = draw(st.sampled_from(WORK)) if ends else "gpu_compute"
            ends.append(made.work(category, launch, draw(st.integers(0, 6)), draw(st.integers(1, 8))))
        if held:
            piece = draw(st.integers(*PIECES))
            ends.append(made.hold(now + lead + inside, piece))
            inside += piece + draw(st.integers(0, 3))
        made.functions.append((now + lead, now + lead + inside))
        made.event(now + lead, now + lead + inside, "train_function")
        if marked:
            made.event(now, now + lead + inside + after, "train", step=number)
        now += lead + inside + after
    for _ in range(draw(st.integers(0, 8))):
        category, name, thread = draw(st.sampled_from(EVENTS))
        begin = draw(st.integers(0, now))
        end = begin + draw(st.integers(1, 8))
        made.event(begin, end, name, thread)
        if category:
            made.mean(category, begin, end)
    last = max(*ends, begins[-1])
    edges = zip(begins, [*begins[1:], last], strict=True)
    made.steps = [(begin * UNIT_PS, end * UNIT_PS) for begin, end in edges]
    for begin, end in made.functions:
        made.mean("idle_launch", begin, end)
    for begin, end in oracle.outside(0, last, made.functions):
        made.mean("idle_between_steps", begin, end)
    return made


def _ms(units: int) -> float:
    return units * UNIT_PS / PS_PER_MS


def compiling_together(spent: Mapping[str, float]) -> dict[str, float]:
    """Whether a compiler is asked once or again, so few steps do not tell."""
    return {**spent, "idle_compile": spent.get("idle_compile", 0) + spent.get("idle_once", 0), "idle_once": 0}


@given(told())
@settings(max_examples=300, deadline=None)
def test_the_ledger_s_parts_add_up_and_are_the_oracle_s(made: Told) -> None:
    (device,) = breakdown_of(made.made.timeline()).devices
    wanted = [spent for spent in oracle.breakdown(made.steps, made.stretches) if sum(spent.values())]
    assert len(device.each_step) == len(wanted)
    for step, spent in zip(device.each_step, wanted, strict=True):
        assert sum(step.ledger_ms.values()) == pytest.approx(step.step_ms, abs=1e-9)
        found = compiling_together(step.ledger_ms)
        for category, ps in compiling_together(spent).items():
            assert found.get(category, 0.0) == pytest.approx(ps / PS_PER_MS, abs=1e-9), category


# --- the simulator's own breakdown -----------------------------------------------------------------------------------

REASONS = {
    Doing.COMPILE: "idle_compile",
    Doing.ONCE: "idle_once",
    Doing.MEMORY: "idle_memory",
    Doing.INPUT: "idle_input",
    Doing.SYNC: "idle_sync",
    Doing.HOST_WORK: "idle_host_work",
    Doing.STEP: "idle_launch",
}
KERNELS = (Kind.KERNEL, Kind.COLLECTIVE)
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


def for_others(session: Session, device: int) -> list[Stretch]:
    """Return when a step was dispatched to another device, outside what was done for this one."""
    begin, end = session.calls[0].start_ns, max(op.end_ns for op in session.ops)
    idle = oracle.outside(begin, end, session.doing[device][Doing.DISPATCH])
    others = [doing[Doing.DISPATCH] for number, doing in enumerate(session.doing) if number != device]
    both = [(max(a, b), min(c, d)) for a, c in idle for spans in others for b, d in spans]
    return [Stretch("others_turn", a, b) for a, b in both if a < b]


def happened(session: Session, device: int) -> list[Stretch]:
    """Return all that happened for a device, each with what it means."""
    doing = session.doing[device]
    ops = [op for op in session.ops if op.device == device]
    begin = session.calls[0].start_ns
    end = max(session.calls[-1].next_ns, *(op.end_ns for op in ops))
    return [
        *waits(session, device),
        *for_others(session, device),
        *(Stretch(BUSY[op.kind], op.start_ns, op.end_ns) for op in ops),
        *(Stretch("idle_queue", op.call[0], op.start_ns) for op in ops),
        *(Stretch(name, *span) for what, name in REASONS.items() for span in doing[what]),
        *(Stretch("idle_between_steps", *span) for span in oracle.outside(begin, end, doing[Doing.STEP])),
    ]


@given(specs())
@settings(max_examples=30, deadline=None)
def test_the_simulator_s_own_account_is_the_oracle_s(spec: Spec) -> None:
    session = simulate(spec)
    for device in range(session.devices):
        wanted = oracle.breakdown(ledger.windows(session, device), happened(session, device))
        for step, spent in zip(ledger.breakdown(session, device), wanted, strict=True):
            assert {name: ns for name, ns in step.items() if ns} == {name: ns for name, ns in spent.items() if ns}
