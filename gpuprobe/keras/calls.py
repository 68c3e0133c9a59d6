"""Notes when a model predicts, evaluates or is saved, by wrapping its public methods."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from gpuprobe.keras.phases import Phases

SAVING = ("save", "save_weights")
# What `predict` takes for a batch where it is given none (its documentation).
KERAS_BATCH_SIZE = 32
ONE_BATCH = "of one batch"


def tell_calls(model: Any, process: Phases) -> None:
    """Enclose these methods of the class of all models from now on."""
    for name in ("predict", "evaluate"):
        setattr(model, name, _told(getattr(model, name), name, process))
    for name in SAVING:
        setattr(model, name, _saved(getattr(model, name), f"Model.{name}", process))


def _told(call: Callable[..., Any], kind: Any, process: Phases) -> Callable[..., Any]:
    @functools.wraps(call)
    def told(model: Any, *given: Any, **named: Any) -> Any:
        with process.call_of_keras(kind, _size(given, named)):
            return call(model, *given, **named)

    return told


def _saved(call: Callable[..., Any], name: str, process: Phases) -> Callable[..., Any]:
    @functools.wraps(call)
    def saved(*given: Any, **named: Any) -> Any:
        with process.saving(name):
            return call(*given, **named)

    return saved


def _size(given: tuple[Any, ...], named: dict[str, Any]) -> str:
    """Say that a call is of one batch, where its data shows it."""
    shape = getattr(given[0] if given else named.get("x"), "shape", None)
    try:
        return ONE_BATCH if shape and shape[0] <= (named.get("batch_size") or KERAS_BATCH_SIZE) else ""
    except TypeError:
        return ""
