"""The account of a process, told by calls as Keras makes them, with a clock of the test's own."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gpuprobe.keras.phases import Phases
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
    monkeypatch.setattr("gpuprobe.keras.phases.process_started_ns", lambda: made.now_ns)
    return made


def told(account: Phases) -> dict[str, tuple[float, int]]:
    return {" ".join(key).strip(): (ns / S, times) for key, (ns, times) in account.clock.tally().items() if ns or times}


@contextmanager
def fit(account: Phases, counter: Counter) -> Iterator[None]:
    with account.call_of_keras("fit"):
        counter.clock.passes(0.5)
        account.training_began(counter, lambda: None)
        yield


def epoch(account: Phases, counter: Counter, function: object, calls: int = 3) -> None:
    account.epoch_began()
    counter.clock.passes(0.25)
    account.first_call(function)
    counter.call(2)
    account.first_call_ended()
    for _ in range(calls - 1):
        counter.call(1)
    counter.clock.passes(0.125)
    account.after_steps()


class Function:
    """A train function."""


def test_a_script_from_start_to_end(clock: Clock, tmp_path: Path) -> None:
    account, counter, function = Phases(), Counter(clock), Function()
    account.save_to(tmp_path / "wall.json")
    clock.passes(8)
    account.keras_loaded()
    clock.passes(3)
    for _ in range(2):
        with fit(account, counter):
            epoch(account, counter, function)
            epoch(account, counter, function)
        clock.passes(1)
    with account.call_of_keras("predict"), account.call_of_keras("evaluate"):
        clock.passes(4)
    clock.passes(5)
    account.finish()
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
    account, counter = Phases(), Counter(clock)
    for _ in range(3):
        with fit(account, counter):
            epoch(account, counter, Function())
        gc.collect()
    assert told(account)["first_call"] == (2, 1)
    assert told(account)["first_call_again"] == (4, 2)


def test_a_loop_with_predictions_in_it(clock: Clock) -> None:
    account, counter = Phases(), Counter(clock)
    clock.passes(3)
    began_ns = clock.now_ns
    clock.passes(5)
    account.loop_began(began_ns)
    account.loop_warm(counter)
    for _ in range(4):
        counter.call(1)
        with account.call_of_keras("predict", "of one batch"):
            clock.passes(2)
    clock.passes(7)
    account.graph_built(again=True, began_ns=0)
    counter.call(0)
    counter.call(1)
    clock.passes(9)
    account.loop_ended()
    found = told(account)
    assert found["first_call"] == (5, 1)
    assert found["predict of one batch"] == (8, 4)
    assert found["tail"][0] == 9
    assert found["steps"] == (5, 5)
    assert found["retracing"] == (7, 1)


def test_a_training_that_was_broken_off_ends_where_the_next_begins(clock: Clock) -> None:
    account, counter = Phases(), Counter(clock)
    account.training_began(counter, lambda: None)
    epoch(account, counter, Function())
    clock.passes(60)
    assert account.training_began(counter, lambda: None), "it begins anew"
    assert account.began[0] == clock.now_ns
    epoch(account, counter, Function())
    account.training_ended()
    assert account.clock.kind == "tail"


def test_another_thread_tells_nothing_while_a_training_goes_on(clock: Clock) -> None:
    account, counter = Phases(), Counter(clock)

    def elsewhere() -> None:
        with account.call_of_keras("predict"):
            account.graph_built(again=True, began_ns=0)
        with account.doing("checkpoint", "other"):
            clock.passes(1)

    with fit(account, counter):
        account.epoch_began()
        account.first_call(Function())
        account.first_call_ended()
        thread = threading.Thread(target=elsewhere)
        thread.start()
        thread.join()
        counter.call(1)
        account.after_steps()
    assert not {"predict", "retracing", "checkpoint other"} & set(told(account))


def test_at_a_prompt_nothing_counts_but_the_training(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.ps1", ">>> ", raising=False)
    account, counter = Phases(), Counter(clock)
    clock.passes(3600)
    account.training_began(counter, lambda: None)
    epoch(account, counter, Function())
    account.training_ended()
    wall = account.training(account.began, complete=True)
    assert (wall.ended_ns - wall.started_ns) / S < 10
