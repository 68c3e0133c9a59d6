"""The settings of Keras's own callbacks that decide how much time they take."""

from __future__ import annotations

from numbers import Integral
from typing import TYPE_CHECKING, Any

import keras

from gpuprobe.records import CallbackSetting

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

# By the class; its subclasses have the same.
COSTLY = {
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
# The texts that such a setting may have; any other is somebody's own, and is left out.
TEXTS = frozenset(("epoch", "batch"))


def settings_of(callbacks: Iterable[Any]) -> tuple[CallbackSetting, ...]:
    """Return the costly settings of these callbacks; where two of one class differ in one, that one is left out."""
    found: dict[tuple[str, str], set[bool | int | str]] = {}
    for callback in callbacks:
        for name, value in _read(callback):
            found.setdefault((type(callback).__name__, name), set()).add(value)
    return tuple(
        CallbackSetting(callback=callback, name=name, value=values.pop())
        for (callback, name), values in found.items()
        if len(values) == 1
    )


def _read(callback: Any) -> Iterator[tuple[str, bool | int | str]]:
    for kind, names in COSTLY.items():
        if isinstance(callback, getattr(keras.callbacks, kind, ())):
            for name in names:
                value = getattr(callback, name, None)
                if isinstance(value, bool) or (isinstance(value, str) and value in TEXTS):
                    yield name, value
                elif isinstance(value, Integral):
                    yield name, int(value)
            if kind == "TensorBoard" and (batches := _profiled(callback)):
                yield "profile_batch", batches


def _profiled(callback: Any) -> int:
    """Return how many batches a TensorBoard callback profiles; 0 for none, or where Keras no longer tells it so."""
    start, stop = (getattr(callback, name, None) for name in ("_start_batch", "_stop_batch"))
    if not isinstance(start, Integral) or not isinstance(stop, Integral) or start <= 0:
        return 0
    return int(stop) - int(start) + 1
