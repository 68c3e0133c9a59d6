"""What a block says of trainings whose pace is known: simulated ones, of kinds that a gate could favour or wrong.

The clock is the simulation's: nothing here rests on how busy the machine is.
"""

from __future__ import annotations

import itertools
import math
import statistics
from dataclasses import dataclass

import pytest

from gpuprobe.measure.gate import POLL_EVERY_S
from gpuprobe.measure.run_in_progress import RunInProgress
from gpuprobe.measure.run_phases import Action, RunPhases
from gpuprobe.paired.block_rate import log_rate
from gpuprobe.records import Outcome, RunSpec

S = 1_000_000_000
TURN_S = 1.0


@dataclass(frozen=True)
class Kind:
    """A training: seconds of a step, of making a batch, and of what an epoch's end costs; how calls and waits go.

    `ahead` is how many calls a device may be behind Python, 0 where a call returns when it is done. `buffer` batches
    are kept ready. The first steps after a pause take `cold` times as long.
    """

    step_s: float = 0.1
    batch_s: float = 0.001
    buffer: int = 2
    steps_per_call: int = 1
    ahead: int = 0
    epoch_calls: int = 0
    epoch_s: float = 0.0
    cold: float = 1.08

    @property
    def steps_per_s(self) -> float:
        """Its pace where nothing pauses, the epochs' ends left out."""
        return 1 / max(self.step_s, self.batch_s)


class Training:
    """Runs a kind call by call, on its own clock: a pipeline that makes batches ahead, and a device."""

    def __init__(self, kind: Kind) -> None:
        self.kind, self.now_s, self.calls = kind, 0.0, 0
        self._ready, self._made_s = 0, 0.0
        self._device: list[float] = []
        self._since_pause = 0

    def call(self) -> bool:
        """Make one call; say whether an epoch began with it."""
        kind = self.kind
        begins = bool(kind.epoch_calls) and self.calls > 0 and self.calls % kind.epoch_calls == 0
        if begins:
            self.now_s += kind.epoch_s
            self._ready, self._made_s = 0, self.now_s
        for _ in range(kind.steps_per_call):
            self._take_batch()
            self._since_pause += 1
            takes_s = kind.step_s * (kind.cold if self._since_pause == 1 else 1.0)
            self._device.append(max(self.now_s, self._device[-1] if self._device else 0.0) + takes_s)
            if not kind.ahead:
                self.barrier()
        if kind.ahead and len(self._device) > kind.ahead:
            self.now_s = max(self.now_s, self._device[-1 - kind.ahead])
        self.calls += 1
        return begins

    def barrier(self) -> None:
        """Wait until the device has done all."""
        self.now_s = max(self.now_s, self._device[-1]) if self._device else self.now_s

    def pause(self, awake_s: float, frozen_s: float) -> float:
        """Stand at the gate, at first not frozen yet; return the processor's seconds that went into batches."""
        ready = self._ready
        self.now_s += awake_s
        self._make()
        self.now_s += frozen_s
        self._made_s += frozen_s
        self._since_pause = 0
        return (self._ready - ready) * self.kind.batch_s

    def _make(self) -> None:
        while self._ready < self.kind.buffer and self._made_s + self.kind.batch_s <= self.now_s:
            self._made_s += self.kind.batch_s
            self._ready += 1
        if self._ready == self.kind.buffer:
            self._made_s = self.now_s

    def _take_batch(self) -> None:
        self._make()
        if not self._ready:
            self.now_s = self._made_s = self._made_s + self.kind.batch_s
            self._ready = 1
        self._ready -= 1


def blocks(kind: Kind, laps: int, seed: int = 0) -> list[float]:
    """Let the training take turns as a stepper does, and return the rate of each block as a ranking reads it."""
    training, spec = Training(kind), RunSpec(strategy="a", round=1, seed=seed, batch_size=1)
    conductor = RunPhases(spec, kind.steps_per_call, trace=False, epoch_calls=kind.epoch_calls or None)
    seen = RunInProgress(spec, steps_per_call=kind.steps_per_call)

    def now() -> int:
        return round(training.now_s * S)

    def enter(name: str, lap: int = 0) -> int:
        seen.take({"event": "phase", "name": name, "t_ns": now(), "lap": lap})
        return now()

    for lap in range(1, laps + 1):
        # Seen by the one that freezes it, and by itself once it was thawed.
        worked_s = training.pause(2 * POLL_EVERY_S, 3.0)
        conductor.refill_started(enter("refill"), worked_s, TURN_S)
        for _ in itertools.count():
            if training.call():
                conductor.epoch_began()
            action, ended = conductor.after_call(now()), now()
            if action in {Action.START_TURN, Action.PAUSE}:
                training.barrier()
                ended = now()
            seen.take({"event": "calls", "t_ns": ended, "ends_ns": [ended]})
            if action is Action.START_TURN:
                conductor.turn_started(enter("turn", lap))
            elif action is Action.PAUSE:
                enter("paused")
                break
    run = seen.as_record(Outcome(state="done"))
    rates = [log_rate(phase, 1) for phase in run.phases if phase.lap]
    assert len(rates) == laps, "a block for each lap, whatever began again"
    return [rate for rate in rates if rate is not None]


def bias(kind: Kind, laps: int = 12) -> float:
    """By which part the blocks are too fast on average."""
    return statistics.fmean(blocks(kind, laps)) - math.log(kind.steps_per_s)


KINDS = {
    "a step on the processor": Kind(),
    "short steps": Kind(step_s=0.004),
    "long steps": Kind(step_s=0.7),
    "ten steps a call": Kind(steps_per_call=10),
    "ten short steps a call": Kind(step_s=0.004, steps_per_call=10),
    "a hundred steps a call": Kind(step_s=0.03, steps_per_call=100),
    "a device behind Python": Kind(step_s=0.005, ahead=16),
    "a device far behind Python": Kind(step_s=0.02, ahead=30),
    "a slow pipeline": Kind(step_s=0.005, batch_s=0.02, buffer=50),
    "a pipeline that is nearly fast enough": Kind(step_s=0.018, batch_s=0.02, buffer=50),
    "a slow pipeline and ten steps a call": Kind(step_s=0.005, batch_s=0.02, buffer=50, steps_per_call=10),
    "epochs that end": Kind(epoch_calls=64, epoch_s=9.0),
    "epochs that end in every second turn": Kind(epoch_calls=23, epoch_s=2.0),
    "epochs that end, ten steps a call": Kind(epoch_calls=13, epoch_s=5.0, steps_per_call=10),
}


@pytest.mark.parametrize("name", KINDS)
def test_a_block_favours_no_kind_of_training(name: str) -> None:
    assert abs(bias(KINDS[name])) < 0.01


def test_epochs_shorter_than_a_turn_are_a_part_of_it() -> None:
    short = Kind(step_s=0.01, epoch_calls=30, epoch_s=0.1)
    per_step_s = 0.01 + 0.1 / 30
    rates = blocks(short, 12)[1:]
    assert all(rate == pytest.approx(-math.log(per_step_s), abs=0.15) for rate in rates)
