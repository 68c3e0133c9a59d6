"""Reads the graphs of all functions that TensorFlow holds in this process."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

import tensorflow as tf

from gpuprobe.backends.graph_function import Function
from gpuprobe.backends.graph_loops import Graphs, loops_of

if TYPE_CHECKING:
    from gpuprobe.records import GraphLoop

# How TensorFlow calls the function of a loop's body (while_v2.py). Without one nothing is read.
BODY = "_body_"


def loops() -> tuple[GraphLoop, ...] | None:
    """Return the loops of the steps that this process trains; None where TensorFlow does not show its functions."""
    try:
        functions = _functions()
        return loops_of(Graphs(functions, number)) if functions else ()
    except Exception:  # noqa: BLE001 - no training may end for want of them
        return None


def _functions() -> dict[str, Function]:
    """Return all functions of this process by name; none where none of them has a loop.

    No public interface gives them: a later TensorFlow may raise here.
    """
    from tensorflow.python.eager.context import context

    names = [_text(name) for name in context().list_function_names()]
    functions = {}
    for name in names if any(BODY in name for name in names) else ():
        # One that nothing refers to any more may be collected meanwhile.
        with suppress(tf.errors.NotFoundError):
            functions[name] = Function.of(context().get_function_def(name))
    return functions


def _text(name: str | bytes) -> str:
    return name if isinstance(name, str) else name.decode()


def number(node: Any) -> float | None:
    """Return the value of a constant, None where it is no single number."""
    value = tf.make_ndarray(node.attr["value"].tensor)
    return float(value.reshape(-1)[0]) if value.size == 1 and value.dtype.kind in "iuf" else None
