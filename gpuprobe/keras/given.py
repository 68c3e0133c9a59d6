"""The arguments of a `fit` call, which Keras does not pass to callbacks, and the shape of its samples."""

from __future__ import annotations

import sys
from numbers import Integral
from typing import TYPE_CHECKING, Any

import keras

from gpuprobe.keras.callback_settings import settings_of
from gpuprobe.records import Given

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

# Callbacks that Keras adds itself.
OF_KERAS = (keras.callbacks.History, keras.callbacks.ProgbarLogger)
# `auto` shows a progress bar.
AUTO = 1


def given_to_fit(model: Any, leaves: Iterable[Any], ours: type) -> Given:
    """Read the arguments of the enclosing `fit` call from the stack; `leaves` are the tensor specs of a batch.

    Callbacks of the class `ours` are left out. Where no such call is found, only the samples are described.
    """
    arguments = _arguments(model)
    data, verbose = arguments.get("x"), arguments.get("verbose")
    own = _own_callbacks(arguments["callbacks"], ours) if "callbacks" in arguments else None
    return Given(
        data_kind=_kind(data) if data is not None else "",
        data_workers=_whole(getattr(data, "workers", None)) if isinstance(data, keras.utils.PyDataset) else None,
        epochs=_whole(arguments.get("epochs")),
        verbose=AUTO if verbose == "auto" else _whole(verbose),
        callbacks=None if own is None else tuple(type(callback).__name__ for callback in own),
        callback_settings=settings_of(own or ()),
        validation_freq=_whole(arguments.get("validation_freq")) if _validates(arguments) else None,
        validation_steps=_whole(arguments.get("validation_steps")),
        samples_vary=_vary(leaves),
    )


def _whole(value: Any) -> int | None:
    """Return a whole number as an `int`; None for anything else."""
    return int(value) if isinstance(value, Integral) else None


def _own_callbacks(given: Any, ours: type) -> list[Any]:
    """Return the user's callbacks; Keras has added its own by now."""
    callbacks = getattr(given, "callbacks", given) or []
    return [callback for callback in callbacks if not isinstance(callback, (*OF_KERAS, ours))]


def _validates(arguments: Mapping[str, Any]) -> bool:
    return arguments.get("validation_data") is not None or bool(arguments.get("validation_split"))


def _arguments(model: Any) -> Mapping[str, Any]:
    """Return the local variables of the running `fit` call of this thread; empty where there is none."""
    frame = sys._getframe()
    while frame is not None:
        if frame.f_code.co_name == "fit" and frame.f_locals.get("self") is model and "epochs" in frame.f_locals:
            return frame.f_locals
        if frame.f_back is None:
            break
        frame = frame.f_back
    return {}


def _kind(data: Any) -> str:
    if isinstance(data, keras.utils.PyDataset):
        return "a PyDataset"
    if hasattr(data, "element_spec"):
        return "a tf.data dataset"
    return "a generator" if hasattr(data, "__next__") else "arrays"


def _vary(leaves: Iterable[Any]) -> bool | None:
    """Whether the specs leave a dimension open other than the first, the batch: then samples may differ in shape.

    None where no part has a shape.
    """
    shapes = [shape for leaf in leaves if (shape := getattr(leaf, "shape", None)) is not None]
    if not shapes:
        return None
    return any(getattr(shape, "rank", 0) is None or None in tuple(shape)[1:] for shape in shapes)
