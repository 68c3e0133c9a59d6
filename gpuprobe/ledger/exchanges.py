"""The collectives of a trace, matched over their participants: what is transfer, and what is waiting for a peer.

Every participant of a communicator must issue the same collectives in the same order (NCCL's user guide, "Using
multiple NCCL communicators concurrently"), and all of them end together. So the k-th of a kind on one device is the
k-th on each other of its communicator, and the shortest of them is the transfer: the device that came last waited for
nobody. The rest of each longer one is waiting. None of this needs the clocks of several hosts to agree; that the ends
agree once each host's offset is taken off is the proof that the match is right.

PyTorch names the communicator of each collective. Where a trace does not, all devices are one. Where exchanges of one
communicator do not end together, as those of pairs, those devices belong together whose exchanges do.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from gpuprobe import wording
from gpuprobe.ledger import names
from gpuprobe.ledger.aligned import allowed_ps, apart_ps, side_by_side
from gpuprobe.ledger.intervals import Intervals, union
from gpuprobe.ledger.names import Kind
from gpuprobe.thresholds import fixed
from gpuprobe.traces.timeline import UNKNOWN

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import TypeAlias

    from numpy.typing import NDArray

    from gpuprobe.ledger.host import TracedHost
    from gpuprobe.traces.timeline import Device, Int64s, Timeline

    # A device by its name and its host's.
    Member: TypeAlias = tuple[str, str]
    # What an exchange does, and its communicator, empty where the trace names none.
    Key: TypeAlias = tuple[str, str]
    # The exchanges of each device, (n, 3) of a kind and communicator: start, end, bytes.
    Own: TypeAlias = Mapping[Member, Mapping[Key, Int64s]]

PROCESSOR = "CPU"
# The columns of an exchange.
START, END, SIZE = range(3)
APART = "the devices' exchanges do not end together: they are of different steps or groups"


@dataclass(frozen=True)
class Exchanges:
    """Matched collectives, (d, k) for d devices: `start_ps` and `end_ps`, each on its own host's clock.

    `took` says which devices took part in which; the times of the others are 0. Of each, (k,): `transfer_ps` is how
    long the shortest took, `bytes` what each device gave or got, UNKNOWN where the trace does not say.
    """

    members: tuple[Member, ...]
    start_ps: Int64s
    end_ps: Int64s
    took: NDArray[np.bool_]
    transfer_ps: Int64s
    bytes: Int64s

    def waiting(self, member: Member) -> Intervals:
        """Return when a device was in a collective and another had not arrived; nothing where it took no part."""
        if member not in self.members:
            return Intervals()
        row = self.members.index(member)
        took = self.took[row]
        return union(self.start_ps[row, took], self.end_ps[row, took] - self.transfer_ps[took])

    @property
    def waited_ps(self) -> Int64s:
        """How long each device waited in each collective, (d, k); 0 where it took no part."""
        waited: Int64s = np.where(self.took, self.end_ps - self.start_ps - self.transfer_ps, 0)
        return waited

    @property
    def last(self) -> NDArray[np.intp]:
        """Which participant came last to each collective, (k,), as a row of the other columns."""
        last: NDArray[np.intp] = np.where(self.took, self.waited_ps, np.iinfo(np.int64).max).argmin(axis=0)
        return last


def match(timeline: Timeline, hosts: Mapping[str, TracedHost]) -> tuple[Exchanges | None, str]:
    """Match the collectives of all devices of a trace that take part in some, as `matched` does."""
    return matched(of_gpus(timeline) or of_processors(hosts), timeline.unix)


def matched(own: Own, unix: bool) -> tuple[Exchanges | None, str]:
    """Match the collectives of devices; without a match, or of those without, say the reason.

    The reason is empty where there is nothing to match. `unix` says that all clocks are Unix time.
    """
    if len(own) < 2:
        return None, "the trace holds the exchanges of one device alone" if own else ""
    keys = dict.fromkeys(key for of in own.values() for key in of)
    found = [group for key in keys for group in _of_key(own, key, unix)]
    if not found:
        return None, APART
    members = tuple(own)
    exchanged = _joined(members, found)
    left = int((~exchanged.took.any(axis=1)).sum())
    return exchanged, f"{APART}, on {wording.count(left, 'device')} of {len(members)}" if left else ""


def too_few(ranks: int, exchanged: Exchanges | None) -> str:
    """Say what cannot be told where too few of a job's `ranks` were traced; empty where enough were, or it is 0."""
    if exchanged is None or not ranks:
        return ""
    seen = int(exchanged.took.any(axis=1).sum())
    if seen >= fixed.RANKS_TOLD * ranks:
        return ""
    return (
        f"the exchanges of {seen} of the job's {ranks} ranks were traced, fewer than "
        f"{wording.share(fixed.RANKS_TOLD)}: neither who is waited for nor what of an exchange is transfer is said"
    )


def _of_key(own: Own, key: Key, unix: bool) -> list[tuple[tuple[Member, ...], Int64s]]:
    """Return the exchanges of one kind and communicator, (d, k, 3), with the members that they are of."""
    members = tuple(member for member, of in own.items() if key in of)
    if len(members) < 2:
        return []
    together = _aligned(own, key, members, unix)
    return [(members, together)] if together is not None else _parts(own, key, members, unix)


def _parts(own: Own, key: Key, members: tuple[Member, ...], unix: bool) -> list[tuple[tuple[Member, ...], Int64s]]:
    """Part members into those whose exchanges end together, each with the first that it fits."""
    found = []
    while len(members) > 1:
        first, *others = members
        group = (first, *(one for one in others if _aligned(own, key, (first, one), unix) is not None))
        aligned = _aligned(own, key, group, unix) if len(group) > 1 else None
        found += [(group, aligned)] if aligned is not None else []
        members = tuple(member for member in members if member not in group)
    return found


def _aligned(own: Own, key: Key, members: tuple[Member, ...], unix: bool) -> Int64s | None:
    """Return the exchanges that members have in common, (d, k, 3), without the few that do not end together."""
    hosts = [host for _, host in members]
    columns = side_by_side([own[member][key] for member in members], hosts, unix)
    if columns is None:
        return None
    together: Int64s = columns[:, apart_ps(columns[:, :, END], hosts) <= allowed_ps(columns)]
    return together


def _joined(members: tuple[Member, ...], found: Sequence[tuple[tuple[Member, ...], Int64s]]) -> Exchanges:
    count = sum(columns.shape[1] for _, columns in found)
    times = np.zeros((len(members), count, 2), np.int64)
    took = np.zeros((len(members), count), np.bool_)
    transfer, size = np.zeros(count, np.int64), np.full(count, UNKNOWN, np.int64)
    begun = 0
    for group, columns in found:
        place = slice(begun, begun + columns.shape[1])
        rows = [members.index(member) for member in group]
        times[rows, place] = columns[:, :, :SIZE]
        took[rows, place] = True
        transfer[place] = (columns[:, :, END] - columns[:, :, START]).min(axis=0)
        size[place] = columns[:, :, SIZE].max(axis=0)
        begun = place.stop
    order = _in_order(times[:, :, END], took)
    times, took = times[:, order], took[:, order]
    return Exchanges(members, times[:, :, START], times[:, :, END], took, transfer[order], size[order])


def _in_order(end: Int64s, took: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Return the order of exchanges by their ends; each device's clock counts from the end of its first."""
    never = np.iinfo(np.int64).max
    first = np.where(took, end, never).min(axis=1, keepdims=True)
    return np.argsort(np.where(took, end - first, never).min(axis=0), kind="stable")


def of_gpus(timeline: Timeline) -> Own:
    """Return the collectives of the GPUs that take part in any."""
    own = {(device.name, device.host): _of_device(timeline, device) for device in timeline.devices}
    return {member: of for member, of in own.items() if of}


def of_processors(hosts: Mapping[str, TracedHost]) -> Own:
    """Return the collectives of the hosts themselves, which count where no GPU takes part in any."""
    own = {(PROCESSOR, name): _of_host(host) for name, host in hosts.items()}
    return {member: of for member, of in own.items() if of}


def _of_device(timeline: Timeline, device: Device) -> dict[Key, Int64s]:
    kernels = device.kernels
    chosen = np.flatnonzero(names.collective(timeline.names, kernels.name))
    group = kernels.group[chosen] if len(kernels.group) else np.full(len(chosen), UNKNOWN)
    size = kernels.bytes[chosen] if len(kernels.bytes) else np.full(len(chosen), UNKNOWN)
    columns = np.stack([kernels.start_ps[chosen], kernels.end_ps[chosen], size], axis=1)
    return _by_key(timeline.names, kernels.name[chosen], group, columns)


def _of_host(host: TracedHost) -> dict[Key, Int64s]:
    """Of all threads, since an exchange runs on whichever of the pool is free."""
    masks = [(kinds & Kind.EXCHANGE) != 0 for kinds in host.kinds]
    chosen = [(thread.events, mask) for thread, mask in zip(host.threads, masks, strict=True)]
    if not any(mask.any() for _, mask in chosen):
        return {}
    name = np.concatenate([events.name[mask] for events, mask in chosen])
    start = np.concatenate([events.start_ps[mask] for events, mask in chosen])
    end = np.concatenate([events.end_ps[mask] for events, mask in chosen])
    order = np.argsort(start, kind="stable")
    unknown = np.full(len(name), UNKNOWN, np.int64)
    return _by_key(host.names, name[order], unknown, np.stack([start[order], end[order], unknown], axis=1))


def _by_key(
    texts: Sequence[str], name: NDArray[np.integer], group: NDArray[np.integer], columns: Int64s
) -> dict[Key, Int64s]:
    """Part collectives by what they do and by communicator, (n, 3) each, in their order."""
    keys = [
        (names.collective_kind(texts[one]), "" if of == UNKNOWN else texts[of])
        for one, of in zip(name.tolist(), group.tolist(), strict=True)
    ]
    places: dict[Key, list[int]] = {}
    for place, key in enumerate(keys):
        places.setdefault(key, []).append(place)
    return {key: columns[of] for key, of in places.items()}
