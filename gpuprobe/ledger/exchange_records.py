"""The records of what devices exchange: how much of it costs, and who waits for whom."""

from __future__ import annotations

from gpuprobe.records import Record


class CommunicationFacts(Record, frozen=True, kw_only=True):
    """What a device exchanges with others, in ms of an average step, without its waiting for them to come.

    `volume_ms` is how long exchanges run, `exposed_ms` is that in which nothing is computed or copied meanwhile, and
    `blocking_ms` that of it in which the next work was there and had to wait: only this can be won back. It is None
    where launches are not known. `mebibytes` is what the device gives or gets, None where the trace does not say.

    `packs` is how many of a step's exchanges add something up, as gradients are. `ahead_ms` is how long before the last
    gradient is ready the first of them starts, and so may run beside the backward pass; 0 or less where none does. The
    last gradient is taken to be what was computed last before the last of them.
    """

    volume_ms: float
    exposed_ms: float
    blocking_ms: float | None
    packs: float
    mebibytes: float | None
    ahead_ms: float | None

    @property
    def hidden_fraction(self) -> float:
        """How much of it runs beside other work (0 to 1)."""
        return 1 - self.exposed_ms / self.volume_ms if self.volume_ms > 0 else 0.0


class PeerFacts(Record, frozen=True, kw_only=True):
    """What the exchanges between devices say of one of them, a step.

    `device` is a place in `TraceBreakdown.devices`. `waited_ms` is how long it waited in exchanges for others. It came
    last to `last` of the `exchanges` of all steps, and each of the others waited `kept_ms` for it on average.
    """

    device: int
    waited_ms: float
    kept_ms: float
    last: int
    exchanges: int


class StepWait(Record, frozen=True, kw_only=True):
    """One step of a job: the device that the others waited for longest, and how long each did on average.

    `device` is a place in `TraceBreakdown.devices`, None where nobody was waited for long. `number` is the step's, None
    where the traces do not number their steps.
    """

    number: int | None
    device: int | None
    kept_ms: float


class HostClock(Record, frozen=True, kw_only=True):
    """A host's clock beside that of the host `against`, from the ends of the exchanges that both took part in.

    It is `offset_ms` ahead at the first of them, and gains `drift_ppm`, 0 where too few tell. All but a twentieth of
    the ends then agree within `error_ms`.
    """

    host: str
    against: str
    offset_ms: float
    drift_ppm: float
    error_ms: float
    exchanges: int
