"""The wall time of a process, told by calls as Keras makes them, with a clock of the test's own."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gpuprobe.keras.input_waits import InputWaits
from gpuprobe.keras.process_wall import ProcessWall
from gpuprobe.records import Wall, load

S = 1_000_000_000


class Clock:
    """Nanoseconds that pass when the test says so."""

    def __init__(self) -> None:
        self.now_ns = 1_000 * S

    def passes(self, seconds: float) -> None:
        """Let time pass."""
        self.now_ns += round(seconds * S)

    def __call__(self) -> int:
        return self.now_ns


class Counter:
    """Counts calls, as whoever drives a training does."""

    def __init__(self, clock: Clock) -> None:
        self.clock, self.calls, self.last_ns = clock, 0, 0

    def call(self, seconds: float) -> None:
        """Make a call of the train function."""
        self.clock.passes(seconds)
        self.calls, self.last_ns = self.calls + 1, self.clock.now_ns


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr("time.time_ns", made)
    monkeypatch.setattr("gpuprobe.keras.wall_record.process_started_ns", lambda: made.now_ns)
    return made


def told(process: ProcessWall) -> dict[str, tuple[float, int]]:
    return {
        " ".join(key).strip(): (ns / S, times) for key, (ns, times, _) in process.clock.tally().items() if ns or times
    }


@contextmanager
def fit(process: ProcessWall, counter: Counter) -> Iterator[None]:
    with process.call_of_keras("fit"):
        counter.clock.passes(0.5)
        process.training_began(counter, lambda: None)
        yield


def epoch(process: ProcessWall, counter: Counter, function: object, calls: int = 3) -> None:
    process.epoch_began()
    counter.clock.passes(0.25)
    process.first_call(function)
    counter.call(2)
    process.first_call_ended()
    for _ in range(calls - 1):
        counter.call(1)
    counter.clock.passes(0.125)
    process.after_steps()


class Function:
    """A train function."""


def test_a_script_from_start_to_end(clock: Clock, tmp_path: Path) -> None:
    process, counter, function = ProcessWall(), Counter(clock), Function()
    process.save_to(tmp_path / "wall.json")
    clock.passes(8)
    process.keras_loaded()
    clock.passes(3)
    for _ in range(2):
        with fit(process, counter):
            epoch(process, counter, function)
            epoch(process, counter, function)
        clock.passes(1)
    with process.call_of_keras("predict"), process.call_of_keras("evaluate"):
        clock.passes(4)
    clock.passes(5)
    process.finish()
    wall = load(Wall, tmp_path / "wall.json")
    assert wall.complete
    parts = {part.kind: (part.total_ns / S, part.times) for part in wall.parts if part.total_ns}
    assert parts == {
        "imports": (8, 1),
        "build": (3, 1),
        "fit": (1, 2),
        "epoch_start": (1, 4),
        "first_call": (2, 1),
        "epoch_first_call": (6, 3),
        "steps": (8, 8),
        "between_epochs": (0.5, 4),
        "between_trainings": (2, 2),
        "predict": (4, 1),
        "tail": (5, 0),
    }


def test_a_model_that_is_made_anew_is_compiled_again_though_the_old_one_is_gone(clock: Clock) -> None:
    process, counter = ProcessWall(), Counter(clock)
    for _ in range(3):
        with fit(process, counter):
            epoch(process, counter, Function())
        gc.collect()
    assert told(process)["first_call"] == (2, 1)
    assert told(process)["first_call_again"] == (4, 2)


def test_a_loop_that_waits_for_a_dataset(clock: Clock) -> None:
    process, counter = ProcessWall(), Counter(clock)

    class Batches:
        """As the iterator of a dataset, whose batches take three seconds."""

        def __next__(self) -> int:
            clock.passes(3)
            return 1

    waits = InputWaits(process)
    waits._time_batches(Batches)
    batches = Batches()
    assert next(batches) == 1
    process.loop_began(clock.now_ns)
    counter.call(2)
    process.loop_warm(counter, waits.settle)
    for _ in range(4):
        next(batches)
        counter.call(1)
    process.loop_ended()
    next(batches)
    assert told(process)["steps"] == (4, 4)
    assert told(process)["input"] == (12, 4), "neither what came before the loop nor what came after it"


def test_a_loop_with_predictions_in_it(clock: Clock) -> None:
    process, counter = ProcessWall(), Counter(clock)
    clock.passes(3)
    began_ns = clock.now_ns
    clock.passes(5)
    process.loop_began(began_ns)
    process.loop_warm(counter)
    for _ in range(4):
        counter.call(1)
        with process.call_of_keras("predict", "of one batch"):
            clock.passes(2)
    clock.passes(7)
    process.graph_built(again=True, began_ns=0)
    counter.call(0)
    counter.call(1)
    clock.passes(9)
    process.loop_ended()
    found = told(process)
    assert found["first_call"] == (5, 1)
    assert found["predict of one batch"] == (8, 4)
    assert found["tail"][0] == 9
    assert found["steps"] == (5, 5)
    assert found["retracing"] == (7, 1)


def test_a_training_that_was_broken_off_ends_where_the_next_begins(clock: Clock) -> None:
    process, counter = ProcessWall(), Counter(clock)
    process.training_began(counter, lambda: None)
    epoch(process, counter, Function())
    clock.passes(60)
    assert process.training_began(counter, lambda: None), "it begins anew"
    assert process.began[0] == clock.now_ns
    epoch(process, counter, Function())
    process.training_ended()
    assert process.clock.kind == "tail"


def test_another_thread_tells_nothing_while_a_training_goes_on(clock: Clock) -> None:
    process, counter = ProcessWall(), Counter(clock)

    def elsewhere() -> None:
        with process.call_of_keras("predict"):
            process.graph_built(again=True, began_ns=0)
        with process.part("checkpoint", "other"):
            clock.passes(1)

    with fit(process, counter):
        process.epoch_began()
        process.first_call(Function())
        process.first_call_ended()
        thread = threading.Thread(target=elsewhere)
        thread.start()
        thread.join()
        counter.call(1)
        process.after_steps()
    assert not {"predict", "retracing", "checkpoint other"} & set(told(process))


def test_at_a_prompt_nothing_counts_but_the_training(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.ps1", ">>> ", raising=False)
    process, counter = ProcessWall(), Counter(clock)
    clock.passes(3600)
    process.training_began(counter, lambda: None)
    epoch(process, counter, Function())
    process.training_ended()
    wall = process.training(process.began, complete=True)
    assert (wall.ended_ns - wall.started_ns) / S < 10
