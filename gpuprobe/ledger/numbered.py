"""Which exchanges of several devices are the same, by the numbers of the steps that they are of.

Where both of two traces number their steps, the k-th exchange of a step on one device is the k-th of that step on each
other, however its ends lie; and steps of other numbers are never compared.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from gpuprobe import wording
from gpuprobe.ledger.own_exchanges import END, START, STEP
from gpuprobe.ledger.quantiles import median
from gpuprobe.traces.timeline import UNKNOWN

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gpuprobe.ledger.own_exchanges import Key, Member, Own
    from gpuprobe.traces.timeline import Int64s


def of_same_steps(own: Sequence[Int64s]) -> Int64s | None:
    """Return the exchanges of one kind that all members show, side by side, by step number and order in the step.

    They are (d, k, 4). Returns None where a member has no numbers, no step is common to all, or a step that all show
    whole has more exchanges on one: then they are of several communicators, and order does not tell which is which.
    """
    numbered = [of[of[:, STEP] != UNKNOWN] for of in own]
    common = _common(numbered)
    if not common:
        return None
    chosen: list[list[Int64s]] = [[] for _ in own]
    for number in common:
        of_step = [of[of[:, STEP] == number] for of in numbered]
        fewest = min(map(len, of_step))
        # A trace may end within its last step.
        if number != common[-1] and fewest < max(map(len, of_step)):
            return None
        for mine, found in zip(chosen, of_step, strict=True):
            mine.append(found[:fewest])
    return np.stack([np.concatenate(mine) for mine in chosen])


def _common(numbered: Sequence[Int64s]) -> list[int]:
    """Return the step numbers that all members have, in order."""
    return sorted(set.intersection(*(set(of[:, STEP].tolist()) for of in numbered)))


def pace_ps(columns: Int64s) -> float:
    """Return how far steps lie apart, by the first exchange of each, (d, k, 4); infinite where there is one alone."""
    step = columns[0, :, STEP]
    first = np.flatnonzero(np.append(True, step[1:] != step[:-1]))
    return median(np.diff(columns[0, first, END])) if len(first) > 1 else float("inf")


@dataclass(frozen=True)
class Away:
    """The devices whose traces hold other steps than most others', and the sentence that says which."""

    members: frozenset[Member]
    why: str


def of_other_steps(own: Own, unix: bool) -> Away | None:
    """Return the devices whose steps have no number in common with most others'; None where there are none.

    Where clocks show that the traces were taken at one time, the numbers are of different counters, and tell nothing.
    """
    found = {member: _told(of) for member, of in own.items()}
    told = {member: columns for member, columns in found.items() if len(columns)}
    if len(told) < 2:
        return None
    numbers = {member: set(columns[:, STEP].tolist()) for member, columns in told.items()}
    most = max(told, key=lambda one: sum(not numbers[one].isdisjoint(other) for other in numbers.values()))
    away = [one for one in told if numbers[one].isdisjoint(numbers[most])]
    if not away or (unix and any(_at_one_time(told[most], told[one]) for one in away)):
        return None
    theirs = wording.listing([f"{host} holds {_range(numbers[device, host])}" for device, host in away])
    why = f"the trace of {theirs}, that of {most[1]} {_range(numbers[most])}: different steps are not compared"
    return Away(frozenset(away), why)


def _told(of: Mapping[Key, Int64s]) -> Int64s:
    """Return a device's exchanges whose step is known, (n, 4)."""
    columns = np.concatenate(list(of.values()))
    told: Int64s = columns[columns[:, STEP] != UNKNOWN]
    return told


def _at_one_time(one: Int64s, other: Int64s) -> bool:
    return bool(one[:, START].min() < other[:, END].max() and other[:, START].min() < one[:, END].max())


def _range(numbers: set[int]) -> str:
    first, last = min(numbers), max(numbers)
    return f"step {first}" if first == last else f"steps {first} to {last}"
