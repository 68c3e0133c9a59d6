"""The catalogue of causes: what each is, how it shows, what cures it, and what it can be mistaken for.

Everything that is said or decided about a cause by its id stands in its record, or is derived from it. A file holds the
ids and the records of one family; a cause that is no share of a traced step has a rule in `rules/` too.
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
CAUSES: dict[CauseId, Cause] = {one.id: one for one in CATALOGUE}
# The causes that a traced step's shares name, in the order in which ties are told.
BY_SHARE = tuple(one for one in CATALOGUE if one.part)
STAGES: dict[str, InputStage] = feeding.STAGES | device.STAGES


def known(cause: str) -> Cause | None:
    """Return the record of a cause, None for one that this version does not know, as of a later one's file."""
    return next((one for one in CATALOGUE if one.id == cause), None)


def same_family(cause: CauseId, other: CauseId) -> bool:
    """Whether two names may be given to one thing by kinds of evidence that see more or less of it."""
    family = CAUSES[cause].family
    return cause == other or (family is not None and family == CAUSES[other].family)
