"""Replays a job of several devices: each device runs on its own until it needs the result of an exchange.

A device's own progress is its time without the time in which exchanges hold it up. On this scale it comes to each
exchange at `ready` and needs the result at `need`. An exchange begins when all devices have come and the exchange
before it has ended, and it takes as long as on the device that shows the shortest. A device continues from `need` once
the result is there. To predict a change, the lengths are changed and the job is replayed. Source of the method:
ByteDance-Seed's StragglerAnalysis, which simulates a job again with each duration replaced by the mean over ranks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from gpuprobe.ledger import names
from gpuprobe.ledger.communication import held_up
from gpuprobe.ledger.intervals import Intervals, covered, intersection, join
from gpuprobe.thresholds import fixed
from gpuprobe.units import PS_PER_MS, PS_PER_US

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from gpuprobe.ledger.breakdown import Workings
    from gpuprobe.ledger.device_breakdown import DeviceWorkings
    from gpuprobe.ledger.exchanges import Exchanges
    from gpuprobe.traces.timeline import Int64s

    Floats = NDArray[np.float64]

ALONE = "the trace holds no exchanges of several devices that could be matched"
GROUPS = "the devices exchange in several groups"
FEW = "fewer than two whole steps hold exchanges"
# Of the computing before the last gradient, a third is the forward pass and two thirds the backward pass.
BACKWARD = 2 / 3


@dataclass(frozen=True)
class JobModel:
    """The lengths that a replay uses, in ms: `ready` and `need` (devices, exchanges), and `transfer` (exchanges,).

    Every step has the same number of exchanges. `late_ms` (devices,) is how much later than the first device each
    comes to the first exchange. `fed` (devices, steps) is the progress at which a device takes its batch; NaN where
    batches are ready, or are made only when asked for. `batch_ms` (devices,) is how long its pipeline, which never
    pauses, takes for a batch.
    """

    ready: Floats
    need: Floats
    transfer: Floats
    late_ms: Floats
    fed: Floats
    batch_ms: Floats
    steps: int

    @property
    def packs(self) -> int:
        """How many exchanges a step has."""
        return len(self.transfer) // self.steps

    def step_ms(self) -> float:
        """Replay the job, and return its mean step: from the end of the first step's last exchange to the last end."""
        devices = len(self.ready)
        ended, made = np.zeros(len(self.transfer)), np.full(devices, -np.inf)
        # How far each device is behind its own progress, and which exchange it needs next.
        behind, needed = self.late_ms - self.ready[:, 0], np.zeros(devices, np.int64)
        free = 0.0
        for number, transfer in enumerate(self.transfer.tolist()):
            for device in range(devices):
                if number % self.packs == 0 and not np.isnan(self.fed[device, number // self.packs]):
                    # The pipeline begins with the first batch and never pauses.
                    fed = float(self.fed[device, number // self.packs])
                    made[device] = max(
                        made[device] + self.batch_ms[device], fed + behind[device] if number == 0 else -np.inf
                    )
                    behind[device] = max(behind[device], made[device] - fed)
                while needed[device] < number and self.need[device, needed[device]] <= self.ready[device, number]:
                    back = ended[needed[device]] - self.need[device, needed[device]]
                    behind[device] = max(behind[device], back)
                    needed[device] += 1
            came = float((self.ready[:, number] + behind).max())
            ended[number] = free = max(came, free) + transfer
        return float(ended[-1] - ended[self.packs - 1]) / (self.steps - 1)


@dataclass(frozen=True)
class Worker:
    """What a device did by its host's clock: when exchanges held it up, when it computed, when it waited for input.

    `ahead_fraction` is the share of the steps in which its pipeline made batches ahead (0 to 1), `step_ms` their mean.
    """

    held: Intervals
    computing: Intervals
    waiting: Intervals
    ahead_fraction: float
    step_ms: float


@dataclass(frozen=True)
class TracedJob:
    """The exchanges of a job as they were traced, and what its devices did beside them."""

    exchanged: Exchanges
    workers: tuple[Worker, ...]
    steps: int

    def model(self, *, fed: bool = True) -> JobModel:
        """Return the lengths for a replay; without `fed`, every batch is ready when it is asked for."""
        start, end = self.exchanged.start_ps, self.exchanged.end_ps
        saturated = [self._saturated(row) for row in range(len(self.workers))]
        gone = self.gone(fed=fed)
        rows = range(len(self.workers))
        ready = np.stack(
            [_unhindered(progress(gone[row], start[row]), start[row], end[row], self.packs) for row in rows]
        )
        need = np.stack([_needed(self.workers[row].held, gone[row], start[row], end[row]) for row in rows])
        takes = [self._takes(row, gone[row]) if fed and saturated[row] else None for row in rows]
        points = np.stack([np.full(self.steps, np.nan) if take is None else take[0] for take in takes])
        batch_ms = np.array(
            [
                worker.ahead_fraction * worker.step_ms if take is None else take[1]
                for worker, take in zip(self.workers, takes, strict=True)
            ]
        )
        waited = self.exchanged.waited_ps[:, 0] / PS_PER_MS
        transfer = self.exchanged.transfer_ps / PS_PER_MS
        return JobModel(ready, need, transfer, waited.max() - waited, points, batch_ms, self.steps)

    @property
    def packs(self) -> int:
        """How many exchanges a step has."""
        return len(self.exchanged.transfer_ps) // self.steps

    def gone(self, *, fed: bool = True) -> list[Intervals]:
        """Return the time of each device that does not count as its own progress."""
        return [
            join([worker.held, worker.waiting]) if self._saturated(row) or not fed else worker.held
            for row, worker in enumerate(self.workers)
        ]

    def _saturated(self, row: int) -> bool:
        """Whether a device waits in every step for a pipeline that never pauses."""
        worker = self.workers[row]
        return worker.ahead_fraction >= fixed.PIPELINE_FULL and self._last_wait(row) is not None

    def _last_wait(self, row: int) -> Int64s | None:
        """Return the end of the last wait for input before the first exchange of each step; None where one has none."""
        waiting, first = (
            self.workers[row].waiting,
            self.exchanged.start_ps[row, :: self.packs],
        )
        index = np.searchsorted(waiting.end, first, side="right") - 1
        if (index < 0).any() or (np.diff(index) < 1).any():
            return None
        last: Int64s = waiting.end[index]
        return last

    def _takes(self, row: int, gone: Intervals) -> tuple[Floats, float] | None:
        last = self._last_wait(row)
        if last is None:
            return None
        return progress(gone, last), float(np.diff(last).mean()) / PS_PER_MS


def traced_job(workings: Workings) -> TracedJob | str:
    """Return the job that a trace shows, or the reason why it cannot be replayed."""
    exchanged = workings.exchanged
    if exchanged is None:
        return ALONE
    if not exchanged.took.all():
        return GROUPS
    by_member = {(device.breakdown.name, device.breakdown.host): device for device in workings.devices}
    steps = min(device.breakdown.steps for device in workings.devices)
    # The trace of a running job may begin or end within a step.
    packs = round(len(exchanged.transfer_ps) / steps)
    whole = len(exchanged.transfer_ps) // packs if packs else 0
    if whole < 2 or any(member not in by_member for member in exchanged.members):
        return FEW
    workers = tuple(_worker(workings, by_member[member], exchanged) for member in exchanged.members)
    return TracedJob(_first_exchanges(exchanged, whole * packs), workers, whole)


def progress(gone: Intervals, at_ps: Int64s) -> Floats:
    """Return a device's own progress at some times (ps), (n,) ms: the time without `gone`."""
    begun = np.full(len(at_ps), min(int(gone.start[0]) if len(gone) else 0, 0))
    own: Floats = (at_ps - covered(gone, begun, at_ps)) / PS_PER_MS
    return own


def _needed(held: Intervals, gone: Intervals, start_ps: Int64s, end_ps: Int64s) -> Floats:
    """Return the progress at which the result of each exchange is needed, (n,) ms.

    An exchange that holds its device up is needed there. Any other is needed no later than the next that does.
    """
    holds = covered(held, start_ps, end_ps) > 0
    own = progress(gone, end_ps)
    need = np.where(holds, own, np.inf)
    need = np.minimum.accumulate(need[::-1])[::-1]
    return np.where(np.isinf(need), own, need)


def _unhindered(ready: Floats, start_ps: Int64s, end_ps: Int64s, packs: int) -> Floats:
    """Return when a device would have come to each exchange, (n,) ms, without waiting for the one before to end.

    An exchange that begins as the one before it ends may have been ready long before. Such exchanges between a step's
    first and last are taken to come evenly.
    """
    if packs < 3:
        return ready
    by_step, numbers = ready.reshape(-1, packs), np.arange(packs)
    queued = np.zeros(len(ready), np.bool_)
    queued[1:] = start_ps[1:] - end_ps[:-1] < fixed.EXCHANGE_QUEUED_US * PS_PER_US
    queued = queued.reshape(-1, packs) & (numbers > 0) & (numbers < packs - 1)
    even = by_step[:, :1] + (by_step[:, -1:] - by_step[:, :1]) * numbers / (packs - 1)
    arrival: Floats = np.where(queued, np.minimum(even, by_step), by_step).ravel()
    return arrival


def _worker(workings: Workings, judged: DeviceWorkings, exchanged: Exchanges) -> Worker:
    device = judged.breakdown
    waiting = exchanged.waiting((device.name, device.host))
    host = next((one for one in workings.breakdown.hosts if one.host == device.host), None)
    ahead = host.pipeline_busy_fraction if host else 0.0
    if device.kind == "cpu":
        exposed = join([judged.parts["cpu_collective"], intersection(judged.parts["idle_peer"], waiting)])
        return Worker(exposed, judged.parts["cpu_compute"], judged.parts["idle_input"], ahead, device.step_ms)
    exposed = join([judged.parts["gpu_collective"], intersection(judged.parts["idle_peer"], waiting)])
    own = next(one for one in workings.timeline.devices if (one.name, one.host) == (device.name, device.host))
    exchanges = names.collective(workings.timeline.names, own.kernels.name)
    held = held_up(own.kernels, exchanges, judged.host, exposed)
    held = exposed if held is None else held
    return Worker(held, judged.parts["gpu_compute"], judged.parts["idle_input"], ahead, device.step_ms)


def _first_exchanges(exchanged: Exchanges, count: int) -> Exchanges:
    return type(exchanged)(
        exchanged.members,
        exchanged.start_ps[:, :count],
        exchanged.end_ps[:, :count],
        exchanged.took[:, :count],
        exchanged.transfer_ps[:count],
        exchanged.bytes[:count],
        exchanged.step[:count],
        exchanged.numbered,
    )
