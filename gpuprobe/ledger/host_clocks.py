"""The clocks of several hosts, set by the ends of the exchanges that they have in common.

An exchange ends for all its participants at once, so that what a host's clock shows then, less what another's does, is
their offset, and how it grows is their drift. What is left is how far the two can be compared at all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gpuprobe import wording
from gpuprobe.ledger.exchange_records import HostClock
from gpuprobe.ledger.quantiles import median, percentile
from gpuprobe.thresholds import fixed
from gpuprobe.units import PS_PER_MS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from gpuprobe.ledger.exchanges import Exchanges

PPM = 1e6
# The error that is told is that of all but the worst of twenty.
MOST = 95


def clocks_of(exchanged: Exchanges | None) -> tuple[HostClock, ...]:
    """Return every other host's clock against the first one's, as far as they have exchanges in common."""
    if exchanged is None:
        return ()
    hosts = list(dict.fromkeys(host for _, host in exchanged.members))
    ends = {host: _ends(exchanged, host) for host in hosts}
    found = (_against(ends[hosts[0]], ends[host], hosts[0], host) for host in hosts[1:])
    return tuple(clock for clock in found if clock is not None)


def too_far_apart(clocks: Sequence[HostClock], step_ms: float) -> str:
    """Say why hosts cannot be compared, where their clocks are known less well than a part of the step; else nothing.

    What is off by as much may be an exchange of another step, where no number tells.
    """
    worst = max(clocks, key=lambda clock: clock.error_ms, default=None)
    if worst is None or worst.error_ms <= fixed.CLOCKS_ERROR * step_ms:
        return ""
    return (
        f"the ends of exchanges on {worst.host} and {worst.against} agree only within "
        f"{wording.milliseconds(worst.error_ms)}, more than {wording.share(fixed.CLOCKS_ERROR)} of the step: nothing "
        "is said of who waits for whom"
    )


def _ends(exchanged: Exchanges, host: str) -> NDArray[np.float64]:
    """Return when each exchange ended by a host's clock, (k,) ms, NaN where none of its devices took part."""
    rows = [row for row, (_, of) in enumerate(exchanged.members) if of == host]
    ends = np.where(exchanged.took[rows], exchanged.end_ps[rows] / PS_PER_MS, -np.inf).max(axis=0)
    return np.where(np.isinf(ends), np.nan, ends)


def _against(first: NDArray[np.float64], other: NDArray[np.float64], against: str, host: str) -> HostClock | None:
    both = ~np.isnan(first) & ~np.isnan(other)
    count = int(both.sum())
    if not count:
        return None
    time, apart = first[both] - first[both].min(), (other - first)[both]
    drift = 0.0
    if count >= fixed.EXCHANGES_TELLING and float(np.ptp(time)) > 0:
        drift = float(np.polyfit(time, apart, 1)[0])
    offset = median(apart - drift * time)
    left = np.abs(apart - drift * time - offset)
    return HostClock(
        host=host,
        against=against,
        offset_ms=offset,
        drift_ppm=drift * PPM,
        error_ms=percentile(left, MOST),
        exchanges=count,
    )
