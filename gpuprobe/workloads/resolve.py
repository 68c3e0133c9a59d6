"""Finds the workload that `--model` names: a built-in one, a factory in the user's code, or a pickled one."""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import re
import sys
from contextlib import AbstractContextManager, nullcontext, suppress
from pathlib import Path
from types import FunctionType
from typing import TYPE_CHECKING, Any

from gpuprobe.errors import InputError, UsageError, in_short
from gpuprobe.workloads.registry import workloads
from gpuprobe.workloads.workload import Workload

if TYPE_CHECKING:
    from types import ModuleType

PICKLE = ".pkl"
RESNET = re.compile(r"resnet(\d+)")
# One block in each of the three stages.
SHALLOWEST = 8


def resnet_depth(depth: int, option: str = "--depth") -> int:
    """Return a depth that this ResNet can have, 6n+2. Raises UsageError, which names the `option`, for any other."""
    if (depth - 2) % 6 or depth < SHALLOWEST:
        raise UsageError(f"{option}: {depth} is not 6n+2; this ResNet has 20, 32, 44, 56 or 110 layers")
    return depth


def model_named(model: str, option: str = "--model") -> tuple[int | None, str]:
    """Return (depth, empty) where the ResNet is named, else (None, the workload's target)."""
    resnet = RESNET.fullmatch(model)
    return (resnet_depth(int(resnet[1]), option), "") if resnet else (None, check(model, option))


def check(model: str, option: str = "--model") -> str:
    """Return `model` in a form that the runs can find, with an absolute path; the user's code is not imported.

    Raises UsageError, which names the `option`, where it is neither a known name nor a target, InputError where the
    file does not exist.
    """
    if model in workloads():
        return model
    target, colon, factory = model.rpartition(":")
    if not colon or not target or not factory:
        if model.endswith(".py") and _is_there(Path(model)):
            raise UsageError(f"{option} {model}: name the factory in it, as {model}:workload")
        near = difflib.get_close_matches(model, workloads(), n=1)
        hint = f"did you mean {near[0]}?" if near else "gpuprobe list --models shows them."
        raise UsageError(f"{option}: there is no model {model!r}; {hint} Or name your own: path/to/file.py:factory")
    if not _is_file(target):
        return model
    if not _is_there(Path(target)):
        raise InputError(f"{target}: there is no such file (from {option} {model})")
    return f"{Path(target).resolve()}:{factory}"


def resolve(model: str) -> Workload:
    """Return the workload. Raises InputError with the reason where the user's code does not return one."""
    if model in workloads():
        return workloads()[model].make()
    if model.endswith(PICKLE):
        return unpickle(Path(model))
    target, _, factory = model.rpartition(":")
    attribute = _attribute(_import(target), factory, target)
    if isinstance(attribute, Workload):
        return attribute
    try:
        made = attribute()
    except (Exception, SystemExit) as error:
        raise InputError(f"{model} raised {in_short(error)}") from error
    if not isinstance(made, Workload):
        raise InputError(
            f"{model} returned a {type(made).__name__}; it has to return a gpuprobe.Workload "
            "(gpuprobe new workload.py writes a template)"
        )
    return made


def pickle(workload: Workload, path: Path) -> None:
    """Pickle a workload for the runs, its functions by value. Raises InputError where it cannot be pickled."""
    import cloudpickle

    try:
        path.write_bytes(cloudpickle.dumps((sys.path, _named(workload), cloudpickle.dumps(workload))))
    except Exception as error:
        raise InputError(
            f"the workload cannot be handed to the runs, which are processes of their own ({in_short(error)}); "
            "give its model and data as functions that make them"
        ) from error


def unpickle(path: Path) -> Workload:
    """Load what `pickle` wrote, with the import path of the process that wrote it."""
    import cloudpickle

    try:
        places, objects, body = cloudpickle.loads(path.read_bytes())
        # In the order of that process: the folder of its script comes first.
        sys.path[:] = [*places, *(place for place in sys.path if place not in places)]
        with _known_to_keras({name: cloudpickle.loads(pickled) for name, pickled in objects.items()}):
            workload: Workload = cloudpickle.loads(body)
    except Exception as error:
        raise InputError(f"the workload could not be read back: {in_short(error)}") from error
    return workload


def _named(workload: Workload) -> dict[str, bytes]:
    """Return, pickled, the objects that Keras will look up by name when it loads a built model.

    Keras writes a model as its config, and finds the classes and functions in it by import or in its register. Those of
    a script or a notebook (`__main__`) can't be imported in another process, and what registered them does not run
    there.
    """
    if callable(workload.model) and not workload.built_before:
        return {}
    import cloudpickle
    import keras

    script = sys.modules.get("__main__")
    kept = {name: value for name, value in vars(script).items() if isinstance(value, type | FunctionType)}
    own = {name: value for name, value in kept.items() if value.__module__ == "__main__"}
    objects = {}
    for name, value in {**own, **keras.saving.get_custom_objects()}.items():
        # Other objects of the script are not pickled.
        with suppress(Exception):
            objects[name] = cloudpickle.dumps(value)
    return objects


def _known_to_keras(objects: dict[str, Any]) -> AbstractContextManager[Any]:
    if not objects:
        return nullcontext()
    import keras

    scope: AbstractContextManager[Any] = keras.saving.custom_object_scope(objects)
    return scope


def _is_there(path: Path) -> bool:
    """Whether there is such a file. Raises InputError where the system refuses the name, such as one of 300 letters."""
    try:
        return path.is_file()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error


def _is_file(target: str) -> bool:
    return target.endswith(".py") or "/" in target


def _import(target: str) -> ModuleType:
    try:
        if not _is_file(target):
            sys.path.insert(0, str(Path.cwd()))
            return importlib.import_module(target)
        path = Path(target)
        sys.path.insert(0, str(path.parent))
        spec = importlib.util.spec_from_file_location(path.stem, path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[path.stem] = module
        spec.loader.exec_module(module)
    except SyntaxError as error:
        raise InputError(f"{error.filename or target}: line {error.lineno}: {error.msg}") from error
    except (Exception, SystemExit) as error:
        raise InputError(f"{target}: could not be imported: {in_short(error)}") from error
    return module


def _attribute(module: ModuleType, name: str, target: str) -> Any:
    if hasattr(module, name):
        return getattr(module, name)
    near = difflib.get_close_matches(name, [known for known in vars(module) if not known.startswith("_")], n=1)
    raise InputError(f"{target}: has no {name!r}" + (f"; did you mean {near[0]}?" if near else ""))
