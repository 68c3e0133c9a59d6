"""Reads those settings of Keras's own callbacks that decide how much time they take."""

from __future__ import annotations

from numbers import Integral
from typing import TYPE_CHECKING, Any

import keras

from gpuprobe.records import CallbackSetting

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

# The settings to read, by the class in `keras.callbacks`; subclasses have the same.
COSTLY_SETTINGS = {
    "ModelCheckpoint": ("save_freq", "save_weights_only", "save_best_only"),
    "BackupAndRestore": ("save_freq",),
    "TensorBoard": (
        "histogram_freq",
        "update_freq",
        "write_graph",
        "write_images",
        "embeddings_freq",
        "write_steps_per_second",
    ),
    "EarlyStopping": ("restore_best_weights",),
}
# The texts that Keras allows for such a setting; any other comes from the user, and is left out.
ALLOWED_TEXTS = frozenset(("epoch", "batch"))


def settings_of(callbacks: Iterable[Any]) -> tuple[CallbackSetting, ...]:
    """Return the costly settings of these callbacks; where two of one class differ, that setting is left out."""
    values_by_setting: dict[tuple[str, str], set[bool | int | str]] = {}
    for callback in callbacks:
        for name, value in _costly_settings(callback):
            values_by_setting.setdefault((type(callback).__name__, name), set()).add(value)
    return tuple(
        CallbackSetting(callback=callback, name=name, value=values.pop())
        for (callback, name), values in values_by_setting.items()
        if len(values) == 1
    )


def _costly_settings(callback: Any) -> Iterator[tuple[str, bool | int | str]]:
    for class_name, names in COSTLY_SETTINGS.items():
        if isinstance(callback, getattr(keras.callbacks, class_name, ())):
            for name in names:
                value = getattr(callback, name, None)
                if isinstance(value, bool) or (isinstance(value, str) and value in ALLOWED_TEXTS):
                    yield name, value
                elif isinstance(value, Integral):
                    yield name, int(value)
            if class_name == "TensorBoard" and (profiled_batches := _profiled_batches(callback)):
                yield "profile_batch", profiled_batches


def _profiled_batches(callback: Any) -> int:
    """Return how many batches a TensorBoard callback profiles; 0 for none, or where Keras renamed the attributes."""
    start, stop = (getattr(callback, name, None) for name in ("_start_batch", "_stop_batch"))
    if not isinstance(start, Integral) or not isinstance(stop, Integral) or start <= 0:
        return 0
    return int(stop) - int(start) + 1
