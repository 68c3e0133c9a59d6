"""Any trace becomes a timeline: the one entrance to this room."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from gpuprobe.traces.clocks import aligned
from gpuprobe.traces.find import find, is_chrome

if TYPE_CHECKING:
    from pathlib import Path

    from gpuprobe.traces.timeline import Timeline

__all__ = ["find", "read"]


def read(path: Path) -> Timeline:
    """Read the trace that lies at a path: a log folder, a run, one session's folder, or one file.

    Raises InputError where there is none, or where it cannot be read or is damaged.
    """
    files, warnings = find(path)
    # Only the parser that the trace needs is loaded: it takes longer than a small trace does.
    if is_chrome(files[0]):
        from gpuprobe.traces.chrome import read_chrome as read_files
    else:
        from gpuprobe.traces.xplane import read_xplane as read_files
    timeline = aligned(read_files(path, files))
    return dataclasses.replace(timeline, warnings=(*warnings, *timeline.warnings))
