"""The records of exchanges between devices: what they cost, and which device waits for which."""

from __future__ import annotations

from gpuprobe.records import Record


class CommunicationFacts(Record, frozen=True, kw_only=True):
    """What a device exchanges with others, in ms of an average step, its waits for the other devices left out.

    `volume_ms` is how long exchanges run, `exposed_ms` the part of it in which nothing is computed or copied, and
    `blocking_ms` the part of that in which other work was ready and had to wait: only this can be saved. It is None
    where launches are not known. `mebibytes` is what the device sends or receives, None where the trace does not say.

    `packs` is the number of exchanges in a step that add gradients up; those that are far smaller than the largest,
    such as that of a loss, do not count (`communication.are_packs`). The first of them starts `ahead_ms`
    before the last gradient is ready, and may run beside the backward pass for that time; 0 or less where none does.
    The last gradient is taken to be the computing that ended last before the last of these exchanges.
    """

    volume_ms: float
    exposed_ms: float
    blocking_ms: float | None
    packs: float
    mebibytes: float | None
    ahead_ms: float | None

    @property
    def hidden_fraction(self) -> float:
        """The share of the exchanges' time in which other work runs too (0 to 1)."""
        return 1 - self.exposed_ms / self.volume_ms if self.volume_ms > 0 else 0.0


class PeerFacts(Record, frozen=True, kw_only=True):
    """What the matched exchanges show about one device, in ms per step; the first of several steps does not count.

    `device` is an index in `TraceBreakdown.devices`. `waited_ms` is how long it waited for others in exchanges. It came
    last to `last` of the `exchanges` of these steps, and each of the others waited `kept_ms` for it on average.
    """

    device: int
    waited_ms: float
    kept_ms: float
    last: int
    exchanges: int


class StepWait(Record, frozen=True, kw_only=True):
    """One step of a job: the device that the others waited for longest, and how long each did on average.

    `device` is an index in `TraceBreakdown.devices`, None where no device was waited for long. `number` is the step's,
    None where the traces do not number their steps.
    """

    number: int | None
    device: int | None
    kept_ms: float


class HostClock(Record, frozen=True, kw_only=True):
    """A host's clock compared with that of the host `against`, by the ends of the exchanges of both.

    It is `offset_ms` ahead at the first of these exchanges and gains `drift_ppm` (0 if there are too few to tell).
    After this correction 95 % of the ends agree within `error_ms`.
    """

    host: str
    against: str
    offset_ms: float
    drift_ppm: float
    error_ms: float
    exchanges: int
