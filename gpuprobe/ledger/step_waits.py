"""Who is waited for in each step, and whether that is always the same device."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from gpuprobe import wording
from gpuprobe.ledger.exchange_records import StepWait
from gpuprobe.ledger.peers import called
from gpuprobe.thresholds import DEFAULTS, fixed
from gpuprobe.traces.timeline import UNKNOWN
from gpuprobe.units import PS_PER_MS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from gpuprobe.ledger.exchanges import Exchanges
    from gpuprobe.ledger.records import DeviceBreakdown


def step_waits(exchanged: Exchanges | None, devices: Sequence[DeviceBreakdown]) -> tuple[StepWait, ...]:
    """Return who was waited for longest in each step that was compared, and how long; nothing where steps are unknown.

    A wait that is short for a step is nobody's.
    """
    if exchanged is None:
        return ()
    place = {(device.name, device.host): place for place, device in enumerate(devices)}
    rows = [row for row, member in enumerate(exchanged.members) if member in place]
    step = _steps(exchanged, [devices[place[exchanged.members[row]]].steps for row in rows])
    if step is None:
        return ()
    waited = exchanged.waited_ps / PS_PER_MS / np.maximum(exchanged.took.sum(axis=0) - 1, 1)
    numbered = bool((exchanged.step != UNKNOWN).all())
    found = []
    for number in np.unique(step).tolist():
        of_step = step == number
        kept = [float(waited[:, of_step & (exchanged.last == row)].sum()) for row in rows]
        worst = max(range(len(rows)), key=kept.__getitem__)
        device = place[exchanged.members[rows[worst]]]
        much = kept[worst] >= DEFAULTS.kept_waiting_share * devices[device].step_ms
        found.append(
            StepWait(number=number if numbered else None, device=device if much else None, kept_ms=kept[worst])
        )
    return tuple(found)


def _steps(exchanged: Exchanges, counts: Sequence[int]) -> NDArray[np.int64] | None:
    """Return the step of each exchange, (k,): as numbered, else each step has as many; None where neither tells."""
    if (exchanged.step != UNKNOWN).all():
        return exchanged.step
    every = len(exchanged.step)
    if not every or len(set(counts)) != 1 or every % counts[0]:
        return None
    return np.arange(every) // (every // counts[0])


def often(waits: Sequence[StepWait]) -> dict[int, list[StepWait]]:
    """Return the steps in which each device was waited for, the most often first."""
    counted = Counter(wait.device for wait in waits if wait.device is not None)
    return {device: [wait for wait in waits if wait.device == device] for device, _ in counted.most_common()}


def is_the_same(waits: Sequence[StepWait]) -> bool | None:
    """Whether it is always the same device, as far as steps show; None where nobody is waited for, or one step tells.

    One that is waited for in nearly all steps in which anybody is counts as always.
    """
    by_device = often(waits)
    total = sum(map(len, by_device.values()))
    if total < fixed.STEPS_TELLING_WHO:
        return None
    return len(next(iter(by_device.values()))) >= fixed.ALWAYS_THE_SAME * total


def in_words(waits: Sequence[StepWait], devices: Sequence[DeviceBreakdown]) -> str:
    """Say who is waited for how often and by how much; empty where nobody is."""
    told = [
        f"{called(devices, device)} in {len(of)} of {wording.count(len(waits), 'step')} ({_between(of)})"
        for device, of in often(waits).items()
    ]
    return wording.listing(told) if told else ""


def _between(waits: Sequence[StepWait]) -> str:
    shortest, longest = (wording.milliseconds(of(wait.kept_ms for wait in waits)) for of in (min, max))
    return shortest if shortest == longest else f"{shortest} to {longest}"
