"""Attaches the Probe to an unchanged script, through Python's start-up hook (`sitecustomize`).

`hook_environment` puts a folder with a `sitecustomize.py` in front of the child's PYTHONPATH. That file removes itself
from the path, runs the user's own `sitecustomize`, and calls `attach`. Once the script imports Keras, `Model.fit` gets
the callback, and custom training loops are watched too. Neither Keras nor TensorFlow is imported before the script
imports it.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import importlib.abc
import importlib.machinery
import importlib.util
import inspect
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from types import ModuleType

    from gpuprobe.keras.options import ProbeOptions

# Environment variables for the child. The folder for recordings; the hook does nothing where it is unset.
FOLDER = "GPUPROBE_ATTACH"
# The PYTHONPATH that the user had set, which the hook restores; empty where it was unset.
PATH_BEFORE = "GPUPROBE_PYTHONPATH"
# The folder that holds this package, for a child whose interpreter has no gpuprobe installed.
HOME = "GPUPROBE_HOME"
STARTUP = Path(__file__).with_name("startup")
# The names of recordings: of a `fit`, and of a custom loop.
FIT, LOOP = "fit", "loop"
# Recordings per process at most: a script may call `fit` once for each epoch.
MOST_TRAININGS = 8
# The default batch size of `fit` on arrays (Keras, `Model.fit`).
KERAS_BATCH_SIZE = 32


def hook_environment(environ: Mapping[str, str], folder: str | os.PathLike[str]) -> dict[str, str]:
    """Return the environment for a child process whose trainings leave recordings in `folder`.

    The child restores PYTHONPATH and removes gpuprobe's variables as it starts, so its own children are not watched.
    """
    python_path = environ.get("PYTHONPATH", "")
    return {
        **environ,
        FOLDER: str(Path(folder).resolve()),
        PATH_BEFORE: python_path,
        HOME: str(Path(__file__).resolve().parent.parent.parent),
        "PYTHONPATH": os.pathsep.join([str(STARTUP), python_path]) if python_path else str(STARTUP),
    }


def attach(folder: str) -> None:
    """Patch Keras now if it is imported, else when it is; stay attached through `os.exec`.

    A script may restart itself by `os.execv` or `os.execve`, to set a variable before TensorFlow loads.
    """
    for name in ("execv", "execve"):
        setattr(os, name, _attached_exec(getattr(os, name), folder))
    keras = sys.modules.get("keras")
    if keras is not None and hasattr(keras, "Model"):
        patch(keras, folder)
    else:
        sys.meta_path.insert(0, _WhenKerasIsImported(folder))


def _attached_exec(exec_function: Callable[..., Any], folder: str) -> Callable[..., Any]:
    """Return `os.execv` or `os.execve`, wrapped so that it passes the hook on in the environment."""

    @functools.wraps(exec_function)
    def attached_exec(path: Any, arguments: Any, environ: Any = None) -> Any:
        variables = os.environ if environ is None else environ
        return execve(path, arguments, hook_environment({**variables}, folder))

    execve = os.execve
    return attached_exec


def patch(keras: ModuleType, folder: str) -> None:
    """Patch Keras so that the first trainings leave recordings in `folder`, except those that have a Probe already."""
    from gpuprobe.keras.custom_loops import CustomLoops
    from gpuprobe.keras.model_calls import time_model_calls
    from gpuprobe.keras.process_wall import process_wall
    from gpuprobe.recording import WALL_FILES

    keras_fit = keras.Model.fit
    if getattr(keras_fit, "gpuprobe", False):
        return
    _note_keras_seen(folder, keras.backend.backend())
    wall = process_wall()
    wall.keras_loaded()
    wall.save_to(Path(folder) / WALL_FILES.format(os.getpid()))
    atexit.register(wall.finish)
    signature, recordings_left = inspect.signature(keras_fit), iter(range(MOST_TRAININGS))
    failed = False

    def options_of_next(name: str) -> ProbeOptions | None:
        return None if next(recordings_left, None) is None else _options(folder, name)

    loops = CustomLoops(lambda: options_of_next(LOOP), _print_failure)

    @functools.wraps(keras_fit)
    def probed_fit(*args: Any, **kwargs: Any) -> Any:
        nonlocal failed
        with loops.without_steps(), wall.call_of_keras("fit"):
            if not failed:
                try:
                    args, kwargs = _with_probe(signature, args, kwargs, lambda: options_of_next(FIT))
                except Exception as error:  # noqa: BLE001 - nothing of ours may break a training
                    failed = True
                    _print_failure(error)
            try:
                return keras_fit(*args, **kwargs)
            except Exception as error:
                _note_failure(folder, error, args)
                raise

    probed_fit.gpuprobe = True  # type: ignore[attr-defined]
    keras.Model.fit = probed_fit
    loops.hook(keras)
    time_model_calls(keras.Model, wall)


def _note_failure(folder: str, error: Exception, fit_arguments: tuple[Any, ...]) -> None:
    """Write a file saying that `fit` failed, with the id of the bug where it is a known one. Errors are ignored."""
    from gpuprobe.known_bugs import recognised
    from gpuprobe.recording import FIT_FAILED_FILE

    with contextlib.suppress(Exception):
        bug = recognised(error, fit_arguments[0])
        (Path(folder) / FIT_FAILED_FILE).write_text(bug.id if bug else "")


def _note_keras_seen(folder: str, backend: str) -> None:
    """Write a file saying that Keras was imported, with its backend. A failure to write it is ignored."""
    from gpuprobe.recording import KERAS_SEEN

    with contextlib.suppress(OSError):
        Path(folder).mkdir(parents=True, exist_ok=True)
        (Path(folder) / KERAS_SEEN).write_text(backend)


def _with_probe(
    signature: inspect.Signature,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    options: Callable[[], ProbeOptions | None],
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return the arguments of a `fit` call with a Probe added to the callbacks, unless the user gave one."""
    import keras

    from gpuprobe.keras.attached import AttachedProbe
    from gpuprobe.keras.callback import Probe

    try:
        bound = signature.bind(*args, **kwargs)
    except TypeError:
        # Wrong arguments: `fit` itself raises the error.
        return args, kwargs
    callbacks = bound.arguments.get("callbacks")
    if isinstance(callbacks, keras.callbacks.CallbackList):
        if not any(isinstance(callback, Probe) for callback in callbacks.callbacks):
            probe = AttachedProbe.next(options)
            probe.set_model(bound.args[0])
            probe.set_params(callbacks.params)
            callbacks.append(probe)
        return args, kwargs
    user_callbacks = [] if callbacks is None else keras.tree.flatten(callbacks)
    if any(isinstance(callback, Probe) for callback in user_callbacks):
        return args, kwargs
    bound.arguments["callbacks"] = [AttachedProbe.next(options, _batch_size(bound.arguments)), *user_callbacks]
    return bound.args, bound.kwargs


def _batch_size(arguments: Mapping[str, Any]) -> int | None:
    """Return the batch size of a `fit` on arrays, None for data that comes in batches (`tf.data`, generators)."""
    import keras

    tensors = keras.tree.flatten(arguments.get("x"))
    arrays = tensors and all(getattr(leaf, "shape", ()) for leaf in tensors)
    # Fewer samples than the batch size are one batch.
    return min(arguments.get("batch_size") or KERAS_BATCH_SIZE, int(tensors[0].shape[0])) if arrays else None


def _options(folder: str, name: str) -> ProbeOptions:
    """Return the options for the next training's recording."""
    from gpuprobe.keras.options import ProbeOptions
    from gpuprobe.keras.watch_phases import BRIEF_WINDOW_S, EARLY_TRACE_AT

    has_recording = any(Path(folder).glob("*/runs/*"))
    has_trace = any(Path(folder).glob("*/runs/*/trace"))
    options = ProbeOptions(name=name, out=folder, trace_at=EARLY_TRACE_AT if has_recording and not has_trace else None)
    return options if name == FIT else replace(options, window_s=BRIEF_WINDOW_S)


class _WhenKerasIsImported(importlib.abc.MetaPathFinder):
    """An import finder that patches Keras once it is loaded; it leaves the finding to the other finders."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._asking = False

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """Return the spec of `keras`, whose loader then patches it; TensorFlow asks for it without loading it, too."""
        if name != "keras" or self._asking:
            return None
        self._asking = True
        try:
            spec = importlib.util.find_spec(name)
        finally:
            self._asking = False
        if spec is not None and spec.loader is not None and hasattr(spec.loader, "exec_module"):
            spec.loader.exec_module = self._patching(spec.loader.exec_module)  # type: ignore[assignment,method-assign]
        return spec

    def _patching(self, exec_module: Callable[[ModuleType], None]) -> Callable[[ModuleType], None]:
        def load_and_patch(module: ModuleType) -> None:
            with contextlib.suppress(ValueError):
                sys.meta_path.remove(self)
            exec_module(module)
            try:
                patch(module, self._folder)
            except Exception as error:  # noqa: BLE001 - nothing of ours may break a training
                _print_failure(error)

        return load_and_patch


def _print_failure(error: Exception) -> None:
    sys.stderr.write(f"gpuprobe: could not attach ({type(error).__name__}: {error}); the training goes on\n")
