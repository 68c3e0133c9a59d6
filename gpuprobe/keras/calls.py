"""Notes when a model predicts, evaluates or is saved, by wrapping its public methods."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from gpuprobe.keras.phases import Phases

SAVING = ("save", "save_weights")
# The default batch size of `predict` (Keras, `Model.predict`).
KERAS_BATCH_SIZE = 32
# So few batches cost less than the call around them.
FEW_BATCHES = 4
ONE_BATCH, FEW = "of one batch", "of a few batches"


def tell_calls(model: Any, process: Phases) -> None:
    """Wrap these methods of `keras.Model`."""
    for name in ("predict", "evaluate"):
        setattr(model, name, _told(getattr(model, name), name, process))
    for name in SAVING:
        setattr(model, name, _saved(getattr(model, name), f"Model.{name}", process))


def _told(call: Callable[..., Any], kind: Any, process: Phases) -> Callable[..., Any]:
    @functools.wraps(call)
    def told(model: Any, *args: Any, **kwargs: Any) -> Any:
        with process.call_of_keras(kind, _size(args, kwargs)):
            return call(model, *args, **kwargs)

    return told


def _saved(call: Callable[..., Any], name: str, process: Phases) -> Callable[..., Any]:
    @functools.wraps(call)
    def saved(*args: Any, **kwargs: Any) -> Any:
        with process.saving(name):
            return call(*args, **kwargs)

    return saved


def _size(args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
    """Return a note that a call has one batch or a few, empty where its data does not show it."""
    shape = getattr(args[0] if args else kwargs.get("x"), "shape", None)
    try:
        batches = shape[0] / (kwargs.get("batch_size") or KERAS_BATCH_SIZE) if shape else FEW_BATCHES + 1
    except TypeError:
        return ""
    return ONE_BATCH if batches <= 1 else FEW if batches <= FEW_BATCHES else ""
