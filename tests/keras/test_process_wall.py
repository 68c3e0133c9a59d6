"""What a real training tells of its wall time: every part, the callbacks by name, and nothing that harms it."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.helpers.program import Cli

keras = pytest.importorskip("keras")
pytest.importorskip("tensorflow")

from gpuprobe.diagnosis.diagnose import diagnose  # noqa: E402
from gpuprobe.diagnosis.recorded import recorded  # noqa: E402
from gpuprobe.evidence.whole_run import breakdown_of_wall  # noqa: E402
from gpuprobe.keras.callback import Probe  # noqa: E402
from gpuprobe.keras.model_calls import time_model_calls  # noqa: E402
from gpuprobe.keras.process_wall import process_wall  # noqa: E402
from gpuprobe.keras.timed import TimedCallback  # noqa: E402
from gpuprobe.keras.watch_phases import EARLY_TRACE_AT, WatchPhases  # noqa: E402
from gpuprobe.records import Run, Wall, load  # noqa: E402

S = 1_000_000_000
X = np.ones((40, 4), "float32")
NAP_S = 0.05


class Naps(keras.callbacks.Callback):  # type: ignore[misc,name-defined,unused-ignore]
    """Sleeps at the end of each epoch, and of each batch."""

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        time.sleep(NAP_S)

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        time.sleep(NAP_S / 5)


@pytest.fixture(autouse=True)
def anew() -> Iterator[None]:
    process_wall.cache_clear()
    yield
    process_wall.cache_clear()


@pytest.fixture
def net() -> Any:
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    return model


def fit(net: Any, *callbacks: Any, epochs: int = 3, **named: Any) -> None:
    net.fit(X, X[:, :1], batch_size=8, epochs=epochs, verbose=0, callbacks=list(callbacks), **named)


def parts(wall: Wall) -> dict[tuple[str, str], tuple[float, int]]:
    return {(part.kind, part.name): (part.total_ns / S, part.times) for part in wall.parts}


def adds_up(wall: Wall) -> bool:
    return sum(part.total_ns for part in wall.parts) == wall.ended_ns - wall.started_ns


def test_all_of_a_training_is_told_and_adds_up(net: Any, tmp_path: Path) -> None:
    naps = Naps()
    before = dict(vars(naps))
    fit(net, naps, Probe(tmp_path, verbose=False), validation_data=(X, X[:, :1]))
    (folder,) = tmp_path.glob("*/runs/*")
    wall = load(Run, folder / "run.json").wall
    assert wall is not None
    assert wall.complete
    assert adds_up(wall)
    told = parts(wall)
    assert told["first_call", ""][1] == 1
    assert told["epoch_start", ""][1] == 3
    assert told["epoch_first_call", ""][1] == 2
    assert told["steps", ""][1] == 3 * 4
    assert told["validation", ""][1] == 3
    assert told["callback", "Naps"][0] >= 3 * NAP_S + 15 * NAP_S / 5
    assert told["callback", "Naps"][1] == 3 + 15
    assert ("tail", "") not in told or told["tail", ""][0] < 1, "the account ends with the training"
    assert {name for name in vars(naps) if name not in before} <= {"_model", "_params", "params"}, "it is as it was"
    found = diagnose(recorded(folder, trace=False))
    assert found.whole_run == breakdown_of_wall(wall)


def test_a_second_training_of_one_model_compiles_nothing_again_and_one_of_another_does(net: Any) -> None:
    fit(net, TimedCallback())
    fit(net, TimedCallback())
    again = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    again.compile("sgd", "mse")
    fit(again, TimedCallback())
    told = parts(process_wall().training(process_wall().began, complete=True))
    assert told["first_call_again", ""][1] == 1
    whole = process_wall().clock.tally()
    assert whole["first_call", ""][1] == 1
    assert whole["fit", ""][1] == 3
    assert whole["between_trainings", ""][1] == 2


def test_what_saves_is_a_checkpoint_by_the_name_of_its_callback(
    net: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Keeps(keras.callbacks.Callback):  # type: ignore[misc,name-defined,unused-ignore]
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            self.model.save_weights(tmp_path / "own.weights.h5")

    for name in ("save", "save_weights", "predict", "evaluate"):
        monkeypatch.setattr(keras.Model, name, getattr(keras.Model, name))
    time_model_calls(keras.Model, process_wall())
    every = keras.callbacks.ModelCheckpoint(tmp_path / "each.weights.h5", save_weights_only=True, save_freq=2)
    fit(net, Keeps(), every, TimedCallback())
    for _ in range(3):
        net.predict(X[:8], verbose=0)
    told = process_wall().clock.tally()
    assert told["checkpoint", "Keeps"][0] > 0
    assert told["checkpoint", "ModelCheckpoint"][0] > 0
    assert told["predict", "of one batch"][1] == 3


def test_a_training_goes_on_whatever_fails_in_the_account(net: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*given: Any, **named: Any) -> None:
        raise RuntimeError("broken")

    monkeypatch.setattr(process_wall().clock, "begin", fails)
    naps = Naps()
    fit(net, naps, TimedCallback())
    fit(net, naps, TimedCallback())
    assert not hasattr(net.train_function, "wrapped_train_function"), "the train function is given back"
    assert "on_epoch_end" not in vars(naps)
    assert not process_wall().is_recorded_thread


def test_a_callback_that_fails_is_heard_and_is_not_timed_twice_the_next_time(net: Any) -> None:
    class Fails(Naps):
        fails = True

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            if self.fails:
                raise ValueError("its own")

    one = Fails()
    with pytest.raises(ValueError, match="its own"):
        fit(net, one, TimedCallback())
    one.fails = False
    fit(net, one, TimedCallback(), epochs=1)
    calls = parts(process_wall().training(process_wall().began, complete=True))["callback", "Fails"][1]
    assert calls == 1 + 5, "one epoch of five batches"
    assert "on_epoch_end" not in vars(one)


def test_trainings_of_a_few_calls_are_traced_together() -> None:
    moments, now = WatchPhases(3), 0
    for place in range(1, 40):
        if place > 1:
            moments.join_short_training()
        moments.epoch_began(now, last=True)
        now += S // 10
        moments.after_call(now)
        moments.expect_calls(1, 1)
        moments.epoch_ended(now)
        assert (moments.phase == "trace") == (EARLY_TRACE_AT <= place < EARLY_TRACE_AT + 3), place
    assert moments.phase == "rest", "a timed window has passed too"


def test_an_epoch_of_open_length_may_be_over_soon() -> None:
    moments, now, traced = WatchPhases(6), 0, 0
    moments.epoch_began(now, last=True)
    for _ in range(30):
        now += S // 5
        moments.after_call(now)
        moments.expect_calls(0, 1)
        traced += moments.phase == "trace"
    assert traced == 6


LOOP = """
import os
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import numpy as np, keras
net = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
net.compile("sgd", "mse")
x = np.ones((1, 4), "float32")
for turn in range(24):
    target = net.predict(x, verbose=0)
    net.fit(x, target + 0.1, verbose=0)
"""


def test_fits_of_one_step_in_a_loop_are_one_recording_with_a_trace_and_one_verdict(tmp_path: Path, cli: Cli) -> None:
    (tmp_path / "loop.py").write_text(LOOP)
    out = tmp_path / "r"
    done = cli("watch", "--trace", "--out", out, "--", sys.executable, tmp_path / "loop.py")
    assert done.returncode == 0, done.stderr
    assert "many_small_fits (confidence high). `fit` was called 24 times for one step each" in done.stderr
    assert "predict of one batch" in done.stderr
    assert cli("report", out).returncode == 0
    report = json.loads((out / "report.json").read_text())
    (training,) = report["trainings"]
    assert training["diagnosis"]["devices"], "its trace was read"
    (process,) = report["processes"]
    assert process["complete"]
    assert sum(row["seconds"] for row in process["rows"]) == pytest.approx(process["wall_s"])
    assert process["trainings"] == 24
