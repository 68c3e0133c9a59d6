"""The questions to a child that reads a trace of a job, and its first answer."""

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
    """Asks for what is joined with the other traces before they are accounted for; the answer is a `Glance`."""

    file: Path


@dataclass(frozen=True)
class Glance:
    """The answer to `Look`: a trace's clock, warnings, exchanges on its own clock, and the processes of its job."""

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

    `waiting` is when each of its devices waited for others, on the trace's own clock; `lost_share` is the share of work
    that the job's profilers say they lost (0 to 1).
    """

    file: Path
    host: str
    lost_share: float
    waiting: Mapping[str, Intervals] = field(default_factory=dict)
