"""Which device the others wait for in each step, and whether it is always the same one."""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from gpuprobe import wording
from gpuprobe.ledger.exchange_records import StepWait
from gpuprobe.ledger.peers import device_label, steps_of
from gpuprobe.thresholds import DEFAULTS, fixed
from gpuprobe.traces.names import distinct
from gpuprobe.traces.timeline import UNKNOWN
from gpuprobe.units import PS_PER_MS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gpuprobe.ledger.exchanges import Exchanges
    from gpuprobe.ledger.records import DeviceBreakdown


def step_waits(exchanged: Exchanges | None, devices: Sequence[DeviceBreakdown]) -> tuple[StepWait, ...]:
    """Return the device that was waited for longest in each compared step, and how long; nothing for unknown steps.

    A step whose wait is short compared with it has no such device.
    """
    if exchanged is None:
        return ()
    index = {(device.name, device.host): index for index, device in enumerate(devices)}
    rows = [row for row, member in enumerate(exchanged.members) if member in index]
    step = steps_of(exchanged, devices)
    if step is None:
        return ()
    waited = exchanged.waited_ps / PS_PER_MS / np.maximum(exchanged.took.sum(axis=0) - 1, 1)
    numbered = bool((exchanged.step != UNKNOWN).all())
    waits = []
    for number in distinct(step)[0].tolist():
        of_step = step == number
        kept = [float(waited[:, of_step & (exchanged.last == row)].sum()) for row in rows]
        worst = max(range(len(rows)), key=kept.__getitem__)
        device = index[exchanged.members[rows[worst]]]
        much = kept[worst] >= DEFAULTS.kept_waiting_share * devices[device].step_ms
        waits.append(
            StepWait(number=number if numbered else None, device=device if much else None, kept_ms=kept[worst])
        )
    return tuple(waits)


def often(waits: Sequence[StepWait]) -> dict[int, list[StepWait]]:
    """Return by device the steps in which it was waited for; the device with most steps comes first."""
    counted = Counter(wait.device for wait in waits if wait.device is not None)
    return {device: [wait for wait in waits if wait.device == device] for device, _ in counted.most_common()}


def is_the_same(waits: Sequence[StepWait]) -> bool | None:
    """Whether the others always wait for the same device; None where too few steps have a wait.

    A device that is waited for in nearly all steps with a wait counts as always the same. The first step may differ:
    see `_after_start`.
    """
    told = [same for same in map(_is_the_same, _after_start(waits)) if same is not None]
    return any(told) if told else None


def is_beyond_chance(waits: Sequence[StepWait], device: int, fed_from_before: int = 0) -> bool | None:
    """Whether a device is late by more than its lateness differs from step to step; None for a single step.

    A step in which another device is waited for counts against it, unless it is the first: see `_after_start`. The
    first `fed_from_before` steps of the device say nothing of how late it is, since its slow pipeline had made their
    batches before (`pipeline_pace.steps_fed_from_before`). Nor may the next, in which the last of these runs out.
    """
    if len(waits) < 2:
        return None
    parts = [*_after_start(waits)]
    if fed_from_before:
        parts += [waits[fed_from_before:], waits[fed_from_before + 1 :]]
    return any(_is_beyond_chance(part, device) for part in parts if len(part) > 1)


def _after_start(waits: Sequence[StepWait]) -> tuple[Sequence[StepWait], ...]:
    """Return all steps, and those after the first.

    Workers do not start to trace at the same moment: in the first traced step the one whose profiler took longest is
    waited for. Such a step speaks against nobody (`peers.peers_of` leaves it out), but may bear out what others show.
    """
    return waits, waits[1:]


def _is_the_same(waits: Sequence[StepWait]) -> bool | None:
    by_device = often(waits)
    total = sum(map(len, by_device.values()))
    if total < fixed.STEPS_TELLING_WHO:
        return None
    return len(next(iter(by_device.values()))) >= fixed.ALWAYS_THE_SAME * total


def _is_beyond_chance(waits: Sequence[StepWait], device: int) -> bool:
    late = np.array(
        [0.0 if wait.device is None else wait.kept_ms * (1 if wait.device == device else -1) for wait in waits]
    )
    limits = fixed.LATE_BEYOND_CHANCE
    error = float(late.std(ddof=1)) / math.sqrt(len(late))
    return float(late.mean()) > limits[min(len(late) - 1, len(limits)) - 1] * error


def in_words(waits: Sequence[StepWait], devices: Sequence[DeviceBreakdown]) -> str:
    """Say how often each device is waited for, and how long; empty where none is."""
    parts = [
        f"{device_label(devices, device)} in {len(for_it)} of {wording.count(len(waits), 'step')} ({_between(for_it)})"
        for device, for_it in often(waits).items()
    ]
    return wording.listing(parts) if parts else ""


def _between(waits: Sequence[StepWait]) -> str:
    shortest, longest = (wording.milliseconds(end(wait.kept_ms for wait in waits)) for end in (min, max))
    return shortest if shortest == longest else f"{shortest} to {longest}"
