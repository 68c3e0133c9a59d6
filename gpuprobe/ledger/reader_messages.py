"""The requests to a child that reads a trace of a job, and the answer to the first of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from gpuprobe.ledger.intervals import Intervals
    from gpuprobe.ledger.own_exchanges import DeviceExchanges


@dataclass(frozen=True)
class AskExchanges:
    """Asks for a trace's exchanges, to be matched with those of other traces; the answer is a `TraceOverview`.

    `decoded` is where the trace's columns lie while a child has another trace in hand.
    """

    file: Path
    decoded: Path


@dataclass(frozen=True)
class TraceOverview:
    """The answer to `AskExchanges`: what is known of a trace, with its exchanges on its own clock.

    `ranks` is the number of processes of its job, 0 where it is not known. `unix` says that the clock is Unix time.
    """

    host: str
    format: str
    origin_ns: int
    unix: bool
    ranks: int
    warnings: tuple[str, ...]
    gpus: DeviceExchanges
    processors: DeviceExchanges


@dataclass(frozen=True)
class AskBreakdown:
    """Asks for the breakdown of a trace, whose host is called `host`; `decoded` is as in `AskExchanges`.

    `waiting` is when each of its devices waited for others, on the trace's own clock; `lost_share` is the share of work
    that the job's profilers say they lost (0 to 1).
    """

    file: Path
    decoded: Path
    host: str
    lost_share: float
    waiting: Mapping[str, Intervals] = field(default_factory=dict)
