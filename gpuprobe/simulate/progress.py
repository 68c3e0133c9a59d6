"""The state that all actors of a simulation share: the devices, the host's events, the noise."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpuprobe.simulate.gpu import COLLECTIVE, D2H, Gpu, Pending, compute_streams
from gpuprobe.simulate.noise import Noise, Source
from gpuprobe.simulate.session import DeviceOp, Doing, HostEvent, Interval, Kind

if TYPE_CHECKING:
    from gpuprobe.simulate.spec import Spec

PYTHON = "python3"


class Progress:
    """A session in progress: `call` and `step` count from its start; while `counting`, the profiler records.

    `first_call` is the first call after the warm-up.
    """

    def __init__(self, spec: Spec, *, traced: bool) -> None:
        self.spec, self.traced = spec, traced
        self.noise = Noise(spec.seed, spec.noise)
        self.gpus = [Gpu(spec, index) for index in range(spec.collective.gpus)]
        self.doing: list[dict[Doing, list[Interval]]] = [{kind: [] for kind in Doing} for _ in self.gpus]
        self.events: list[HostEvent] = []
        self.call = 0
        self.first_call = 0
        self.step = 0
        self.counting = False
        self._once_left = {gpu.index for gpu in self.gpus} if traced and spec.host.once_ms else set()

    def wait_for(self, gpu: Gpu, thread: str, begin: float, size: int) -> float:
        """Copy `size` bytes to the host after all launched work; return when the waiting call returns (us)."""
        copies, knobs = self.spec.copies, self.spec.host
        after = gpu.last_of([*compute_streams(self.spec), COLLECTIVE])
        op = Pending(Kind.D2H, D2H, self.copy_us(size, copies.pinned), begin, begin, thread, self.call)
        op.bytes, op.after = size, after
        handed_over = gpu.hand_over(gpu.launch(op, self.launch_us))
        back = max(handed_over, op.end) + knobs.sync_wake_us * self.noise.factor(Source.HOST, self.call, 3)
        # While Python waits for one device it launches nothing on the others either.
        for device in self.doing if thread == PYTHON else [self.doing[gpu.index]]:
            device[Doing.SYNC].append(span_ns(begin, back))
        # Launches still held back are submitted within the waiting call.
        self.tell(thread, "cuStreamSynchronize", op.call_end, back)
        return back

    def copy_us(self, size: int, pinned: bool) -> float:
        """Return how long a copy of `size` bytes over the bus takes, in us."""
        copies = self.spec.copies
        speed = min(copies.link_gb_per_s, copies.link_gb_per_s if pinned else copies.pageable_gb_per_s)
        speed *= self.spec.card.pcie_fraction
        return copies.latency_us + size / (1000 * speed) * self.noise.factor(Source.COPY, self.step, 0)

    @property
    def launch_us(self) -> float:
        """The length of a launch call in us, including the profiler's overhead while it traces."""
        knobs = self.spec.host
        return knobs.launch_us + (knobs.profiler_us if self.traced and self.counting else 0.0)

    def once_us(self, kind: str, device: int) -> float:
        """Return the time in us of a device's one-time work, if it is of this kind and due in this call; else 0."""
        knobs = self.spec.host
        due = self.counting and self.call - self.first_call == knobs.once_call
        if not due or kind != knobs.once_kind or device not in self._once_left:
            return 0.0
        self._once_left.remove(device)
        return 1000 * knobs.once_ms

    def tell(self, thread: str, name: str, begin: float, end: float, *stats: tuple[str, int | str]) -> None:
        """Add an event of a host thread to the trace, while it runs."""
        if self.traced and self.counting and end > begin:
            self.events.append(HostEvent(thread, name, *span_ns(begin, end), stats))

    def ops(self, before: int, begin: float) -> tuple[DeviceOp, ...]:
        """Return the operations launched from call `before` on and after `begin` (us), in launch order."""
        done = ((gpu.index, op) for gpu in self.gpus for op in gpu.done)
        # Operations launched before the trace began are not in it.
        pending = [(device, op) for device, op in done if op.call_number >= before and op.call_begin >= begin]
        pending.sort(key=lambda pair: (pair[1].call_begin, pair[0]))
        return tuple(
            DeviceOp(
                kind=op.kind,
                device=device,
                stream=op.stream,
                start_ns=round(1000 * op.start),
                end_ns=round(1000 * op.end),
                call=span_ns(op.call_begin, op.call_end),
                thread=op.thread,
                id=number + 1,
                call_number=op.call_number,
                place=op.place,
                bytes=op.bytes,
            )
            for number, (device, op) in enumerate(pending)
        )


def span_ns(begin_us: float, end_us: float) -> Interval:
    """Convert an interval from microseconds to whole nanoseconds."""
    return round(1000 * begin_us), round(1000 * end_us)
