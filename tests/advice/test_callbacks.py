"""Advice on callbacks, saving and validation looks at their settings, and offers nothing that is so already."""

from __future__ import annotations

from typing import Any

import pytest

from gpuprobe.diagnosis.records import Finding
from gpuprobe.diagnosis.rules import whole_run as rules
from gpuprobe.evidence.whole_run_signals import whole_run_signals
from gpuprobe.records import Evidence, Signal
from gpuprobe.report.signals import signal_in_words
from tests.advice.test_advice import advice
from tests.helpers.whole_runs import breakdown

OFTEN, SELDOM = 300, 10


def found(part: str, name: str, times: int, **settings: Any) -> Finding:
    """Diagnose a run of ten epochs and 600 steps whose part took a third; `settings` are those of its callback."""
    steps: dict[str, Any] = {"steps": (60.0, 600), "epoch_start": (0.1, 10), "fit": (0.1, 1), "first_call": (1.0, 1)}
    given = {f"setting.{name}.{setting}" if name else setting: value for setting, value in settings.items()}
    signals = [Signal(name=setting, unit="", source="fit", value=value) for setting, value in given.items()]
    parts: dict[str, Any] = {} if name else {part: (30.0, times)}
    run = breakdown(named=(part, name, 30.0, times) if name else None, **steps, **parts)
    (only,) = rules.decide(Evidence(signals=(*whole_run_signals(run).signals, *signals)))[0]
    return only


def test_weights_alone_are_offered_only_where_more_is_saved() -> None:
    alone = found("checkpoint", "ModelCheckpoint", OFTEN, save_freq=2, save_weights_only=True)
    whole = found("checkpoint", "ModelCheckpoint", OFTEN, save_freq=2, save_weights_only=False)
    assert "weights" not in alone.fix + alone.code
    assert "save_weights_only=True" in whole.fix
    assert "- keras.callbacks.ModelCheckpoint(path, save_freq=2)" in alone.code
    assert '+ keras.callbacks.ModelCheckpoint(path, save_freq="epoch")' in alone.code
    assert "`save_freq` of `ModelCheckpoint`: 2" in [signal_in_words(signal) for signal in alone.evidence]
    assert "weights" not in found("checkpoint", "BackupAndRestore", OFTEN, save_freq=2).fix
    assert "weights alone" not in found("checkpoint", "Model.save_weights", OFTEN).fix
    assert "weights alone (save_weights)" in found("checkpoint", "Model.save", OFTEN).fix


def test_what_is_saved_once_an_epoch_is_saved_more_rarely() -> None:
    each = found("checkpoint", "ModelCheckpoint", SELDOM, save_freq="epoch", save_best_only=False)
    best = found("checkpoint", "ModelCheckpoint", SELDOM, save_freq="epoch", save_best_only=True)
    counted = found("checkpoint", "ModelCheckpoint", SELDOM, save_freq=60)
    assert "save_freq=5 * steps_per_epoch" in each.code
    assert ("save_best_only" in each.fix, "save_best_only" in best.fix) == (True, False)
    assert "save_freq=300)" in counted.code
    assert "+ model.save(path)" not in found("checkpoint", "Mine", SELDOM).code
    assert "class Mine" in found("checkpoint", "Mine", SELDOM).code


@pytest.mark.parametrize(
    ("settings", "times", "said", "unsaid"),
    [
        ({"histogram_freq": 1, "update_freq": "epoch"}, SELDOM, "histogram_freq=0", "update_freq"),
        ({"histogram_freq": 1, "update_freq": 1}, OFTEN, 'update_freq="epoch"', "histogram_freq"),
        ({"histogram_freq": 0, "update_freq": "epoch", "profile_batch": 20}, OFTEN, "profile_batch=0", "histogram"),
        ({"histogram_freq": 0, "update_freq": "epoch"}, OFTEN, "or leave it out", "_freq"),
    ],
)
def test_tensorboard_is_told_to_write_less_of_what_it_writes(
    settings: dict[str, Any], times: int, said: str, unsaid: str
) -> None:
    board = found("callback", "TensorBoard", times, **settings)
    assert said in board.fix
    assert unsaid not in board.fix + board.code


def test_the_code_of_keras_is_not_the_scripts_to_change() -> None:
    assert "verbose=2" in found("callback", "ProgbarLogger", OFTEN).code
    assert "LambdaCallback(on_epoch_end=work)" in found("callback", "LambdaCallback", OFTEN).code
    for name in ("CSVLogger", "TensorBoard", "EarlyStopping", "LambdaCallback"):
        assert "class" not in found("callback", name, SELDOM).code
    assert "restore_best_weights=False" in found("callback", "EarlyStopping", 10, restore_best_weights=True).code
    assert "class Mine" in found("callback", "Mine", SELDOM).code


def test_validation_is_made_rarer_than_it_is() -> None:
    assert "validation_freq=5)" in found("validation", "", SELDOM).code
    rare = found("validation", "", SELDOM, validation_freq=2.0, validation_steps=20.0)
    assert "validation_freq=10)" in rare.code
    assert "validation_freq=10, it is 2" in rare.fix
    assert "validation_steps, it is 20" in rare.fix
    assert "validation_freq" not in found("evaluate", "", SELDOM).fix


def test_between_steps_only_what_comes_with_each_batch_is_made_less() -> None:
    def between(callbacks: str, **known: Any) -> str:
        return advice("host_between_steps", device_kind="gpu", verbose=0.0, own_callbacks=callbacks, **known).code

    checkpoint, board = "setting.ModelCheckpoint.save_freq", "setting.TensorBoard.update_freq"
    assert "save_freq=2" in between("ModelCheckpoint, Mine", **{checkpoint: 2.0})
    rare = between("ModelCheckpoint, Mine", **{checkpoint: "epoch"})
    assert "class Mine" in rare
    assert "ModelCheckpoint" not in rare
    assert "class" not in between("Mine, Ours"), "nothing tells which of them"
    assert 'update_freq="epoch"' in between("TensorBoard", **{board: 1.0})
    none = advice("host_between_steps", device_kind="gpu", verbose=0.0, own_callbacks="", steps_per_execution=8.0)
    assert "what Keras itself does" in none.fix
    assert not none.code
