"""Which exchanges of several devices are the same, by the numbers of their steps.

If two traces number their steps, the k-th exchange of a step on one device is the k-th of that step on the other,
whenever they end. Steps with different numbers are never compared.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from gpuprobe import wording
from gpuprobe.ledger.own_exchanges import END, START, STEP
from gpuprobe.quantiles import median
from gpuprobe.traces.timeline import UNKNOWN

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gpuprobe.ledger.own_exchanges import DeviceExchanges, Key, Member
    from gpuprobe.traces.timeline import Int64s


def of_same_steps(members: Sequence[Int64s]) -> Int64s | None:
    """Return the exchanges of one kind that all members show, side by side, by step number and order in the step.

    The result is (d, k, 4). It is None where a member has no numbers, no step is common to all, or a step that all
    members show whole has more exchanges on one of them: these then belong to several communicators, and their order
    does not tell which is which.
    """
    numbered = [exchanges[exchanges[:, STEP] != UNKNOWN] for exchanges in members]
    common = _common_steps(numbered)
    if not common:
        return None
    chosen: list[list[Int64s]] = [[] for _ in members]
    for number in common:
        of_step = [exchanges[exchanges[:, STEP] == number] for exchanges in numbered]
        fewest = min(map(len, of_step))
        # A trace may end within its last step.
        if number != common[-1] and fewest < max(map(len, of_step)):
            return None
        for mine, exchanges in zip(chosen, of_step, strict=True):
            mine.append(exchanges[:fewest])
    return np.stack([np.concatenate(mine) for mine in chosen])


def _common_steps(numbered: Sequence[Int64s]) -> list[int]:
    """Return the step numbers that all members have, in order."""
    return sorted(set.intersection(*(set(exchanges[:, STEP].tolist()) for exchanges in numbered)))


def pace_ps(columns: Int64s) -> float:
    """Return the usual time (ps) from the first exchange of a step to that of the next; infinite for a single step.

    `columns` are the exchanges, (d, k, 4).
    """
    step = columns[0, :, STEP]
    first = np.flatnonzero(np.append(True, step[1:] != step[:-1]))
    return median(np.diff(columns[0, first, END])) if len(first) > 1 else float("inf")


@dataclass(frozen=True)
class OtherSteps:
    """The devices whose traces hold other steps than those of most devices, and the sentence that names them."""

    members: frozenset[Member]
    why: str


def of_other_steps(by_device: DeviceExchanges, unix: bool) -> OtherSteps | None:
    """Return the devices whose steps have no number in common with those of most devices; None where there are none.

    If the clocks show that all traces were taken at the same time, the numbers come from different counters and prove
    nothing: then the result is None too.
    """
    with_numbers = {member: _with_known_step(by_key) for member, by_key in by_device.items()}
    numbered = {member: columns for member, columns in with_numbers.items() if len(columns)}
    if len(numbered) < 2:
        return None
    numbers = {member: set(columns[:, STEP].tolist()) for member, columns in numbered.items()}
    most = max(numbered, key=lambda member: sum(not numbers[member].isdisjoint(other) for other in numbers.values()))
    away = [member for member in numbered if numbers[member].isdisjoint(numbers[most])]
    if not away or (unix and any(_at_one_time(numbered[most], numbered[member]) for member in away)):
        return None
    theirs = wording.listing([f"{host} holds {_range(numbers[device, host])}" for device, host in away])
    why = f"the trace of {theirs}, that of {most[1]} {_range(numbers[most])}: different steps are not compared"
    return OtherSteps(frozenset(away), why)


def _with_known_step(by_key: Mapping[Key, Int64s]) -> Int64s:
    """Return a device's exchanges whose step is known, (n, 4)."""
    columns = np.concatenate(list(by_key.values()))
    known: Int64s = columns[columns[:, STEP] != UNKNOWN]
    return known


def _at_one_time(one: Int64s, other: Int64s) -> bool:
    return bool(one[:, START].min() < other[:, END].max() and other[:, START].min() < one[:, END].max())


def _range(numbers: set[int]) -> str:
    first, last = min(numbers), max(numbers)
    return f"step {first}" if first == last else f"steps {first} to {last}"
