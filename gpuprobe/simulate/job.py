"""A job of several workers, each a session with a clock of its own, that exchange gradients in a ring.

The truth is what the simulator says: who comes last, and what a step takes with one thing changed.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING

from msgspec.structs import replace

from gpuprobe.simulate import xplane
from gpuprobe.simulate.engine import Training, warmup_calls
from gpuprobe.simulate.noise import Noise, Source
from gpuprobe.simulate.recordings import START_NS
from gpuprobe.simulate.session import Call, HostEvent, Kind, Session
from gpuprobe.units import MIB, NS_PER_MS

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from gpuprobe.simulate.engine import Played
    from gpuprobe.simulate.gpu import Pending
    from gpuprobe.simulate.session import Interval
    from gpuprobe.simulate.spec import Spec

# Of the untraced job: after so many calls its mean step is that of a long training.
STEADY_CALLS = 24


@dataclass(frozen=True, kw_only=True)
class Job:
    """Workers with a GPU each, and what connects them.

    `gradients_mib` go in as many packs as the workers' `collective.buckets`, over links of `link_gb_per_s` with
    `latency_us` for each of a ring's hops. `offsets_ms` and `drifts_ppm` are by how much each worker's clock is ahead
    when the job's first traced step begins, and by how much it is too fast; a worker beyond their end has a true one.
    """

    workers: tuple[Spec, ...]
    gradients_mib: float = 100.0
    link_gb_per_s: float = 10.0
    latency_us: float = 20.0
    offsets_ms: tuple[float, ...] = ()
    drifts_ppm: tuple[float, ...] = ()

    def transfer_us(self) -> float:
        """How long a ring takes to add up one pack: each device sends 2 (N - 1) parts of it, one after the other."""
        count, packs = len(self.workers), self.workers[0].collective.buckets
        hops, size = 2 * (count - 1), self.gradients_mib * MIB / packs
        return hops * (self.latency_us + size / count / (1000 * self.link_gb_per_s))

    def each(self, **collective: object) -> Job:
        """Return the job with other knobs of `Collective` in every worker."""
        specs = [replace(spec, collective=replace(spec.collective, **collective)) for spec in self.workers]
        return Job(**{**vars(self), "workers": tuple(specs)})


def simulate_job(job: Job) -> tuple[Session, ...]:
    """Return what every worker did while all were traced, in the same steps, on the job's true clock."""
    trainings = [Training(spec, traced=True, peers=True) for spec in job.workers]
    played = _together(job, trainings, job.workers[0].steps)
    return tuple(training.finished(own) for training, own in zip(trainings, played, strict=True))


def steady_job_ms(job: Job) -> float:
    """Return the mean step of the untraced job."""
    trainings = [Training(spec, traced=False, peers=True) for spec in job.workers]
    played = _together(job, trainings, STEADY_CALLS)
    return max(training.mean_step_ms(own) for training, own in zip(trainings, played, strict=True))


def write_job(job: Job, folder: Path) -> tuple[Session, ...]:
    """Write the trace of every worker into a folder, each by its own clock; return what happened."""
    sessions = simulate_job(job)
    begin_ns = min(session.calls[0].start_ns for session in sessions)
    for number, session in enumerate(sessions):
        drift = 1e-6 * _of(job.drifts_ppm, number)
        own = _by_its_clock(session, begin_ns, drift)
        start_ns = START_NS + round(NS_PER_MS * _of(job.offsets_ms, number)) + own.calls[0].start_ns
        xplane.write(own, folder, start_ns, f"worker{number}")
    return sessions


def last_to_come(sessions: Sequence[Session]) -> list[int]:
    """Return the worker that came last to each exchange, in their order."""
    came = [[op.start_ns for op in session.ops if op.kind is Kind.COLLECTIVE] for session in sessions]
    return [max(range(len(times)), key=times.__getitem__) for times in zip(*came, strict=True)]


def _together(job: Job, trainings: Sequence[Training], calls: int) -> list[Played]:
    """Play all workers side by side: each exchange ends for all at once, after the last one's begin."""
    before = max(map(warmup_calls, job.workers))
    plays = [training.play(calls, before) for training in trainings]
    noise, number = Noise(job.workers[0].seed, job.workers[0].noise), 0
    came: list[list[Pending]] = [next(play) for play in plays]
    ended: list[Played] = []
    while not ended:
        took_us = job.transfer_us() * noise.factor(Source.COPY, number, 1)
        end, number = max(op.start for ops in came for op in ops) + took_us, number + 1
        came = []
        for play in plays:
            try:
                came.append(play.send(end))
            except StopIteration as done:
                ended.append(done.value)
    return ended


def _of(values: Sequence[float], number: int) -> float:
    return values[number] if number < len(values) else 0.0


def _by_its_clock(session: Session, zero_ns: int, drift: float) -> Session:
    """Return a session as a clock shows it that is right at `zero_ns`, which becomes 0, and too fast by `drift`."""

    def at(time_ns: int) -> int:
        return round((time_ns - zero_ns) * (1 + drift))

    def both(span: Interval) -> Interval:
        return at(span[0]), at(span[1])

    return Session(
        spec=session.spec,
        calls=tuple(
            Call(event.number, at(event.start_ns), at(event.end_ns), at(event.next_ns)) for event in session.calls
        ),
        ops=tuple(
            dataclasses.replace(op, start_ns=at(op.start_ns), end_ns=at(op.end_ns), call=both(op.call))
            for op in session.ops
        ),
        host=tuple(
            HostEvent(event.thread, event.name, *both((event.start_ns, event.end_ns)), event.stats)
            for event in session.host
        ),
        doing=session.doing,
        call_ms=session.call_ms,
    )
