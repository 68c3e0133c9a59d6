"""Reads any trace into a `Timeline`: the one entrance to this room."""

from __future__ import annotations

import dataclasses
import importlib
from typing import TYPE_CHECKING

from gpuprobe.traces.clocks import aligned
from gpuprobe.traces.find import find
from gpuprobe.traces.formats import format_of

if TYPE_CHECKING:
    from pathlib import Path

    from gpuprobe.traces.timeline import Timeline

__all__ = ["find", "read"]


def read(path: Path) -> Timeline:
    """Read the trace at a path: a log folder, a run, one profiling session's folder, or one file.

    Raises InputError where there is none, or where it cannot be read or is damaged.
    """
    files, warnings = find(path)
    # Only the reader that the trace needs is imported: the import takes longer than reading a small trace.
    reader = importlib.import_module(f"gpuprobe.traces.{format_of(files[0]).reader}")
    timeline = aligned(reader.read(path, files))
    return dataclasses.replace(timeline, warnings=(*warnings, *timeline.warnings))
