"""What kind of work held the host while it launched nothing, by the name of the event: names only say what it was."""

from __future__ import annotations

import re
from typing import Literal

from gpuprobe.ledger.names import COPYING, Kind, is_preprocessing, runs_python

WorkKind = Literal["python_function", "preprocessing_layer", "operation", "staging", "preparing", "frame", "call", ""]

# How functions of Python that make samples are called.
_PREPARING = re.compile(
    r".*(?:preproc|prepar|augment|decod|resize|tokeni|collat|read_|load_|imread|image_process|transforms?[./_])",
    re.IGNORECASE,
)


def work_kind(name: str, kind: int) -> WorkKind:
    """Return what an event that held the host is; empty where it has no name."""
    if runs_python(name):
        return "python_function"
    if COPYING in name:
        return "staging"
    if is_preprocessing(name):
        return "preprocessing_layer"
    if kind & Kind.PYTHON:
        return "preparing" if _PREPARING.match(name) else "frame"
    if kind & (Kind.OP | Kind.KERNEL_RUN):
        return "operation"
    return "call" if name else ""
