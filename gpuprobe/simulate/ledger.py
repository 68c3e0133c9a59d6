"""The true breakdown of every step, from the simulator's own knowledge of device and host, not from a trace."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpuprobe.simulate.session import DeviceOp, Doing, Interval, Kind, Session

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

GPU_CATEGORIES = (
    "gpu_compute",
    "gpu_copy_h2d",
    "gpu_copy_d2h",
    "gpu_copy_d2d",
    "gpu_collective",
    "idle_input",
    "idle_launch",
    "idle_queue",
    "idle_host_work",
    "idle_sync",
    "idle_between_steps",
    "idle_once",
    "idle_compile",
    "idle_memory",
    "idle_peer",
    "unattributed",
)
CPU_CATEGORIES = (
    "cpu_compute",
    "cpu_dispatch",
    "cpu_collective",
    "idle_input",
    "idle_host_work",
    "idle_between_steps",
    "idle_once",
    "idle_compile",
    "idle_peer",
    "unattributed",
)


def windows(session: Session, device: int) -> list[Interval]:
    """Return the interval of each step (ns), from marker to marker; the last ends with the device's last event."""
    spans = [(call.start_ns, call.next_ns) for call in session.calls]
    last = max((op.end_ns for op in session.ops if op.device == device), default=spans[-1][1])
    if session.spec.card.on_gpu:
        spans[-1] = (spans[-1][0], max(last, spans[-1][0]))
    else:
        spans[-1] = (spans[-1][0], session.calls[-1].end_ns)
    return spans


def breakdown(session: Session, device: int) -> list[dict[str, int]]:
    """Return nanoseconds by category for each step of a device; each step's sum is its length."""
    spans = windows(session, device)
    layers = _gpu_layers(session, device) if session.spec.card.on_gpu else _cpu_layers(session, device)
    steps = [dict.fromkeys(GPU_CATEGORIES if session.spec.card.on_gpu else CPU_CATEGORIES, 0) for _ in spans]
    free = [(spans[0][0], spans[-1][1])]
    for category, intervals in layers:
        taken, free = _split(free, union(intervals))
        _book(steps, spans, taken, category)
    _book(steps, spans, free, "unattributed")
    return steps


def _gpu_layers(session: Session, device: int) -> list[tuple[str, list[Interval]]]:
    """Return the categories by precedence, each with the intervals to which it may apply."""
    ops = [op for op in session.ops if op.device == device]
    doing = session.doing[device]
    steps = union(doing[Doing.STEP])
    return [
        ("gpu_compute", _of(ops, Kind.KERNEL)),
        ("gpu_copy_h2d", _of(ops, Kind.H2D)),
        ("gpu_copy_d2h", _of(ops, Kind.D2H)),
        ("gpu_copy_d2d", _of(ops, Kind.D2D)),
        ("idle_peer", _waiting(session, device)),
        ("gpu_collective", _of(ops, Kind.COLLECTIVE)),
        ("idle_compile", list(doing[Doing.COMPILE])),
        ("idle_once", list(doing[Doing.ONCE])),
        ("idle_memory", list(doing[Doing.MEMORY])),
        ("idle_input", list(doing[Doing.INPUT])),
        ("idle_sync", list(doing[Doing.SYNC])),
        ("idle_between_steps", _between(session, steps)),
        ("idle_queue", [(op.call[0], op.start_ns) for op in ops]),
        ("idle_peer", _for_others(session, device)),
        ("idle_host_work", list(doing[Doing.HOST_WORK])),
        ("idle_launch", steps),
    ]


def _cpu_layers(session: Session, device: int) -> list[tuple[str, list[Interval]]]:
    doing = session.doing[device]
    steps = union(doing[Doing.STEP])
    return [
        ("cpu_compute", _of(session.ops, Kind.KERNEL)),
        ("idle_compile", list(doing[Doing.COMPILE])),
        ("idle_input", list(doing[Doing.INPUT])),
        ("idle_between_steps", _between(session, steps)),
        ("cpu_dispatch", steps),
    ]


def _of(ops: Iterable[DeviceOp], kind: Kind) -> list[Interval]:
    return [(op.start_ns, op.end_ns) for op in ops if op.kind is kind]


def _waiting(session: Session, device: int) -> list[Interval]:
    """Return the intervals in which a device was in a collective that another had not yet begun."""
    own = [op for op in session.ops if op.device == device and op.kind is Kind.COLLECTIVE]
    begun: dict[int, int] = {}
    for op in session.ops:
        if op.kind is Kind.COLLECTIVE:
            begun[op.end_ns] = max(begun.get(op.end_ns, 0), op.start_ns)
    return [(op.start_ns, begun[op.end_ns]) for op in own]


def _for_others(session: Session, device: int) -> list[Interval]:
    """Return when the host dispatched a step to other devices, or waited for them, and was done with this one."""
    others = [span for number, doing in enumerate(session.doing) if number != device for span in doing[Doing.DISPATCH]]
    return _split(union(others), union(session.doing[device][Doing.DISPATCH]))[1]


def _between(session: Session, steps: Sequence[Interval]) -> list[Interval]:
    """Return the intervals outside the train function, up to the end of the last call."""
    begin, end = session.calls[0].start_ns, max(session.calls[-1].next_ns, *(op.end_ns for op in session.ops))
    return _split([(begin, end)], steps)[1]


def union(intervals: Iterable[Interval]) -> list[Interval]:
    """Return the union as sorted intervals that do not touch."""
    merged: list[Interval] = []
    for begin, end in sorted(intervals):
        if end <= begin:
            continue
        if merged and begin <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], end))
        else:
            merged.append((begin, end))
    return merged


def _split(free: Sequence[Interval], covers: Sequence[Interval]) -> tuple[list[Interval], list[Interval]]:
    """Split sorted intervals into the parts inside and outside a sorted cover."""
    taken: list[Interval] = []
    left: list[Interval] = []
    place = 0
    for begin, end in free:
        now = begin
        while place < len(covers) and covers[place][1] <= now:
            place += 1
        scan = place
        while scan < len(covers) and covers[scan][0] < end:
            cover_begin, cover_end = max(covers[scan][0], now), min(covers[scan][1], end)
            if cover_begin > now:
                left.append((now, cover_begin))
            taken.append((cover_begin, cover_end))
            now = cover_end
            scan += 1
        if now < end:
            left.append((now, end))
    return taken, left


def _book(steps: list[dict[str, int]], spans: Sequence[Interval], taken: Sequence[Interval], category: str) -> None:
    """Add intervals to the steps in which they lie."""
    place = 0
    for begin, end in taken:
        while place < len(spans) - 1 and spans[place][1] <= begin:
            place += 1
        scan = place
        while scan < len(spans) and spans[scan][0] < end:
            steps[scan][category] += min(end, spans[scan][1]) - max(begin, spans[scan][0])
            scan += 1
