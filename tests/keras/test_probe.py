"""The callback and the hooks in a user's own training: what they show and save, and that they break nothing."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.helpers.program import Cli

keras = pytest.importorskip("keras")
tf = pytest.importorskip("tensorflow")


import gpuprobe  # noqa: E402
from gpuprobe.errors import UsageError  # noqa: E402
from gpuprobe.keras import session as session_module  # noqa: E402
from gpuprobe.keras.capture import from_process  # noqa: E402
from gpuprobe.keras.new_recording import NewRecording  # noqa: E402
from gpuprobe.keras.options import ProbeOptions  # noqa: E402
from gpuprobe.keras.watch_phases import LONGEST_TRACE_S, Action, WatchPhases  # noqa: E402
from gpuprobe.keras.watcher import Watcher  # noqa: E402
from gpuprobe.ranking.load import load  # noqa: E402
from gpuprobe.recording import load_study  # noqa: E402
from gpuprobe.records import Run, RunSpec  # noqa: E402
from gpuprobe.records import load as load_record  # noqa: E402

S = 1_000_000_000


def play(moments: WatchPhases, lengths_s: list[float], epoch: int = 10_000) -> list[str]:
    """Play calls of given lengths, epochs of so many calls, and return the phases as they were entered."""
    now = 0
    phases: list[str] = [moments.phase]
    moments.epoch_began(now)
    for place, length in enumerate(lengths_s, start=1):
        now += round(length * S)
        if moments.after_call(now) is not Action.GO_ON:
            phases.append(moments.phase)
        if place % epoch == 0:
            if moments.epoch_ended(now) is not Action.GO_ON:
                phases.append(moments.phase)
            moments.epoch_began(now)
    return phases


def test_a_trace_comes_after_the_timed_window() -> None:
    assert play(WatchPhases(6), [5.0] + [0.2] * 120) == ["warmup", "settle", "window", "rest", "trace", "rest"]


def test_a_window_ends_with_its_epoch_and_a_short_one_is_tried_again() -> None:
    phases = play(WatchPhases(6), [5.0] + [0.2] * 60, epoch=20)
    assert phases[:5] == ["warmup", "settle", "window", "rest", "trace"]
    assert "trace" in play(WatchPhases(6), [0.1] * 200, epoch=5), (
        "epochs too short for a window are traced all the same"
    )


def test_trace_at_and_never_and_on_demand() -> None:
    assert play(WatchPhases(3, trace_at=2), [0.1] * 9)[:3] == ["warmup", "settle", "trace"]
    assert "trace" not in play(WatchPhases(6, trace_at=0), [0.2] * 300)
    assert play(WatchPhases(6, trace_at=3), [0.1] * 20, epoch=9)[-1] == "settle", "an epoch's end makes it no longer"
    asked = WatchPhases(6, trace_at=0)
    asked.ask_for_trace()
    assert "trace" in play(asked, [0.1] * 9)


@given(st.lists(st.floats(1e-4, 30.0), min_size=1, max_size=200), st.integers(1, 50))
def test_every_trace_that_begins_is_as_long_as_asked_or_longer_than_anybody_wants(
    lengths: list[float], epoch: int
) -> None:
    moments, traced, now, began = WatchPhases(4), 0, 0, 0
    moments.epoch_began(0)
    for place, length in enumerate(lengths, start=1):
        now += round(length * S)
        was = moments.phase
        action = moments.after_call(now)
        traced = traced + 1 if was == "trace" else 0
        began = now if action is Action.START_TRACE else began
        assert (action is Action.STOP_TRACE) == (traced == 4 or (traced > 0 and now - began >= LONGEST_TRACE_S * S))
        if place % epoch == 0:
            moments.epoch_ended(now)
            moments.epoch_began(now)


def test_a_trace_that_nobody_asked_for_ends_with_its_epoch() -> None:
    for epoch in range(8, 80):
        moments, traced_in = WatchPhases(6, window_s=1.0, epoch_calls=epoch), []
        moments.epoch_began(0)
        for place in range(1, 300):
            now = round(place * 0.1 * S)
            if moments.after_call(now) in {Action.START_TRACE, Action.STOP_TRACE}:
                traced_in.append((place - 1) // epoch)
            if place % epoch == 0:
                moments.epoch_ended(now)
                moments.epoch_began(now)
        assert len(traced_in) == 2, epoch
        assert traced_in[0] == traced_in[1], epoch


@given(
    st.integers(1, 400), st.integers(1, 40), st.integers(1, 6), st.floats(1e-4, 0.2)
)  # fmt: skip
def test_a_training_of_known_length_is_traced_however_short_it_is(
    epoch: int, epochs: int, steps: int, length_s: float
) -> None:
    total = epoch * epochs
    moments = WatchPhases(steps + 1, epoch_calls=epoch, total_calls=total)
    started = []
    for place in range(total):
        if place % epoch == 0:
            moments.epoch_began(round(place * length_s * S), last=place // epoch + 1 == epochs)
        now = round((place + 1) * length_s * S)
        if moments.after_call(now) is Action.START_TRACE:
            started.append(place + 1)
        if (place + 1) % epoch == 0:
            moments.epoch_ended(now)
    # Two calls at least: the first pays for the profiler's start. Two before it: they fill buffers and compile.
    assert len(started) == (total >= 5)
    assert all(total - place >= 2 for place in started)


def test_epochs_of_one_call_are_timed_together() -> None:
    moments = WatchPhases(6, epoch_calls=1)
    phases = []
    for place in range(200):
        moments.epoch_began(round(place * 0.2 * S))
        now = round((place + 1) * 0.2 * S)
        moments.after_call(now)
        moments.epoch_ended(now)
        phases.append(moments.phase)
    assert list(dict.fromkeys(phases)) == ["settle", "window", "rest", "trace"]


def test_in_the_last_epoch_a_trace_is_begun_even_where_no_room_is_left() -> None:
    for last in (False, True):
        moments = WatchPhases(6, window_s=1.0, epoch_calls=34)
        moments.epoch_began(0, last=last)
        actions = [moments.after_call(round(place * 0.1 * S)) for place in range(1, 35)]
        assert (Action.START_TRACE in actions) == last


def model() -> Any:
    keras.utils.set_random_seed(3)
    net = keras.Sequential(
        [keras.Input((8,)), keras.layers.Dense(16, "relu"), keras.layers.Dropout(0.2), keras.layers.Dense(1)]
    )
    net.compile("adam", "mse", metrics=["mae"])
    return net


X = np.random.default_rng(0).standard_normal((480, 8)).astype("float32")
Y = X[:, :1] * 2


def trained(callbacks: list[Any], **options: Any) -> tuple[list[np.ndarray], dict[str, list[float]]]:
    net = model()
    history = net.fit(X, Y, batch_size=16, epochs=3, verbose=0, callbacks=callbacks, **options).history
    return net.get_weights(), history


@cache
def unwatched() -> list[np.ndarray]:
    """Return the weights of the same training without a Probe."""
    return trained([])[0]


def the_recording(out: Path) -> Path:
    (study,) = out.iterdir()
    return study / "runs" / "1-fit"


def test_logs_history_trace_verdict_and_recording(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, board = tmp_path / "out", tmp_path / "board"
    seen: list[set[str]] = []
    after = keras.callbacks.LambdaCallback(on_epoch_end=lambda _epoch, logs: seen.append(set(logs)))
    probe = gpuprobe.keras.Probe(out, trace_at=12, tensorboard=board)
    _, history = trained([probe, after], validation_data=(X, Y))
    assert len(history["samples_per_s"]) == 3
    assert all(rate > 0 for rate in history["samples_per_s"])
    assert set(history) - {"samples_per_s"} == {"loss", "mae", "val_loss", "val_mae"}
    assert all("samples_per_s" in names for names in seen)
    folder = the_recording(out)
    run = load_record(Run, folder / "run.json")
    assert run.outcome.state == "done"
    assert run.settings is not None
    assert (run.settings.batch_size, run.settings.optimizer) == (16, "Adam")
    phases = [phase.name for phase in run.phases]
    assert phases[:2] == ["warmup", "settle"]
    assert "trace" in phases
    assert run.trace is not None
    assert run.trace.steps == 6
    (trace,) = (folder / "trace" / "plugins" / "profile").glob("*/*.xplane.pb")
    assert trace.read_bytes().count(b"train") > 0
    assert (folder / "telemetry.csv").read_text().startswith("t_ns,")
    assert json.loads((folder / "verdict.json").read_text())["signals"]
    assert "Verdict" in capsys.readouterr().out
    assert load(out / folder.parts[-3]).study.train_samples == 480
    assert list(board.glob("gpuprobe/events.*"))


@pytest.mark.parametrize("validated", [False, True])
def test_the_samples_of_an_epoch_are_counted_to_the_last_batch(tmp_path: Path, validated: bool) -> None:
    probe = gpuprobe.keras.Probe(tmp_path, trace_steps=0, verbose=False)
    checked = (X[:64], Y[:64]) if validated else None
    model().fit(X[:470], Y[:470], batch_size=16, epochs=2, verbose=0, callbacks=[probe], validation_data=checked)
    study = load_study(next(tmp_path.iterdir()))
    assert (study.epoch_samples, study.epoch) == (470, "470 samples")


def test_samples_that_nobody_counts_are_told_as_what_they_may_be_at_most(tmp_path: Path) -> None:
    class Own(keras.Model):  # type: ignore[misc, name-defined]
        def train_step(self, data: Any) -> Any:
            return super().train_step(data)

    inputs = keras.Input((8,))
    own = Own(inputs, keras.layers.Dense(1)(inputs))
    own.compile("sgd", "mse")
    probe = gpuprobe.keras.Probe(tmp_path, trace_steps=0, verbose=False, batch_size=16)
    own.fit(X[:470], Y[:470], batch_size=16, verbose=0, callbacks=[probe])
    assert load_study(next(tmp_path.iterdir())).epoch == "up to 480 samples"


def with_a_slow_map(out: Path) -> None:
    """Train on data whose map sleeps, and trace some of its steps."""

    def sleeps(x: np.ndarray) -> np.ndarray:
        time.sleep(0.05)
        return x

    data = tf.data.Dataset.from_tensor_slices(X).batch(16)
    data = data.map(lambda x: (tf.ensure_shape(tf.numpy_function(sleeps, [x], tf.float32), (None, 8)), x[:, :1]))
    model().fit(data, epochs=2, verbose=0, callbacks=[gpuprobe.keras.Probe(out, trace_at=20)])


def test_the_verdict_rests_on_the_trace_where_there_is_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with_a_slow_map(tmp_path)
    said = capsys.readouterr().out
    assert "By the trace: input_bound" in said
    assert "waits for the next batch" in said
    saved = json.loads((the_recording(tmp_path) / "verdict.json").read_text())
    assert saved["traced"]
    assert (saved["findings"][0]["cause"], saved["findings"][0]["primary"]) == ("input_bound", True)
    page = the_recording(tmp_path) / "step.html"
    assert f"Look into the step: {page}" in said
    assert "waits for the next batch" in page.read_text()


def test_a_trace_that_cannot_be_diagnosed_is_said_and_leaves_a_verdict(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_given: Any, **_named: Any) -> None:
        raise RuntimeError("made to fail")

    monkeypatch.setattr("gpuprobe.keras.watcher.diagnosis_of", fail)
    trained([gpuprobe.keras.Probe(tmp_path, trace_at=5)])
    said = capsys.readouterr()
    assert said.err.count("gpuprobe:") == 1
    assert "made to fail" in said.err
    assert "Verdict" in said.out
    assert not json.loads((the_recording(tmp_path) / "verdict.json").read_text())["traced"]


def test_a_page_that_cannot_be_written_is_said_and_leaves_the_verdict_of_the_trace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_given: Any, **_named: Any) -> None:
        raise RuntimeError("made to fail")

    monkeypatch.setattr("gpuprobe.stepview.beside.write_page", fail)
    trained([gpuprobe.keras.Probe(tmp_path, trace_at=5)])
    said = capsys.readouterr()
    assert said.err.count("gpuprobe:") == 1
    assert "made to fail" in said.err
    assert "Look into the step" not in said.out
    assert json.loads((the_recording(tmp_path) / "verdict.json").read_text())["traced"]


def test_the_progress_line_shows_throughput(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model().fit(X, Y, batch_size=16, epochs=1, verbose=2, callbacks=[gpuprobe.keras.Probe(tmp_path, trace_steps=0)])
    assert "samples_per_s:" in capsys.readouterr().out


def test_it_trains_to_the_same_weights_bit_for_bit(tmp_path: Path) -> None:
    plain = unwatched()
    probed, _ = trained([gpuprobe.keras.Probe(tmp_path, trace_at=5, verbose=False)])
    assert all(np.array_equal(one, other) for one, other in zip(plain, probed, strict=True))


@pytest.mark.parametrize(
    "method", ["__init__", "marker", "call_returned", "call_ended", "epoch_began", "epoch_ended", "end"]
)
def test_whatever_fails_is_said_once_and_changes_no_weight(
    tmp_path: Path, method: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    plain = unwatched()

    def fail(*_given: Any, **_named: Any) -> None:
        raise RuntimeError("made to fail")

    monkeypatch.setattr(session_module.ProbeSession, method, fail)
    probed, _ = trained([gpuprobe.keras.Probe(tmp_path, trace_steps=0)])
    assert all(np.array_equal(one, other) for one, other in zip(plain, probed, strict=True))
    said = capsys.readouterr().err
    assert said.count("gpuprobe:") == 1
    assert "made to fail" in said


@pytest.mark.parametrize(
    "place",
    [
        "gpuprobe.backends.with_tensorflow.TensorFlow.start_trace",
        "gpuprobe.backends.with_tensorflow.TensorFlow.stop_trace",
        "gpuprobe.backends.with_tensorflow.TensorFlow.samples_counted",
        "gpuprobe.keras.session.telemetry.sampling",
        "gpuprobe.keras.session.run_of_events",
        "gpuprobe.keras.phase_journal.PhaseJournal.write_calls",
        "gpuprobe.telemetry.follow.Follower.look",
        "os.write",
    ],
)
def test_whatever_a_hook_needs_may_fail_in_a_traced_training(
    tmp_path: Path, place: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    plain = unwatched()

    def fail(*_given: Any, **_named: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr(place, fail)
        probed, _ = trained([gpuprobe.keras.Probe(tmp_path, trace_at=12, verbose=False)])
    assert all(np.array_equal(one, other) for one, other in zip(plain, probed, strict=True))
    assert capfd.readouterr().err.count("gpuprobe: stopped watching") <= 1
    # Whatever became of ours, the training's own profiler can start.
    if place != "gpuprobe.backends.with_tensorflow.TensorFlow.stop_trace":
        tf.profiler.experimental.start("")
    tf.profiler.experimental.stop(save=False)


def test_a_folder_that_cannot_be_written_is_no_reason_to_stop(capsys: pytest.CaptureFixture[str]) -> None:
    _, history = trained([gpuprobe.keras.Probe("/proc/nowhere")])
    assert len(history["loss"]) == 3
    assert "cannot be written" in capsys.readouterr().err


def test_the_trainings_own_error_goes_through_and_is_recorded(tmp_path: Path) -> None:
    class Broken(keras.callbacks.Callback):  # type: ignore[misc, name-defined]
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            raise KeyError("the user's own")

    net, probe = model(), gpuprobe.keras.Probe(tmp_path, trace_steps=0, verbose=False)
    with pytest.raises(KeyError, match="own"):
        net.fit(X, Y, verbose=0, callbacks=[probe, Broken()])
    net.fit(X, Y, verbose=0, callbacks=[probe])
    states = [json.loads(path.read_text())["outcome"]["state"] for path in sorted(tmp_path.glob("*/runs/*/run.json"))]
    assert sorted(states) == ["done", "interrupted"]


def test_a_signal_asks_for_a_trace(tmp_path: Path) -> None:
    ask = keras.callbacks.LambdaCallback(
        on_epoch_begin=lambda epoch, _logs: from_process(os.getpid()) if epoch == 1 else None
    )
    trained([gpuprobe.keras.Probe(tmp_path, trace_at=0, verbose=False), ask])
    assert list(the_recording(tmp_path).glob("trace/plugins/profile/*/*.xplane.pb"))
    assert signal.getsignal(signal.SIGUSR2) is signal.SIG_DFL
    with pytest.raises(UsageError, match="no Probe"):
        from_process(os.getpid())


@pytest.mark.parametrize("first", ["ours", "theirs"])
def test_a_training_that_profiles_itself_gets_its_profile(tmp_path: Path, first: str) -> None:
    theirs = keras.callbacks.TensorBoard(tmp_path / "board", profile_batch=(9, 14), write_graph=False)
    start = tf.profiler.experimental.start
    at = {"ours": 5, "theirs": 10}[first]
    plain = unwatched()
    probed, _ = trained([gpuprobe.keras.Probe(tmp_path / "out", trace_at=at, verbose=False), theirs])
    assert all(np.array_equal(one, other) for one, other in zip(plain, probed, strict=True))
    (profile,) = (tmp_path / "board").glob("**/*.xplane.pb")
    assert profile.stat().st_size > 0
    assert tf.profiler.experimental.start is start
    run = load_record(Run, the_recording(tmp_path / "out") / "run.json")
    assert run.outcome.state == "done"
    assert run.trace is not None
    assert run.trace.steps == 6, "it is tried again later"
    assert len(list(the_recording(tmp_path / "out").glob("trace/**/*.xplane.pb"))) == 1


def test_a_loop_that_profiles_itself_in_a_block_gets_its_profile(tmp_path: Path) -> None:
    work = tf.function(tf.reduce_sum)
    with gpuprobe.window("mine", out=tmp_path / "out", trace_at=2, verbose=False) as probe:
        for step in range(9):
            if step == 5:
                with tf.profiler.experimental.Profile(str(tmp_path / "board")):
                    work(X)
            work(X)
            probe.step()
    assert list((tmp_path / "board").glob("**/*.xplane.pb"))
    run = load_record(Run, the_recording(tmp_path / "out") / "run.json")
    assert (run.outcome.state, run.trace and run.trace.missing) == ("done", "the training started the profiler itself")


def test_a_fork_of_the_training_leaves_the_recording_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    watcher = Watcher(ProbeOptions(name="fork", out=tmp_path), verbose=False)
    watcher.begin()
    with monkeypatch.context() as forked:
        forked.setattr(os, "getpid", lambda: -1)
        watcher._at_exit()
    (study,) = tmp_path.iterdir()
    assert not (study / "runs" / "1-fit" / "run.json").exists()
    watcher._at_exit()
    assert json.loads((study / "runs" / "1-fit" / "run.json").read_text())["outcome"]["state"] == "interrupted"


def test_a_training_that_was_broken_off_leaves_no_hook_that_counts(tmp_path: Path) -> None:
    net, first = model(), gpuprobe.keras.Probe(tmp_path / "first", trace_steps=0, verbose=False)
    boom = keras.callbacks.LambdaCallback(on_epoch_end=lambda _epoch, _logs: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        net.fit(X, Y, batch_size=16, verbose=0, callbacks=[first, boom])
    inside = net.train_function.wrapped_train_function
    net.fit(X, Y, batch_size=16, verbose=0, callbacks=[gpuprobe.keras.Probe(tmp_path / "then", trace_steps=0)])
    assert net.train_function is inside


def samplers() -> list[int]:
    children = psutil.Process().children(recursive=True)
    return [child.pid for child in children if "gpuprobe.telemetry" in child.cmdline()]


@pytest.mark.parametrize("broken_by", ["data", "callback"])
def test_a_training_that_is_broken_off_in_a_notebook_leaves_no_sampler(tmp_path: Path, broken_by: str) -> None:
    def batches() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        yield X[:16], Y[:16]
        if broken_by == "data":
            raise KeyError("no more")
        yield X[:16], Y[:16]

    kinds = (tf.TensorSpec((16, 8)), tf.TensorSpec((16, 1)))
    data = tf.data.Dataset.from_generator(batches, output_signature=kinds)
    boom = keras.callbacks.LambdaCallback(on_epoch_end=lambda _epoch, _logs: 1 / 0)
    net, first = model(), gpuprobe.keras.Probe(tmp_path / "first", trace_steps=0, verbose=False)
    with pytest.raises((tf.errors.OpError, ZeroDivisionError)):
        net.fit(data, epochs=2, verbose=0, callbacks=[first, boom])
    if broken_by == "callback":
        assert samplers(), "nobody has told the Probe yet"
        net.fit(X, Y, verbose=0, callbacks=[gpuprobe.keras.Probe(tmp_path / "next", trace_steps=0, verbose=False)])
    assert not samplers()
    assert load_record(Run, the_recording(tmp_path / "first") / "run.json").outcome.state == "interrupted"


KILLED = """
import os, sys, keras, numpy as np, gpuprobe
from gpuprobe.keras import watch_phases
watch_phases.WINDOW_S = 0.2
x = np.ones((4000, 8), "float32")
net = keras.Sequential([keras.Input((8,)), keras.layers.Dense(1)])
net.compile("sgd", "mse")
end = keras.callbacks.LambdaCallback(on_epoch_begin=lambda epoch, _logs: os.kill(os.getpid(), 9) if epoch == 4 else 0)
net.fit(x, x[:, :1], epochs=9, verbose=0, callbacks=[gpuprobe.keras.Probe(sys.argv[1], trace_steps=0), end])
"""


def test_one_that_is_killed_leaves_a_recording_to_report(tmp_path: Path, cli: Cli) -> None:
    out = tmp_path / "out"
    done = subprocess.run([sys.executable, "-c", KILLED, str(out)], capture_output=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    study = the_recording(out).parent.parent
    assert cli("report", study).returncode == 0
    (row,) = json.loads((study / "report.json").read_text())["rows"]
    assert row["samples_per_s"]["value"] > 0
    assert json.loads((the_recording(out) / "run.json").read_text())["outcome"]["state"] == "interrupted"


class Own(keras.Model):  # type: ignore[misc, name-defined]
    def __init__(self) -> None:
        super().__init__()
        self.dense = keras.layers.Dense(1)

    def call(self, x: Any) -> Any:
        return self.dense(x)

    def train_step(self, data: Any) -> dict[str, Any]:
        x, y = data
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean((self(x, training=True) - y) ** 2)
        self.optimizer.apply_gradients(
            zip(tape.gradient(loss, self.trainable_variables), self.trainable_variables, strict=True)
        )
        return {"my_loss": loss}


def test_a_custom_train_step_and_several_steps_a_call(tmp_path: Path) -> None:
    net = Own()
    net.compile("sgd", steps_per_execution=2)
    data = tf.data.Dataset.from_tensor_slices((X, Y)).batch(16, drop_remainder=True)
    probe = gpuprobe.keras.Probe(tmp_path, trace_steps=0, verbose=False)
    history = net.fit(data, epochs=2, verbose=0, callbacks=[probe]).history
    assert set(history) == {"my_loss", "samples_per_s"}
    run = load_record(Run, the_recording(tmp_path) / "run.json")
    assert run.settings is not None
    assert (run.settings.batch_size, run.settings.steps_per_execution) == (16, 2)


def test_a_distribution_strategy_is_watched(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with tf.distribute.MirroredStrategy(["CPU:0"]).scope():
        net = model()
    net.fit(X, Y, batch_size=16, epochs=2, verbose=0, callbacks=[gpuprobe.keras.Probe(tmp_path, trace_steps=0)])
    assert "stopped watching" not in capsys.readouterr().err
    run = load_record(Run, the_recording(tmp_path) / "run.json")
    assert run.settings is not None
    assert (run.outcome.state, run.settings.batch_size) == ("done", 16)


class Bare(keras.Model):  # type: ignore[misc, name-defined]
    """A train step of its own, without the metrics that count samples."""

    metrics: ClassVar[list[Any]] = []

    def train_step(self, data: Any) -> dict[str, Any]:
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean((self(data[0]) - data[1]) ** 2)
        self.optimizer.apply_gradients(
            zip(tape.gradient(loss, self.trainable_weights), self.trainable_weights, strict=True)
        )
        return {"error": loss}


class Counting(Own):
    """A train step of its own with a metric called loss, which counts each step as one sample."""

    def __init__(self) -> None:
        super().__init__()
        self.tracker = keras.metrics.Mean(name="loss")

    @property
    def metrics(self) -> list[Any]:
        return [self.tracker]

    def train_step(self, data: Any) -> dict[str, Any]:
        self.tracker.update_state(super().train_step(data)["my_loss"])
        return {"loss": self.tracker.result()}


@pytest.mark.parametrize("told", [None, 16])
def test_samples_are_not_counted_by_a_metric_that_counts_steps(tmp_path: Path, told: int | None) -> None:
    net = Counting()
    net.compile("sgd")
    probe = gpuprobe.keras.Probe(tmp_path, trace_steps=0, batch_size=told, verbose=False)
    # The rest of one sample leaves the size of a batch open.
    net.fit(X[:65], Y[:65], batch_size=16, epochs=2, verbose=0, callbacks=[probe])
    run = load_record(Run, the_recording(tmp_path) / "run.json")
    assert run.settings is not None
    assert run.settings.batch_size == (told or 0)


def test_a_training_that_is_over_before_a_trace_is_due_says_how_to_get_one(tmp_path: Path) -> None:
    model().fit(X[:64], Y[:64], batch_size=16, verbose=0, callbacks=[gpuprobe.keras.Probe(tmp_path, verbose=False)])
    trace = load_record(Run, the_recording(tmp_path) / "run.json").trace
    assert trace is not None
    assert trace.missing is not None
    assert trace.missing.startswith("the training ended after 4 calls, before a trace was due; with trace_at=4")


def test_epochs_of_one_call_are_traced(tmp_path: Path) -> None:
    probe = gpuprobe.keras.Probe(tmp_path, verbose=False)
    model().fit(X[:32], Y[:32], batch_size=32, epochs=30, verbose=0, callbacks=[probe])
    trace = load_record(Run, the_recording(tmp_path) / "run.json").trace
    assert trace is not None
    assert trace.steps == 6


@pytest.mark.parametrize("told", [None, 8])
def test_where_the_batch_cannot_be_seen_the_verdict_says_what_to_give(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], told: int | None
) -> None:
    given = keras.Input((8,))
    net = Bare(given, keras.layers.Dense(1)(given))
    net.compile("sgd")
    signature = (tf.TensorSpec((None, 8)), tf.TensorSpec((None, 1)))
    batches = tf.data.Dataset.from_generator(lambda: ((X[:8], Y[:8]) for _ in range(60)), output_signature=signature)
    probe = gpuprobe.keras.Probe(tmp_path, trace_steps=0, batch_size=told)
    history = net.fit(batches, epochs=2, verbose=0, callbacks=[probe]).history
    assert ("samples_per_s" in history, "calls_per_s" in history) == (told is not None, told is None)
    assert capsys.readouterr().out.count("Probe(batch_size=...)") == (told is None)


def test_a_recording_says_which_worker_it_is_of_and_how_many_there_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tasks = {"cluster": {"worker": ["a:1", "b:1", "c:1"]}, "task": {"type": "worker", "index": 1}}
    monkeypatch.setenv("TF_CONFIG", json.dumps(tasks))
    made = NewRecording("job", tmp_path)
    made.save()
    spec = load_record(RunSpec, made.run_folder / "spec.json")
    assert (spec.task, spec.ranks) == ("worker1", 3)


def test_a_loop_of_ones_own_and_a_decorated_step(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    work = tf.function(lambda x: tf.reduce_sum(x @ tf.transpose(x)))
    with gpuprobe.window("mine", out=tmp_path / "w", batch_size=32, trace_at=3) as probe:
        for _ in range(60):
            work(X[:32])
            probe.step()
    run = load_record(Run, the_recording(tmp_path / "w") / "run.json")
    assert run.spec.batch_size == 32
    assert list(the_recording(tmp_path / "w").glob("trace/plugins/profile/*/*.xplane.pb"))
    assert "Verdict" in capsys.readouterr().out
    with pytest.raises(ZeroDivisionError), gpuprobe.window("broken", out=tmp_path / "b", verbose=False):
        raise ZeroDivisionError
    state = json.loads((the_recording(tmp_path / "b") / "run.json").read_text())["outcome"]["state"]
    assert state == "interrupted"
    step = gpuprobe.steps("decorated", out=tmp_path / "d", trace_steps=0, verbose=False)(work)
    assert float(step(X[:32])) == float(work(X[:32]))
    assert (the_recording(tmp_path / "d") / "events.jsonl").exists()
