"""Accounts of wall time for tests: seconds and times by part."""

from __future__ import annotations

from gpuprobe.evidence.whole_run import RunBreakdown, breakdown_of_wall
from gpuprobe.records import Wall, WallPart

S = 1_000_000_000


def wall(
    *, complete: bool = True, named: tuple[str, str, float, int] | None = None, **parts: tuple[float, int]
) -> Wall:
    """Return a wall time of these parts; `named` is one with a name: kind, name, seconds, times."""
    made = [WallPart(kind=kind, total_ns=round(s * S), times=times) for kind, (s, times) in parts.items()]  # type: ignore[arg-type]
    if named is not None:
        kind, name, seconds, times = named
        made.append(WallPart(kind=kind, name=name, total_ns=round(seconds * S), times=times))  # type: ignore[arg-type]
    total = sum(part.total_ns for part in made)
    return Wall(started_ns=0, ended_ns=total, parts=tuple(made), complete=complete)


def breakdown(
    *, complete: bool = True, named: tuple[str, str, float, int] | None = None, **parts: tuple[float, int]
) -> RunBreakdown:
    """Return the breakdown of such a wall time."""
    found = breakdown_of_wall(wall(complete=complete, named=named, **parts))
    assert found is not None
    return found
