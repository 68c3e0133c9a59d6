"""Reads the arguments of a running `fit` call from the stack, since Keras does not pass them to callbacks."""

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
KERAS_CALLBACKS = (keras.callbacks.History, keras.callbacks.ProgbarLogger)
# `auto` shows a progress bar.
AUTO = 1


def read_fit_arguments(model: Any, specs: Iterable[Any], own_callback_class: type) -> Given:
    """Read the arguments of the enclosing `fit` call from the stack; `specs` are the tensor specs of a batch.

    Callbacks of the class `own_callback_class` are left out. Where no such call is found, only the samples are
    described.
    """
    variables = _variables_of_fit(model)
    data, verbose = variables.get("x"), variables.get("verbose")
    callbacks = _user_callbacks(variables["callbacks"], own_callback_class) if "callbacks" in variables else None
    return Given(
        data_kind=_data_kind(data) if data is not None else "",
        data_workers=_int_or_none(getattr(data, "workers", None)) if isinstance(data, keras.utils.PyDataset) else None,
        epochs=_int_or_none(variables.get("epochs")),
        verbose=AUTO if verbose == "auto" else _int_or_none(verbose),
        callbacks=None if callbacks is None else tuple(type(callback).__name__ for callback in callbacks),
        callback_settings=settings_of(callbacks or ()),
        validation_freq=_int_or_none(variables.get("validation_freq")) if _validates(variables) else None,
        validation_steps=_int_or_none(variables.get("validation_steps")),
        samples_vary=_samples_vary(specs),
    )


def _int_or_none(value: Any) -> int | None:
    """Return a whole number as an `int`; None for anything else."""
    return int(value) if isinstance(value, Integral) else None


def _user_callbacks(callbacks_argument: Any, own_callback_class: type) -> list[Any]:
    """Return the user's callbacks, without those that Keras has added."""
    callbacks = getattr(callbacks_argument, "callbacks", callbacks_argument) or []
    return [callback for callback in callbacks if not isinstance(callback, (*KERAS_CALLBACKS, own_callback_class))]


def _validates(variables: Mapping[str, Any]) -> bool:
    return variables.get("validation_data") is not None or bool(variables.get("validation_split"))


def _variables_of_fit(model: Any) -> Mapping[str, Any]:
    """Return the local variables of the running `fit` call of this thread; empty where there is none."""
    frame = sys._getframe()
    while frame is not None:
        if frame.f_code.co_name == "fit" and frame.f_locals.get("self") is model and "epochs" in frame.f_locals:
            return frame.f_locals
        if frame.f_back is None:
            break
        frame = frame.f_back
    return {}


def _data_kind(data: Any) -> str:
    if isinstance(data, keras.utils.PyDataset):
        return "a PyDataset"
    if hasattr(data, "element_spec"):
        return "a tf.data dataset"
    return "a generator" if hasattr(data, "__next__") else "arrays"


def _samples_vary(specs: Iterable[Any]) -> bool | None:
    """Whether samples may differ in shape: a spec leaves a dimension open besides the first, that of the batch.

    None where no spec has a shape.
    """
    shapes = [shape for spec in specs if (shape := getattr(spec, "shape", None)) is not None]
    if not shapes:
        return None
    return any(getattr(shape, "rank", 0) is None or None in tuple(shape)[1:] for shape in shapes)
