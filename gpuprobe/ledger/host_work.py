"""The kind of work that held the host while it launched nothing, by the name of the event."""

from __future__ import annotations

import re
from typing import Literal

from gpuprobe.ledger.names import COPYING, Kind, is_preprocessing, is_sample_layer, runs_python

WorkKind = Literal[
    "python_function", "preprocessing_layer", "sample_layer", "operation", "staging", "preparing", "frame", "call", ""
]

# Names that Python functions which prepare samples usually have.
_PREPARING = re.compile(
    r".*(?:preproc|prepar|augment|decod|resize|tokeni|collat|read_|load_|imread|image_process|transforms?[./_])",
    re.IGNORECASE,
)


def work_kind(name: str, kind: int) -> WorkKind:
    """Return the kind of work of an event that held the host; empty where the event has no name."""
    if runs_python(name):
        return "python_function"
    if COPYING in name:
        return "staging"
    if is_preprocessing(name) or is_sample_layer(name):
        return "preprocessing_layer" if is_preprocessing(name) else "sample_layer"
    if kind & Kind.PYTHON:
        return "preparing" if _PREPARING.match(name) else "frame"
    if kind & (Kind.OP | Kind.KERNEL_RUN):
        return "operation"
    return "call" if name else ""
