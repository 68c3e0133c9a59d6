"""Times the calls by which a model predicts, evaluates or is saved, by wrapping its public methods."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from gpuprobe.keras.process_wall import ProcessWall

SAVING = ("save", "save_weights")
# The default batch size of `predict` (Keras, `Model.predict`).
KERAS_BATCH_SIZE = 32
# Up to so many batches cost less than the call around them.
FEW_BATCHES = 4
ONE_BATCH, FEW = "of one batch", "of a few batches"


def time_model_calls(model: Any, wall: ProcessWall) -> None:
    """Wrap these methods of the class `keras.Model`, so that `wall` counts their time."""
    for name in ("predict", "evaluate"):
        setattr(model, name, _timed_call(getattr(model, name), name, wall))
    for name in SAVING:
        setattr(model, name, _timed_save(getattr(model, name), f"Model.{name}", wall))


def _timed_call(method: Callable[..., Any], kind: Any, wall: ProcessWall) -> Callable[..., Any]:
    @functools.wraps(method)
    def timed(model: Any, *args: Any, **kwargs: Any) -> Any:
        with wall.call_of_keras(kind, _batches_note(args, kwargs)):
            return method(model, *args, **kwargs)

    return timed


def _timed_save(method: Callable[..., Any], name: str, wall: ProcessWall) -> Callable[..., Any]:
    @functools.wraps(method)
    def timed(*args: Any, **kwargs: Any) -> Any:
        with wall.saving(name):
            return method(*args, **kwargs)

    return timed


def _batches_note(args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
    """Return a note that the data of a call is one batch or a few, empty where it is more or not known."""
    shape = getattr(args[0] if args else kwargs.get("x"), "shape", None)
    try:
        batches = shape[0] / (kwargs.get("batch_size") or KERAS_BATCH_SIZE) if shape else FEW_BATCHES + 1
    except TypeError:
        return ""
    return ONE_BATCH if batches <= 1 else FEW if batches <= FEW_BATCHES else ""
