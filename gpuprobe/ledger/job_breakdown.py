"""The breakdown of all traces of a job: their exchanges are matched first, then each trace is accounted for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gpuprobe.ledger import exchanges
from gpuprobe.ledger.host_clocks import clocks_of, too_far_apart
from gpuprobe.ledger.match_by_step import of_other_steps
from gpuprobe.ledger.missing_reasons import NO_CUPTI, at_rest, why_no_step
from gpuprobe.ledger.peers import peers_of, slowest_of, waited_for
from gpuprobe.ledger.records import TraceBreakdown
from gpuprobe.ledger.step_waits import step_waits
from gpuprobe.ledger.trace_contents import TraceContents

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from gpuprobe.ledger.exchange_records import HostClock
    from gpuprobe.ledger.exchanges import Exchanges
    from gpuprobe.ledger.intervals import Intervals
    from gpuprobe.ledger.match_by_step import OtherSteps
    from gpuprobe.ledger.own_exchanges import DeviceExchanges, Member
    from gpuprobe.ledger.records import DeviceBreakdown
    from gpuprobe.ledger.timeline_breakdown import TimelineBreakdown

EMPTY = f"{{}} is in the trace and did nothing: where the training did not run on the processor, {NO_CUPTI}"
ON_HOSTS = "the exchanges ran on the hosts, not on the devices: which device is waited for is not known"
# In the order in which `ledger.names.framework` looks for them.
FRAMEWORKS = ("jax", "pytorch", "tensorflow")


@dataclass(frozen=True)
class JobTraces:
    """What is known about a job's traces before their breakdown: their exchanges on one clock, and warnings.

    `exchanges` are those of the GPUs; if no GPU has any, those of the processors. `unix` says that all clocks are
    Unix time, `ranks` is the number of processes of the job, 0 where it is not known.
    """

    source: str
    format: str
    exchanges: DeviceExchanges
    unix: bool
    ranks: int
    warnings: tuple[str, ...]


def job_breakdown(
    job: JobTraces, account: Callable[[Mapping[Member, Intervals]], Sequence[TimelineBreakdown]]
) -> tuple[TraceBreakdown, Exchanges | None]:
    """Return the breakdown of a job, and its matched exchanges, None where they cannot compare the devices.

    `account` returns the breakdown of every trace; its argument is when each device waited for others.
    """
    away = of_other_steps(job.exchanges, job.unix)
    by_device = {
        member: by_key for member, by_key in job.exchanges.items() if away is None or member not in away.members
    }
    exchanged, unmatched = exchanges.matched(by_device, job.unix)
    unmatched = away.why if away else unmatched
    clocks = clocks_of(exchanged)
    parts = account(_waiting(exchanged))
    untold = _untold(job, away, exchanged, clocks, parts)
    if untold:
        exchanged, unmatched = None, untold
        parts = account({})
    contents, frameworks = _shown_by_all(parts), {part.framework for part in parts}
    parts = _of_one_kind(parts, contents)
    devices = tuple(device for part in parts for device in part.devices)
    exchanged, elsewhere = _of_devices(exchanged, devices)
    peers = peers_of(exchanged, devices)
    # Where the exchanges show that no device is waited for, or not which, none is named.
    slowest, why = waited_for(devices, peers) or ((None, "") if peers or untold or elsewhere else slowest_of(devices))
    spans = [part.clock for part in parts if part.clock is not None] if job.unix else []
    breakdown = TraceBreakdown(
        source=job.source,
        format=job.format,
        devices=devices,
        hosts=tuple(host for part in parts for host in part.hosts),
        framework=next((name for name in FRAMEWORKS if name in frameworks), ""),
        began_ns=min((began for began, _ in spans), default=None),
        ended_ns=max((ended for _, ended in spans), default=None),
        slowest=slowest,
        slowest_why=why,
        peers=peers,
        waits=step_waits(exchanged, devices),
        unmatched=elsewhere or unmatched,
        untold=untold,
        clocks=clocks,
        warnings=(*job.warnings, *_warnings(contents, stepped=bool(devices))),
    )
    return breakdown, exchanged


def _untold(
    job: JobTraces,
    away: OtherSteps | None,
    exchanged: Exchanges | None,
    clocks: Sequence[HostClock],
    parts: Sequence[TimelineBreakdown],
) -> str:
    """Return why the devices are not compared; empty where they are."""
    if exchanged is None:
        return away.why if away else ""
    ranks = max(job.ranks, len({host for _, host in job.exchanges})) if away else job.ranks
    few = exchanges.too_few(ranks, exchanged)
    step_ms = max((device.step_ms for part in parts for device in part.devices), default=0.0)
    # Step numbers prove a match even if the ends lie apart.
    return few or ("" if exchanged.numbered else too_far_apart(clocks, step_ms))


def _of_devices(exchanged: Exchanges | None, devices: Sequence[DeviceBreakdown]) -> tuple[Exchanges | None, str]:
    """Return the matched exchanges if they are the devices' own, else the reason why they compare no devices.

    If the kernels of a job's GPUs show no exchange, those of its hosts were matched.
    """
    if exchanged is None or any((device.name, device.host) in exchanged.members for device in devices):
        return exchanged, ""
    return None, ON_HOSTS


def _waiting(exchanged: Exchanges | None) -> dict[Member, Intervals]:
    return {member: exchanged.waiting(member) for member in exchanged.members} if exchanged else {}


def _shown_by_all(parts: Sequence[TimelineBreakdown]) -> TraceContents:
    """Return what all traces together show."""
    return TraceContents(
        gpus=tuple(gpu for part in parts for gpu in part.contents.gpus),
        others=tuple(other for part in parts for other in part.contents.others),
        events=any(part.contents.events for part in parts),
        launched=sum(part.contents.launched for part in parts),
    )


def _of_one_kind(parts: Sequence[TimelineBreakdown], contents: TraceContents) -> Sequence[TimelineBreakdown]:
    """Return the parts, without processors if any trace has GPUs or other devices: then no processor is the device."""
    others = contents.worked or contents.launched or contents.others
    if not others and all(device.kind == "cpu" for part in parts for device in part.devices):
        return parts
    return [part for part in parts if any(device.kind == "gpu" for device in part.devices)]


def _warnings(contents: TraceContents, *, stepped: bool) -> tuple[str, ...]:
    """Return warnings: why no device has a step (if none is `stepped`), and which GPUs did nothing."""
    if not stepped:
        return (why_no_step(contents), *at_rest(contents.gpus))
    empty = [EMPTY.format(contents.gpus[0].name)] if contents.gpus and not contents.worked else []
    return (*empty, *at_rest(contents.gpus))
