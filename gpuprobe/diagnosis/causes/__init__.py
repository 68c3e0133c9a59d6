"""The catalogue of causes: what each is, how it shows, what cures it, and what it can be mistaken for.

Everything that is said or decided about a cause by its id is in its record, or derived from it. Each file holds the ids
and records of related causes. A cause that is no share of a traced step also has a rule in `rules/`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from gpuprobe.diagnosis.causes import cause, device, exchange, feeding, host, launching, measuring, whole_run
from gpuprobe.diagnosis.causes.device import DeviceId
from gpuprobe.diagnosis.causes.exchange import ExchangeId
from gpuprobe.diagnosis.causes.feeding import FeedingId
from gpuprobe.diagnosis.causes.host import HostId
from gpuprobe.diagnosis.causes.launching import LaunchingId
from gpuprobe.diagnosis.causes.measuring import MeasuringId
from gpuprobe.diagnosis.causes.whole_run import WholeRunId

if TYPE_CHECKING:
    from gpuprobe.diagnosis.causes.cause import InputStage

CauseId = Literal[FeedingId, LaunchingId, HostId, ExchangeId, DeviceId, WholeRunId, MeasuringId]
# A record of any family.
Cause = cause.Cause[CauseId]
CATALOGUE: tuple[Cause, ...] = (
    *feeding.FEEDING,
    *launching.LAUNCHING,
    *host.HOST,
    *exchange.EXCHANGE,
    *device.DEVICE,
    *whole_run.WHOLE_RUN,
    *measuring.MEASURING,
)
CAUSES: dict[CauseId, Cause] = {record.id: record for record in CATALOGUE}
# The causes that shares of a traced step show, in the order that decides between equal shares.
BY_SHARE = tuple(record for record in CATALOGUE if record.part)
STAGES: dict[str, InputStage] = feeding.STAGES | launching.STAGES | host.STAGES


def cause_named(cause: str) -> Cause | None:
    """Return the record of a cause; None for an unknown one, as from the file of a later version."""
    return next((record for record in CATALOGUE if record.id == cause), None)


def same_family(cause: CauseId, other: CauseId) -> bool:
    """Whether two causes may be the same, named differently by kinds of evidence that see more or less of it."""
    family = CAUSES[cause].family
    return cause == other or (family is not None and family == CAUSES[other].family)
