"""Checks that a workload uses only Keras, as backends other than TensorFlow need; names the line where not."""

from __future__ import annotations

import inspect
import linecache
import re
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from gpuprobe.backends.known import TENSORFLOW, title
from gpuprobe.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import keras

Given = ParamSpec("Given")
Made = TypeVar("Made")
# Uses of TensorFlow in code by its usual names.
USES = re.compile(r"(?<![\w.])(tf|tensorflow)\.\w+")
# What Keras calls under the training: only there do operations of TensorFlow meet what another backend computes with.
METHODS = ("call", "train_step", "compute_loss", "compute_metrics")


def under(backend: str, make: Callable[Given, Made], *args: Given.args, **kwargs: Given.kwargs) -> Made:
    """Call the user's code. Raises InputError with its line where an operation of TensorFlow fails another backend."""
    try:
        return make(*args, **kwargs)
    except Exception as error:
        frames = [frame for one in _chain(error) for frame in reversed(traceback.extract_tb(one.__traceback__))]
        own = next((frame for frame in frames if USES.search(frame.line or "") and _is_users(frame.filename)), None)
        if backend == TENSORFLOW or own is None:
            raise
        raise InputError(_told(backend, own.filename, own.lineno or 0)) from error


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """Yield what was raised last, and what it was raised for or while handling."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def refuse_tensorflow_in(model: keras.Model, backend: str) -> None:
    """Raise InputError where a class of the user's that the model is made of computes with TensorFlow's operations."""
    if backend == TENSORFLOW:
        return
    for kind in dict.fromkeys(type(part) for part in (model, *model._flatten_layers())):
        for method in METHODS:
            use = _first_use(getattr(kind, method, None))
            if use:
                raise InputError(_told(backend, *use))


def _first_use(method: object) -> tuple[str, int] | None:
    function = inspect.unwrap(method) if callable(method) else None
    if not inspect.isfunction(function) or not _is_users(function.__code__.co_filename):
        return None
    try:
        lines, first = inspect.getsourcelines(function)
    except (OSError, TypeError):
        return None
    used = (number for number, line in enumerate(lines, first) if USES.search(line.partition("#")[0]))
    number = next(used, None)
    return (function.__code__.co_filename, number) if number is not None else None


def _is_users(file: str) -> bool:
    return "site-packages" not in Path(file).parts and Path(file).is_file()


def _told(backend: str, file: str, number: int) -> str:
    line = linecache.getline(file, number).strip()
    return (
        f"computes with TensorFlow, which {title(backend)} cannot: {Path(file).name}, line {number}: {line} "
        "(keras.ops has the same for all backends)"
    )
