"""Reads any trace into a `Timeline`: the one entrance to this room."""

from __future__ import annotations

import dataclasses
import importlib
from typing import TYPE_CHECKING

from gpuprobe.errors import InputError
from gpuprobe.traces.clocks import aligned
from gpuprobe.traces.find import find, ranks_of
from gpuprobe.traces.formats import format_of
from gpuprobe.traces.names import Names
from gpuprobe.traces.together import together

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from gpuprobe.traces.timeline import Timeline

__all__ = ["find", "left_out", "read", "read_file"]


def read(path: Path) -> Timeline:
    """Read the trace at a path: a log folder, a run, one profiling session's folder, or one file.

    Of several files one that cannot be read is left out, and a warning says so. Raises InputError where there is none,
    or none can be read.
    """
    found = find(path)
    names = Names()
    parts: list[Timeline] = []
    whole: list[Path] = []
    errors: list[InputError] = []
    for file in found.files:
        try:
            parts.append(read_file(file, names))
            whole.append(file)
        except InputError as error:
            errors.append(error)
    if not parts:
        raise errors[0]
    timeline = together(path, whole, parts)
    # The processes whose files were left out belong to the job all the same.
    ranks = max(timeline.ranks or found.ranks, len(found.files) if errors else 0)
    return dataclasses.replace(
        timeline, warnings=(*found.warnings, *timeline.warnings, *left_out(map(str, errors))), ranks=ranks
    )


def read_file(file: Path, names: Names) -> Timeline:
    """Read one file, whose columns then hold indices in `names`. Raises InputError where it cannot be read."""
    # Only the reader that the trace needs is imported: the import takes longer than reading a small trace.
    reader = importlib.import_module(f"gpuprobe.traces.{format_of(file).reader}")
    timeline: Timeline = aligned(reader.read(file, names))
    # Few traces say how many processes their job has; a recording of gpuprobe beside them may.
    return dataclasses.replace(timeline, ranks=max(timeline.ranks, ranks_of(file)))


def left_out(errors: Iterable[str]) -> tuple[str, ...]:
    """Return a warning for each file that could not be read, made of its error."""
    return tuple(f"Left out: {error}." for error in errors)
