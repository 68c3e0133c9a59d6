"""What a child that reads a trace of a job is asked, and what it answers first."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from gpuprobe.ledger.intervals import Intervals
    from gpuprobe.ledger.own_exchanges import Own


@dataclass(frozen=True)
class Look:
    """Asks what of a trace is joined with others before any is accounted for."""

    file: Path


@dataclass(frozen=True)
class Glance:
    """That: its clock, its warnings, its exchanges by its own clock, and how many processes its job has."""

    host: str
    format: str
    origin_ns: int
    unix: bool
    ranks: int
    warnings: tuple[str, ...]
    gpus: Own
    processors: Own


@dataclass(frozen=True)
class Account:
    """Asks for the breakdown of a trace, whose host is called `host`.

    `waiting` is when each of its devices waited for others, by the trace's own clock; `lost_share` is what the
    profilers of the job say that they lost.
    """

    file: Path
    host: str
    lost_share: float
    waiting: Mapping[str, Intervals] = field(default_factory=dict)
