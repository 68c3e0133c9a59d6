"""The collectives of a trace, matched over its devices: what of each is transfer, and what is waiting for a peer.

Every participant of a communicator must issue the same collectives in the same order (NCCL's user guide, "Using
multiple NCCL communicators concurrently"), and all of them end together. So the k-th of a kind on one device is the
k-th on each other, and the shortest of them is the transfer: the device that came last waited for nobody. The rest of
each longer one is waiting. None of this needs the clocks of several hosts to agree; that the ends agree once each
host's offset is taken off is the proof that the match is right.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from gpuprobe.ledger import names
from gpuprobe.ledger.intervals import Intervals, union
from gpuprobe.ledger.names import Kind
from gpuprobe.ledger.quantiles import median
from gpuprobe.thresholds import fixed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import TypeAlias

    from numpy.typing import NDArray

    from gpuprobe.ledger.host import TracedHost
    from gpuprobe.traces.timeline import Device, Int64s, Timeline

    # A device by its name and its host's.
    Member: TypeAlias = tuple[str, str]

# Ends further apart than this, and than this share of how long the exchange took somewhere, are those of different
# exchanges: true ends lie microseconds apart on GPUs, and on processors as far as a thread waits for its turn.
APART_PS, APART_SHARE = 200_000_000, 0.25
PROCESSOR = "CPU"


@dataclass(frozen=True)
class Exchanges:
    """Matched collectives, (d, k) for d devices: `start_ps` and `end_ps`, each on its own host's clock.

    `transfer_ps` (k,) is how long the shortest of each took.
    """

    members: tuple[Member, ...]
    start_ps: Int64s
    end_ps: Int64s
    transfer_ps: Int64s

    def waiting(self, member: Member) -> Intervals:
        """Return when a device was in a collective and another had not arrived; nothing where it took no part."""
        if member not in self.members:
            return Intervals()
        row = self.members.index(member)
        return union(self.start_ps[row], self.end_ps[row] - self.transfer_ps)

    @property
    def waited_ps(self) -> Int64s:
        """How long each device waited in each collective, (d, k)."""
        waited: Int64s = self.end_ps - self.start_ps - self.transfer_ps
        return waited

    @property
    def last(self) -> NDArray[np.intp]:
        """Which came last to each collective, (k,), as a row of the other columns."""
        last: NDArray[np.intp] = self.waited_ps.argmin(axis=0)
        return last


def match(timeline: Timeline, hosts: Mapping[str, TracedHost]) -> tuple[Exchanges | None, str]:
    """Match the collectives of all devices that take part in some; without a match, the reason.

    Where no device has any, the hosts' own are matched: those of processors. The reason is empty where there is
    nothing to match.
    """
    taking = _taking_part(timeline, hosts)
    if len(taking) < 2:
        return None, "the trace holds the exchanges of one device alone" if taking else ""
    members = tuple(taking)
    kinds = [kind for kind in taking[members[0]] if all(kind in of for of in taking.values())]
    found = [_side_by_side([taking[member][kind] for member in members], members, timeline.unix) for kind in kinds]
    matched = [columns for columns in found if columns is not None]
    if not matched:
        return None, "the devices' exchanges do not end together: they are of different steps or groups"
    columns = np.concatenate(matched, axis=1)
    columns = columns[:, np.argsort(columns[0, :, 0], kind="stable")]
    start, end = columns[:, :, 0], columns[:, :, 1]
    apart = _apart_ps(end, [host for _, host in members])
    together = apart <= _allowed_ps(columns)
    start, end = start[:, together], end[:, together]
    return Exchanges(members, start, end, (end - start).min(axis=0)), ""


def _side_by_side(own: Sequence[Int64s], members: Sequence[Member], unix: bool) -> Int64s | None:
    """Return the exchanges of one kind that all members show, (d, k, 2); None where they are not the same ones.

    The traces of a job begin and end a little apart, so that one may hold an exchange more at either end.
    """
    first = min(range(len(own)), key=lambda row: len(own[row]))
    ahead = [_ahead(of, own[first], members[row][1] == members[first][1], unix) for row, of in enumerate(own)]
    if None in ahead:
        return None
    places = np.array([place for place in ahead if place is not None])
    low = max(0, -int(places.min()))
    high = min(len(of) - int(place) for of, place in zip(own, places, strict=True))
    if high <= low:
        return None
    columns = np.stack([of[low + place : high + place] for of, place in zip(own, places.tolist(), strict=True)])
    apart = _apart_ps(columns[:, :, 1], [host for _, host in members])
    return columns if (apart <= _allowed_ps(columns)).mean() >= fixed.EXCHANGES_TOGETHER else None


def _ahead(of: Int64s, first: Int64s, one_clock: bool, unix: bool) -> int | None:
    """Return how many exchanges a member shows before the first of another's; None where they do not fit.

    Steps that are alike fit in several ways: then the one counts in which the clocks differ least, where they are
    clocks of the same kind; else the one without a shift where both show as many, or the one that fits best by far.
    """
    fewest = max(1 if one_clock or unix else fixed.EXCHANGES_TELLING, len(first) - fixed.EXCHANGES_EDGE)
    offset: dict[int, float] = {}
    spread: dict[int, float] = {}
    for place in range(-fixed.EXCHANGES_EDGE, len(of) - len(first) + fixed.EXCHANGES_EDGE + 1):
        low, high = max(0, -place), min(len(first), len(of) - place)
        if high - low < fewest:
            continue
        pair = np.stack([first[low:high], of[low + place : high + place]])
        apart = pair[1, :, 1] - pair[0, :, 1]
        usual = 0.0 if one_clock else median(apart)
        if (np.abs(apart - usual) <= _allowed_ps(pair)).mean() >= fixed.EXCHANGES_TOGETHER:
            offset[place] = abs(median(apart))
            spread[place] = float(np.abs(apart - usual).mean())
    if one_clock or unix:
        return min(offset, key=offset.__getitem__, default=None)
    if len(of) == len(first) and (0 in offset or len(of) < fixed.EXCHANGES_TELLING):
        return 0
    best = min(spread, key=spread.__getitem__, default=None)
    others = [value for place, value in spread.items() if place != best]
    return best if best is None or all(2 * spread[best] < other for other in others) else None


def _taking_part(timeline: Timeline, hosts: Mapping[str, TracedHost]) -> dict[Member, dict[str, Int64s]]:
    own = {(device.name, device.host): _of_device(timeline, device) for device in timeline.devices}
    if not any(own.values()):
        own = {(PROCESSOR, name): _of_host(host) for name, host in hosts.items()}
    return {member: of for member, of in own.items() if of}


def _of_device(timeline: Timeline, device: Device) -> dict[str, Int64s]:
    kernels = device.kernels
    chosen = names.collective(timeline.names, kernels.name)
    return _by_kind(timeline.names, kernels.name[chosen], kernels.start_ps[chosen], kernels.end_ps[chosen])


def _of_host(host: TracedHost) -> dict[str, Int64s]:
    """Of all threads, since an exchange runs on whichever of the pool is free."""
    masks = [(kinds & Kind.EXCHANGE) != 0 for kinds in host.kinds]
    chosen = [(thread.events, mask) for thread, mask in zip(host.threads, masks, strict=True)]
    if not any(mask.any() for _, mask in chosen):
        return {}
    name = np.concatenate([events.name[mask] for events, mask in chosen])
    start = np.concatenate([events.start_ps[mask] for events, mask in chosen])
    end = np.concatenate([events.end_ps[mask] for events, mask in chosen])
    order = np.argsort(start, kind="stable")
    return _by_kind(host.names, name[order], start[order], end[order])


def _by_kind(texts: Sequence[str], name: NDArray[np.integer], start_ps: Int64s, end_ps: Int64s) -> dict[str, Int64s]:
    """Part collectives by what they do, (n, 2) each: start and end, in their order."""
    kinds = np.array([names.collective_kind(texts[place]) for place in name.tolist()])
    spans = np.stack([start_ps, end_ps], axis=1)
    return {kind: spans[kinds == kind] for kind in dict.fromkeys(kinds.tolist())}


def _allowed_ps(columns: Int64s) -> NDArray[np.float64]:
    """How far the ends of each exchange, (d, k, 2), may lie apart."""
    longest: Int64s = (columns[:, :, 1] - columns[:, :, 0]).max(axis=0)
    allowed: NDArray[np.float64] = np.maximum(float(APART_PS), APART_SHARE * longest)
    return allowed


def _apart_ps(end: Int64s, hosts: Sequence[str]) -> Int64s:
    """How far apart the ends of each collective lie, (k,), once each host's clock is set by their median."""
    offset = {host: median((end[[of == host for of in hosts]] - end[0]).ravel()) for host in dict.fromkeys(hosts)}
    on_one_clock = end - np.array([[offset[host]] for host in hosts]).astype(np.int64)
    apart: Int64s = on_one_clock.max(axis=0) - on_one_clock.min(axis=0)
    return apart
