"""Any trace becomes a timeline: the one entrance to this room."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from gpuprobe.traces.find import find
from gpuprobe.traces.xplane import read_xplane

if TYPE_CHECKING:
    from pathlib import Path

    from gpuprobe.traces.timeline import Timeline

__all__ = ["find", "read"]


def read(path: Path) -> Timeline:
    """Read the trace that lies at a path: a log folder, a run, one session's folder, or one file.

    Raises InputError where there is none, or where it cannot be read or is damaged.
    """
    files, warnings = find(path)
    timeline = read_xplane(path, files)
    return dataclasses.replace(timeline, warnings=(*warnings, *timeline.warnings))
