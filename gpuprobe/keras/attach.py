"""Attaches the Probe to a script as it is, through Python's own start-up hook.

`hook_environment` puts a folder with a `sitecustomize.py` in front of the child's PYTHONPATH. That file takes itself
out again, runs the user's own `sitecustomize`, and calls `attach` here; as soon as Keras is imported, `Model.fit` gets
the callback, and loops of one's own are watched too. Light: neither Keras nor TensorFlow is imported before the script
does it.
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

    from gpuprobe.keras.session import ProbeOptions

# Where recordings go; its presence is what the hook acts on.
FOLDER = "GPUPROBE_ATTACH"
# The PYTHONPATH that the child is to have, as it was before; empty where there was none.
PATH_BEFORE = "GPUPROBE_PYTHONPATH"
# Where this very package lies, for a child whose interpreter does not know it.
HOME = "GPUPROBE_HOME"
STARTUP = Path(__file__).with_name("startup")
# What recordings are named after.
FIT, LOOP = "fit", "loop"
# A script that calls `fit` for each epoch would else get a recording, a sampler and a trace for each.
MOST_TRAININGS = 8
# What `fit` takes for arrays where it is given none (its documentation).
KERAS_BATCH_SIZE = 32


def hook_environment(environ: Mapping[str, str], folder: str | os.PathLike[str]) -> dict[str, str]:
    """Return the environment for a child that is to be attached to; recordings go to the folder.

    The child restores PYTHONPATH and drops our variables as it starts, so that its own children are left alone.
    """
    before = environ.get("PYTHONPATH", "")
    return {
        **environ,
        FOLDER: str(Path(folder).resolve()),
        PATH_BEFORE: before,
        HOME: str(Path(__file__).resolve().parent.parent.parent),
        "PYTHONPATH": os.pathsep.join([str(STARTUP), before]) if before else str(STARTUP),
    }


def attach(folder: str) -> None:
    """Patch Keras now if it is there, else when it is imported; stay attached where Python is replaced.

    A script that starts itself anew through `os.exec...`, to set a variable before TensorFlow loads, is still the
    same process.
    """
    for name in ("execv", "execve"):
        setattr(os, name, _attached_exec(getattr(os, name), folder))
    keras = sys.modules.get("keras")
    if keras is not None and hasattr(keras, "Model"):
        patch(keras, folder)
    else:
        sys.meta_path.insert(0, _WhenKerasIsImported(folder))


def _attached_exec(replace: Callable[..., Any], folder: str) -> Callable[..., Any]:
    """Return `os.execv` or `os.execve` with the hook in the environment that it passes on."""

    @functools.wraps(replace)
    def replace_attached(path: Any, words: Any, environ: Any = None) -> Any:
        given = os.environ if environ is None else environ
        return execve(path, words, hook_environment({**given}, folder))

    execve = os.execve
    return replace_attached


def patch(keras: ModuleType, folder: str) -> None:
    """Make the first trainings of this process leave recordings, unless the user watches them already."""
    from gpuprobe.keras.calls import tell_calls
    from gpuprobe.keras.loops import Loops
    from gpuprobe.keras.phases import phases
    from gpuprobe.recording import WALL_FILES

    fit = keras.Model.fit
    if getattr(fit, "gpuprobe", False):
        return
    _mark(folder, keras.backend.backend())
    process = phases()
    process.keras_loaded()
    process.save_to(Path(folder) / WALL_FILES.format(os.getpid()))
    atexit.register(process.finish)
    signature, left = inspect.signature(fit), iter(range(MOST_TRAININGS))
    failed = False

    def options(name: str) -> ProbeOptions | None:
        return None if next(left, None) is None else _options(folder, name)

    loops = Loops(lambda: options(LOOP), _say)

    @functools.wraps(fit)
    def probed_fit(*given: Any, **named: Any) -> Any:
        nonlocal failed
        with loops.apart(), process.call_of_keras("fit"):
            if not failed:
                try:
                    given, named = _with_probe(signature, given, named, lambda: options(FIT))
                except Exception as error:  # noqa: BLE001 - nothing of ours may break a training
                    failed = True
                    _say(error)
            return fit(*given, **named)

    probed_fit.gpuprobe = True  # type: ignore[attr-defined]
    keras.Model.fit = probed_fit
    loops.hook(keras)
    tell_calls(keras.Model, process)


def _mark(folder: str, backend: str) -> None:
    """Tell whoever reads the recording that Keras was reached, and its backend; where that fails, it is not told."""
    from gpuprobe.recording import KERAS_SEEN

    with contextlib.suppress(OSError):
        Path(folder).mkdir(parents=True, exist_ok=True)
        (Path(folder) / KERAS_SEEN).write_text(backend)


def _with_probe(
    signature: inspect.Signature,
    given: tuple[Any, ...],
    named: dict[str, Any],
    options: Callable[[], ProbeOptions | None],
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return the arguments of a call of `fit` with a Probe among the callbacks, unless the user gave one."""
    import keras

    from gpuprobe.keras.attached import Attached
    from gpuprobe.keras.callback import Probe

    try:
        bound = signature.bind(*given, **named)
    except TypeError:
        # What is wrong with the call, `fit` itself says.
        return given, named
    callbacks = bound.arguments.get("callbacks")
    if isinstance(callbacks, keras.callbacks.CallbackList):
        if not any(isinstance(callback, Probe) for callback in callbacks.callbacks):
            probe = Attached.next(options)
            probe.set_model(bound.args[0])
            probe.set_params(callbacks.params)
            callbacks.append(probe)
        return given, named
    own = [] if callbacks is None else keras.tree.flatten(callbacks)
    if any(isinstance(callback, Probe) for callback in own):
        return given, named
    bound.arguments["callbacks"] = [Attached.next(options, _batch_size(bound.arguments)), *own]
    return bound.args, bound.kwargs


def _batch_size(arguments: Mapping[str, Any]) -> int | None:
    """Return the batch size of a `fit` on arrays, None where the data makes its own batches."""
    import keras

    leaves = keras.tree.flatten(arguments.get("x"))
    arrays = leaves and all(getattr(leaf, "shape", ()) for leaf in leaves)
    return (arguments.get("batch_size") or KERAS_BATCH_SIZE) if arrays else None


def _options(folder: str, name: str) -> ProbeOptions:
    """Return what the recording of the next training is to be."""
    from gpuprobe.keras.moments import BRIEF_WINDOW_S, EARLY_TRACE_AT
    from gpuprobe.keras.session import ProbeOptions

    earlier = any(Path(folder).glob("*/runs/*"))
    traced = any(Path(folder).glob("*/runs/*/trace"))
    options = ProbeOptions(name=name, out=folder, trace_at=EARLY_TRACE_AT if earlier and not traced else None)
    return options if name == FIT else replace(options, window_s=BRIEF_WINDOW_S)


class _WhenKerasIsImported(importlib.abc.MetaPathFinder):
    """Lets the others find Keras, and patches it when it has been loaded."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._asking = False

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """Find `keras` alone. It may be asked often before it is loaded: TensorFlow looks only where Keras lies."""
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

    def _patching(self, load: Callable[[ModuleType], None]) -> Callable[[ModuleType], None]:
        def load_and_patch(module: ModuleType) -> None:
            with contextlib.suppress(ValueError):
                sys.meta_path.remove(self)
            load(module)
            try:
                patch(module, self._folder)
            except Exception as error:  # noqa: BLE001 - nothing of ours may break a training
                _say(error)

        return load_and_patch


def _say(error: Exception) -> None:
    sys.stderr.write(f"gpuprobe: could not attach ({type(error).__name__}: {error}); the training goes on\n")
