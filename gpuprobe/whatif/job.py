"""A job of several devices replayed: each goes its own way until it needs what another gives in an exchange.

A device's own progress is its time without that in which an exchange holds it up. On this scale it comes to each
exchange (`ready`) and needs its result (`need`). An exchange begins when all have come and the one before is over, and
takes as long as the shortest of them shows; a device goes on from where it needs the result when that is there. With a
change in how long devices or exchanges take, the job is played again. Source of the method: ByteDance-Seed's
StragglerAnalysis (a job is simulated again with each duration replaced by the mean over ranks).
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

    from gpuprobe.ledger.breakdown import Found, Workings
    from gpuprobe.ledger.exchanges import Exchanges
    from gpuprobe.traces.timeline import Int64s

    Floats = NDArray[np.float64]

ALONE = "the trace holds no exchanges of several devices that could be matched"
GROUPS = "the devices exchange in several groups"
FEW = "fewer than two whole steps hold exchanges"
# Forward and backward pass take one part and two of what is computed before the last gradient.
BACKWARD = 2 / 3


@dataclass(frozen=True)
class JobModel:
    """What a replay plays, in ms: `ready` and `need` (devices, exchanges), and `transfer` (exchanges,).

    Every step has as many exchanges. `late_ms` (devices,) is how much later than the first each comes to the first.
    `fed` (devices, steps) is the progress at which a device takes its batch, and `batch_ms` (devices,) how long its
    pipeline makes one, all the while; NaN where the batches are there, or are only made when they are asked for.
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
        """Play it, and return how long a step takes: from the end of the first one's last exchange to the last's."""
        devices = len(self.ready)
        ended, made = np.zeros(len(self.transfer)), np.full(devices, -np.inf)
        # How much later than by its own progress each device is, and which exchange it needs next.
        behind, needed = self.late_ms - self.ready[:, 0], np.zeros(devices, np.int64)
        free = 0.0
        for number, transfer in enumerate(self.transfer.tolist()):
            for device in range(devices):
                if number % self.packs == 0 and not np.isnan(self.fed[device, number // self.packs]):
                    # With the first batch the pipeline begins; it never rests.
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
    """What a device did by the clock of its host: when exchanges held it up, when it computed, and waited for input.

    `ahead_fraction` is the share of the steps in which its pipeline made batches ahead (0 to 1), `step_ms` their mean.
    """

    held: Intervals
    computing: Intervals
    waiting: Intervals
    ahead_fraction: float
    step_ms: float


@dataclass(frozen=True)
class Seen:
    """The exchanges of a job as they were traced, and what its devices did beside them."""

    exchanged: Exchanges
    workers: tuple[Worker, ...]
    steps: int

    def model(self, *, fed: bool = True) -> JobModel:
        """Return what is played; where it is not to be `fed`, every batch is there when it is asked for."""
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
        """Return the time of each device that is none of its own progress."""
        return [
            join([worker.held, worker.waiting]) if self._saturated(row) or not fed else worker.held
            for row, worker in enumerate(self.workers)
        ]

    def _saturated(self, row: int) -> bool:
        """Whether a device waits in every step for a pipeline that works all the while."""
        worker = self.workers[row]
        return worker.ahead_fraction >= fixed.PIPELINE_FULL and self._last_wait(row) is not None

    def _last_wait(self, row: int) -> Int64s | None:
        """Return the end of the last wait for input before the first exchange of each step; None where one has none."""
        waiting, first = (
            self.workers[row].waiting,
            self.exchanged.start_ps[row, :: self.packs],
        )
        place = np.searchsorted(waiting.end, first, side="right") - 1
        if (place < 0).any() or (np.diff(place) < 1).any():
            return None
        last: Int64s = waiting.end[place]
        return last

    def _takes(self, row: int, gone: Intervals) -> tuple[Floats, float] | None:
        last = self._last_wait(row)
        if last is None:
            return None
        return progress(gone, last), float(np.diff(last).mean()) / PS_PER_MS


def seen_in(workings: Workings) -> Seen | str:
    """Return the job that a trace shows, or why it cannot be played."""
    exchanged = workings.exchanged
    if exchanged is None:
        return ALONE
    if not exchanged.took.all():
        return GROUPS
    by_member = {(found.breakdown.name, found.breakdown.host): found for found in workings.found}
    steps = min(found.breakdown.steps for found in workings.found)
    # The trace of a job that goes on may begin within a step, or end so.
    packs = round(len(exchanged.transfer_ps) / steps)
    whole = len(exchanged.transfer_ps) // packs if packs else 0
    if whole < 2 or any(member not in by_member for member in exchanged.members):
        return FEW
    workers = tuple(_worker(workings, by_member[member], exchanged) for member in exchanged.members)
    return Seen(_first(exchanged, whole * packs), workers, whole)


def progress(gone: Intervals, at_ps: Int64s) -> Floats:
    """Return the own progress of a device at some times, (n,) ms: the time less what is gone of it."""
    begun = np.full(len(at_ps), min(int(gone.start[0]) if len(gone) else 0, 0))
    own: Floats = (at_ps - covered(gone, begun, at_ps)) / PS_PER_MS
    return own


def _needed(held: Intervals, gone: Intervals, start_ps: Int64s, end_ps: Int64s) -> Floats:
    """Return the progress at which the result of each exchange is needed, (n,) ms.

    One that holds its device up is needed there; another no later than the next that does.
    """
    holds = covered(held, start_ps, end_ps) > 0
    own = progress(gone, end_ps)
    need = np.where(holds, own, np.inf)
    need = np.minimum.accumulate(need[::-1])[::-1]
    return np.where(np.isinf(need), own, need)


def _unhindered(ready: Floats, start_ps: Int64s, end_ps: Int64s, packs: int) -> Floats:
    """Return when a device would have come to each exchange, (n,) ms, had it not waited for the one before to end.

    One that begins as the one before it ends may have been ready long before: those between a step's first and last
    are taken to come evenly.
    """
    if packs < 3:
        return ready
    by_step, numbers = ready.reshape(-1, packs), np.arange(packs)
    queued = np.zeros(len(ready), np.bool_)
    queued[1:] = start_ps[1:] - end_ps[:-1] < fixed.EXCHANGE_QUEUED_US * PS_PER_US
    queued = queued.reshape(-1, packs) & (numbers > 0) & (numbers < packs - 1)
    even = by_step[:, :1] + (by_step[:, -1:] - by_step[:, :1]) * numbers / (packs - 1)
    found: Floats = np.where(queued, np.minimum(even, by_step), by_step).ravel()
    return found


def _worker(workings: Workings, found: Found, exchanged: Exchanges) -> Worker:
    device = found.breakdown
    waiting = exchanged.waiting((device.name, device.host))
    host = next((one for one in workings.breakdown.hosts if one.host == device.host), None)
    ahead = host.pipeline_busy_fraction if host else 0.0
    if device.kind == "cpu":
        exposed = join([found.parts["cpu_collective"], intersection(found.parts["idle_peer"], waiting)])
        return Worker(exposed, found.parts["cpu_compute"], found.parts["idle_input"], ahead, device.step_ms)
    exposed = join([found.parts["gpu_collective"], intersection(found.parts["idle_peer"], waiting)])
    own = next(one for one in workings.timeline.devices if (one.name, one.host) == (device.name, device.host))
    exchanges = names.collective(workings.timeline.names, own.kernels.name)
    held = held_up(own.kernels, exchanges, found.host, exposed)
    held = exposed if held is None else held
    return Worker(held, found.parts["gpu_compute"], found.parts["idle_input"], ahead, device.step_ms)


def _first(exchanged: Exchanges, count: int) -> Exchanges:
    return type(exchanged)(
        exchanged.members,
        exchanged.start_ps[:, :count],
        exchanged.end_ps[:, :count],
        exchanged.took[:, :count],
        exchanged.transfer_ps[:count],
        exchanged.bytes[:count],
    )
