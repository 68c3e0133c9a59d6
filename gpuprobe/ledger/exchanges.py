"""The collectives of a trace, matched over their participants: which part is transfer, and which is waiting.

Every participant of a communicator must issue the same collectives in the same order (NCCL's user guide, "Using
multiple NCCL communicators concurrently"), and all of them end together. So the k-th of a kind on one device is the
k-th on every other device of its communicator. The shortest of them is the transfer, since the device that came last
did not wait. The rest of each longer one is waiting. This does not need the clocks of several hosts to agree.

Step numbers show which exchange of one trace is the first of another's, if both traces have them. Else the ends of the
exchanges do, which agree once each host's clock offset is subtracted. On busy processors the ends do not agree, since a
thread that waits for its turn ends late: there only step numbers decide.

PyTorch names the communicator of each collective. In a trace without such names, all devices form one. If the exchanges
of one communicator do not end together (pairs of devices, for example), the devices whose exchanges do form a group.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from gpuprobe import wording
from gpuprobe.ledger.intervals import Intervals, union
from gpuprobe.ledger.match_by_end import allowed_ps, apart_ps, side_by_side
from gpuprobe.ledger.match_by_step import of_same_steps, pace_ps
from gpuprobe.ledger.own_exchanges import END, PROCESSOR, SIZE, START, STEP, of_gpus, of_processors
from gpuprobe.quantiles import median
from gpuprobe.thresholds import fixed
from gpuprobe.traces.timeline import UNKNOWN

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from gpuprobe.ledger.host import TracedHost
    from gpuprobe.ledger.own_exchanges import DeviceExchanges, Key, Member
    from gpuprobe.traces.timeline import Int64s, Timeline

APART = "the devices' exchanges do not end together: they are of different steps or groups"


@dataclass(frozen=True)
class Exchanges:
    """Matched collectives, (d, k) for d devices: `start_ps` and `end_ps`, each on its own host's clock.

    `took` says which devices took part; the times of the others are 0. For each collective, (k,): `transfer_ps` is the
    time of the shortest, `bytes` what each device sent or received, `step` the number of its step; the last two are
    UNKNOWN where the trace does not say. `numbered` says that step numbers proved every match.
    """

    members: tuple[Member, ...]
    start_ps: Int64s
    end_ps: Int64s
    took: NDArray[np.bool_]
    transfer_ps: Int64s
    bytes: Int64s
    step: Int64s
    numbered: bool = False

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
    """Match the collectives of a trace's GPUs, else of its processors, as `matched` does."""
    return matched(of_gpus(timeline, hosts) or of_processors(hosts), timeline.unix)


def matched(by_device: DeviceExchanges, unix: bool) -> tuple[Exchanges | None, str]:
    """Match the collectives of several devices; return them, and the reason why some or all could not be matched.

    The reason is empty where all were matched or there are none. `unix` says that all clocks are Unix time.
    """
    if len(by_device) < 2:
        return None, "the trace holds the exchanges of one device alone" if by_device else ""
    keys = dict.fromkeys(key for by_key in by_device.values() for key in by_key)
    groups = [group for key in keys for group in _groups_of_key(by_device, key, unix)]
    if not groups:
        return None, APART
    members = tuple(by_device)
    exchanged = _joined(members, groups)
    left = int((~exchanged.took.any(axis=1)).sum())
    return exchanged, f"{APART}, on {wording.count(left, 'device')} of {len(members)}" if left else ""


def too_few(ranks: int, exchanged: Exchanges | None) -> str:
    """Return why devices are not compared if too few of a job's `ranks` were traced; empty if enough were, or for 0.

    A rank is a process, which may have several devices; each trace has a host's name of its own.
    """
    if exchanged is None or not ranks:
        return ""
    seen = len({exchanged.members[row][1] for row in np.flatnonzero(exchanged.took.any(axis=1)).tolist()})
    if seen >= fixed.RANKS_TOLD * ranks:
        return ""
    return (
        f"the exchanges of {seen} of the job's {ranks} ranks were traced, fewer than "
        f"{wording.share(fixed.RANKS_TOLD)}: which device is waited for, and how long a transfer takes, is not known"
    )


@dataclass(frozen=True)
class _Group:
    """Exchanges of one operation and communicator, (d, k, 4), with their members.

    `numbered` says that step numbers proved the match.
    """

    members: tuple[Member, ...]
    columns: Int64s
    numbered: bool


def _groups_of_key(by_device: DeviceExchanges, key: Key, unix: bool) -> list[_Group]:
    members = tuple(member for member, by_key in by_device.items() if key in by_key)
    if len(members) < 2:
        return []
    together = _aligned(by_device, key, members, unix)
    return [together] if together is not None else _groups_that_end_together(by_device, key, members, unix)


def _groups_that_end_together(
    by_device: DeviceExchanges, key: Key, members: tuple[Member, ...], unix: bool
) -> list[_Group]:
    """Divide the members into groups whose exchanges end together; each joins the first member that it fits."""
    groups = []
    while len(members) > 1:
        first, *others = members
        group = (first, *(other for other in others if _aligned(by_device, key, (first, other), unix) is not None))
        aligned = _aligned(by_device, key, group, unix) if len(group) > 1 else None
        groups += [aligned] if aligned is not None else []
        members = tuple(member for member in members if member not in group)
    return groups


def _aligned(by_device: DeviceExchanges, key: Key, members: tuple[Member, ...], unix: bool) -> _Group | None:
    """Return the exchanges that all members have in common, without the few that end apart; None where most do."""
    columns_of_members, hosts = [by_device[member][key] for member in members], [host for _, host in members]
    numbered = of_same_steps(columns_of_members)
    if numbered is not None:
        together = apart_ps(numbered[:, :, END], hosts) <= allowed_ps(numbered)
        if together.mean() >= fixed.EXCHANGES_TOGETHER:
            return _Group(members, numbered[:, together], numbered=True)
        if all(device == PROCESSOR for device, _ in members) and _at_one_pace(numbered, unix):
            return _Group(members, numbered, numbered=True)
    columns = side_by_side(columns_of_members, hosts, unix)
    if columns is None:
        return None
    together = apart_ps(columns[:, :, END], hosts) <= allowed_ps(columns)
    return _Group(members, columns[:, together], numbered=False)


def _at_one_pace(columns: Int64s, unix: bool) -> bool:
    """Whether the clocks of busy processors still show that exchanges with the same number belong to the same step.

    A thread that waits for its turn ends an exchange late. A wrong match would be off by at least a whole step.
    """
    pace = pace_ps(columns)
    apart = columns[:, :, END] - columns[0, :, END]
    return pace == float("inf") or (unix and max(abs(median(offsets)) for offsets in apart) <= pace / 2)


def _joined(members: tuple[Member, ...], groups: Sequence[_Group]) -> Exchanges:
    count = sum(group.columns.shape[1] for group in groups)
    times = np.zeros((len(members), count, 2), np.int64)
    took = np.zeros((len(members), count), np.bool_)
    transfer = np.zeros(count, np.int64)
    size, step = np.full((2, count), UNKNOWN, np.int64)
    begun = 0
    for group in groups:
        columns = group.columns
        index = slice(begun, begun + columns.shape[1])
        rows = [members.index(member) for member in group.members]
        times[rows, index] = columns[:, :, :SIZE]
        took[rows, index] = True
        transfer[index] = (columns[:, :, END] - columns[:, :, START]).min(axis=0)
        size[index] = columns[:, :, SIZE].max(axis=0)
        # Counters that began at different times give one step several numbers.
        alike = (columns[:, :, STEP] == columns[0, :, STEP]).all(axis=0)
        step[index] = np.where(alike, columns[0, :, STEP], UNKNOWN)
        begun = index.stop
    order = _in_order(times[:, :, END], took)
    times, took = times[:, order], took[:, order]
    return Exchanges(
        members,
        times[:, :, START],
        times[:, :, END],
        took,
        transfer[order],
        size[order],
        step[order],
        all(group.numbered for group in groups),
    )


def _in_order(end: Int64s, took: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Return the indices that sort exchanges by their ends, each device's clock being 0 at the end of its first."""
    never = np.iinfo(np.int64).max
    first = np.where(took, end, never).min(axis=1, keepdims=True)
    return np.argsort(np.where(took, end - first, never).min(axis=0), kind="stable")
