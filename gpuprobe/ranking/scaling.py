"""The records of a study of several devices: their speed relative to one, and where the missing part goes."""

from __future__ import annotations

from typing import Literal

from gpuprobe.diagnosis.records import Finding
from gpuprobe.ranking.rates import Interval
from gpuprobe.records import Record

# A device is less efficient on a smaller batch; replicas beside each other share a host; they exchange gradients.
LostBy = Literal["smaller_batch", "beside", "exchange"]
# Kinds of time that traces tell apart. An exchange is a transfer and a wait for peers that are not told apart.
Kind = Literal["transfer", "peers", "exchange", "input", "computing", "host"]


class GrownTime(Record, frozen=True, kw_only=True):
    """One kind of time that grew: by how many ms of a step it is longer than in the run before, by both traces."""

    kind: Kind
    ms: float


class LostTime(Record, frozen=True, kw_only=True):
    """A part of the step that N devices with ideal scaling would not need, in ms, with its 95 % interval.

    `by` names its causes: more than one where the run that would tell them apart is missing, or nothing compares it.
    `grew` are the kinds of time that explain it, as the traces of the two runs show; empty where they show none.
    """

    by: tuple[LostBy, ...]
    ms: Interval
    grew: tuple[GrownTime, ...] = ()

    @property
    def rest_ms(self) -> float:
        """The rest of it (ms), which no kind of time in the traces explains."""
        return self.ms.value - sum(part.ms for part in self.grew)


class ScalingPoint(Record, frozen=True, kw_only=True):
    """The result for one number of `devices`; a step is one of all of them together, on `samples` samples.

    `ideal_ms` is the step if N devices were N times as fast as one; with the parts in `lost`, where there are any, it
    adds up to `step_ms`. `without_xla_ms` is how much of `ideal_ms` XLA would save, by its gain on one device; None
    where it was not measured to be faster. `efficiency` is 1 where N devices are N times as fast as one. `alone_ms` is
    the time of one device for its part of the step while no other trains. `ready_threads` is how many threads of the
    machine wanted to run at a time while all devices trained without an exchange. `predicted_ms` adds to `alone_ms` the
    transfer of a ring at `link_gb_per_s`, with `latency_us` for each hop. What was not measured is None.
    """

    devices: int
    samples: int
    ideal_ms: float
    alone_ms: float | None = None
    step_ms: float | None = None
    efficiency: Interval | None = None
    lost: tuple[LostTime, ...] = ()
    without_xla_ms: Interval | None = None
    ready_threads: float | None = None
    predicted_ms: float | None = None
    link_gb_per_s: float | None = None
    latency_us: float | None = None

    @property
    def predicted_efficiency(self) -> float | None:
        """The efficiency that the predicted step would have, None without a prediction."""
        return self.ideal_ms / self.predicted_ms if self.predicted_ms else None

    @property
    def contradicts(self) -> bool:
        """Whether a part other than that of the smaller batch is negative beyond the noise.

        Neither replicas nor their exchange can save time, so the machine changed meanwhile. A smaller batch can.
        """
        return any(lost.ms.high < 0 for lost in self.lost if lost.by != ("smaller_batch",))

    @property
    def exchange_ms(self) -> float | None:
        """What the exchange of gradients takes of the step; None where it was not measured alone or `contradicts`."""
        if self.contradicts:
            return None
        return next((lost.ms.value for lost in self.lost if lost.by == ("exchange",)), None)


class Scaling(Record, frozen=True, kw_only=True):
    """All numbers of devices of a study; `xla_gain` is how many times as fast one device is with XLA.

    `weak` is as in `Scale`. `gradients_mib` is how large the gradients are together. `logical` says that the devices
    are parts of one processor, of so many `cores`, and `workers` that each is a process of its own. `own_hosts` says
    that each worker was started by itself, as on several hosts; what one does alone was measured at the first. `given`
    says that the link of the predictions was given, else it was fitted. `findings` are the causes that cost the largest
    number of devices time, the costliest first.
    """

    weak: bool
    points: tuple[ScalingPoint, ...]
    xla_gain: Interval | None = None
    gradients_mib: float | None = None
    logical: bool = False
    cores: int = 0
    workers: bool = False
    own_hosts: bool = False
    given: bool = False
    findings: tuple[Finding, ...] = ()
