"""Advice on callbacks, saving and validation, by the settings that they have: never what is set already."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeGuard

from gpuprobe import wording
from gpuprobe.evidence.run import SETTING
from gpuprobe.whatif.run_savings import often, seconds_of

if TYPE_CHECKING:
    from gpuprobe.records import Evidence

# Keras's own callbacks: their code is not the script's to change, their settings are.
OF_KERAS = frozenset(
    (
        "BackupAndRestore",
        "CSVLogger",
        "EarlyStopping",
        "History",
        "LambdaCallback",
        "LearningRateScheduler",
        "ModelCheckpoint",
        "ProgbarLogger",
        "ReduceLROnPlateau",
        "RemoteMonitor",
        "SwapEMAWeights",
        "TensorBoard",
        "TerminateOnNaN",
    )
)
ONCE_AN_EPOCH = (
    "  class {name}(keras.callbacks.Callback):\n"
    "-     def on_train_batch_end(self, batch, logs=None):\n"
    "+     def on_epoch_end(self, epoch, logs=None):"
)
LAMBDA_AN_EPOCH = (
    "- keras.callbacks.LambdaCallback(on_train_batch_end=work)\n+ keras.callbacks.LambdaCallback(on_epoch_end=work)"
)
EVERY_FIFTH = (
    "  class {name}(keras.callbacks.Callback):\n"
    "      def on_epoch_end(self, epoch, logs=None):\n"
    "+         if epoch % 5:\n"
    "+             return"
)
QUIET_FIT = "- model.fit(ds)\n+ model.fit(ds, verbose=2)"
# The names of a model's own saving, without a callback, and whether each saves the weights alone.
BY_ITSELF = {"Model.save": False, "Model.save_weights": True}
SAVE_IN_LOOP = "- {call}(path)\n+ if step % 500 == 0:\n+     {call}(path)"
RARER, EACH_EPOCH, FACTOR = "5 * steps_per_epoch", '"epoch"', 5
# What each costly setting of a TensorBoard callback may be instead, those of each batch first.
QUIETER: dict[str, bool | int | str] = {
    "update_freq": "epoch",
    "write_steps_per_second": False,
    "histogram_freq": 0,
    "write_images": False,
    "embeddings_freq": 0,
    "profile_batch": 0,
}
OF_EACH_BATCH = ("update_freq", "write_steps_per_second")


def setting(known: Evidence, callback: str, name: str) -> bool | int | str | None:
    """Return a setting of a callback; None where it was not recorded."""
    signal = known.get(f"{SETTING}.{callback}.{name}")
    value = signal.value if signal is not None else None
    return int(value) if isinstance(value, float) else value


def settings_of(known: Evidence, callback: str) -> tuple[str, ...]:
    """Return the names of the signals that are settings of a callback, without those that are off or at their least."""
    own = (signal for signal in known.signals if signal.name.startswith(f"{SETTING}.{callback}."))
    return tuple(signal.name for signal in own if signal.value and signal.value != "epoch")


def save_less_often(known: Evidence) -> tuple[str, str]:
    """Return how to save less than now, and the code, for what saves the model and the settings that it has."""
    name, frequent = known.text("run_name.checkpoint"), often(known, "checkpoint")
    freq = setting(known, name, "save_freq")
    when = "once in some hundred steps" if name in BY_ITSELF else "once an epoch"
    now = f" (it has save_freq={_code(freq)})" if freq is not None else ""
    first = f"Save less often, {when}{now}" if frequent else f"Save less often than now{now}"
    fix = f"{wording.listing([first, *_lighter(known, name, frequent), 'onto a faster disk'], 'or')}."
    if name in BY_ITSELF:
        return fix, SAVE_IN_LOOP.format(call=name.replace("Model", "model"))
    if name not in OF_KERAS and freq is None:
        return fix, (ONCE_AN_EPOCH if frequent else EVERY_FIFTH).format(name=name or "Saving")
    rarer = EACH_EPOCH if frequent else str(FACTOR * freq) if _is_number(freq) else RARER
    return fix, _replaced(name, "path", "save_freq", "n" if frequent and freq is None else freq, rarer)


def _lighter(known: Evidence, name: str, frequent: bool) -> list[str]:
    """Return what else would make saving cheaper, as far as it is not so already."""
    alone = BY_ITSELF.get(name, setting(known, name, "save_weights_only"))
    if name == "BackupAndRestore" or alone is True:
        ways = []
    elif name in BY_ITSELF:
        ways = ["the weights alone (save_weights)"]
    else:
        ways = ["the weights alone (save_weights_only=True)" if alone is False else "the weights alone"]
    if not frequent and setting(known, name, "save_best_only") is False:
        ways.append("only when the model became better (save_best_only=True)")
    return ways


def validate_less(known: Evidence) -> tuple[str, str]:
    """Return how to validate less than now, and the code."""
    if seconds_of(known, "evaluate") > seconds_of(known, "validation"):
        return (
            "Call evaluate less often, on fewer samples, or in larger batches (batch_size).",
            "- model.evaluate(x_val, y_val)\n+ if epoch % 5 == 0:\n+     model.evaluate(x_val, y_val)",
        )
    freq, steps = known.number("validation_freq"), known.number("validation_steps")
    rarer = round(FACTOR * (freq or 1))
    seldom = f"Validate less often (validation_freq={rarer}{f', it is {freq:.0f}' if freq and freq > 1 else ''})"
    fewer = f"on less (validation_steps{f', it is {steps:.0f}' if steps else ''})"
    before = f", validation_freq={freq:.0f}" if freq and freq > 1 else ""
    return (
        f"{seldom}, {fewer}, or in larger batches (validation_batch_size).",
        f"- model.fit(ds, validation_data=val{before})\n+ model.fit(ds, validation_data=val, validation_freq={rarer})",
    )


def call_back_less_often(known: Evidence, name: str) -> tuple[str, str]:
    """Return how the callback of that name could do less, and the code."""
    frequent = often(known, "callback")
    if name == "ProgbarLogger":
        return "The progress bar is written again for each batch: verbose=2 writes one line an epoch.", QUIET_FIT
    if name == "TensorBoard":
        return _quieter(known, frequent)
    if name == "EarlyStopping" and setting(known, name, "restore_best_weights") is True:
        return (
            "`EarlyStopping` copies all weights each time the model becomes better: restore_best_weights=False, and a "
            "`ModelCheckpoint` with save_best_only=True where the best weights are needed.",
            _replaced(name, "", "restore_best_weights", True, "False"),
        )
    less = "on fewer samples, or every fifth epoch"
    fix = (
        f"Have `{name}` do less, or less often: {'once an epoch, or once in a hundred batches' if frequent else less}."
    )
    if name == "LambdaCallback" and frequent:
        return fix, LAMBDA_AN_EPOCH
    return fix, "" if name in OF_KERAS else (ONCE_AN_EPOCH if frequent else EVERY_FIFTH).format(name=name)


def _quieter(known: Evidence, frequent: bool) -> tuple[str, str]:
    """Return how a TensorBoard callback could write less, and the code.

    Of its costly settings, those of each batch if it is `frequent` and has any, else those of each epoch.
    """
    now = {name: setting(known, "TensorBoard", name) for name in QUIETER}
    costly = [name for name, value in now.items() if value not in (None, QUIETER[name])]
    of_batch = [name for name in costly if name in OF_EACH_BATCH]
    costly = of_batch if frequent and of_batch else [name for name in costly if name not in OF_EACH_BATCH] or costly
    if not costly:
        return "Have `TensorBoard` write less, or leave it out.", ""
    words = wording.listing([f"{name}={_code(QUIETER[name])} (it is {_code(now[name])})" for name in costly])
    before, after = ("".join(f", {name}={_code(of[name])}" for name in costly) for of in (now, QUIETER))
    return (
        f"Have `TensorBoard` write less: {words}.",
        f"- keras.callbacks.TensorBoard(logs{before})\n+ keras.callbacks.TensorBoard(logs{after})",
    )


def in_each_batch(known: Evidence, callbacks: tuple[str, ...]) -> str:
    """Return the code that has one of these callbacks do less in each batch; empty where it is not known which one."""
    for name in callbacks:
        freq = setting(known, name, "save_freq")
        if _is_number(freq) or (freq is None and name == "ModelCheckpoint"):
            return _replaced(name, "path", "save_freq", freq if freq is not None else "n", EACH_EPOCH)
        if name == "TensorBoard" and setting(known, name, "update_freq") not in (None, "epoch"):
            return _quieter(known, frequent=True)[1]
    own = [name for name in callbacks if name not in OF_KERAS]
    # Of several, nothing tells here which one takes the time.
    return ONCE_AN_EPOCH.format(name=own[0]) if len(own) == 1 else ""


def _replaced(name: str, first: str, argument: str, before: bool | int | str | None, after: str) -> str:
    """Return the diff of one argument of a callback; `before` is None where it was not given."""
    head = f"{first}, " if first else ""
    old = f"{head}{argument}={_code(before)}" if before not in (None, "epoch") else first
    return f"- keras.callbacks.{name}({old})\n+ keras.callbacks.{name}({head}{argument}={after})"


def _code(value: bool | int | str | None) -> str:
    return f'"{value}"' if value in {"epoch", "batch"} else str(value)


def _is_number(value: bool | int | str | None) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)
