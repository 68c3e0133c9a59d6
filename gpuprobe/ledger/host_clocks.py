"""The clocks of several hosts, compared by the ends of the exchanges that they have in common.

An exchange ends for all its participants at once. The difference of two hosts' clocks at the ends is their offset, and
its growth is their drift. The remaining differences are the error with which the two hosts can be compared.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gpuprobe import wording
from gpuprobe.ledger.exchange_records import HostClock
from gpuprobe.quantiles import median, percentile
from gpuprobe.thresholds import fixed
from gpuprobe.units import PS_PER_MS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from gpuprobe.ledger.exchanges import Exchanges

PPM = 1e6
# The error covers this percentage of the ends.
MOST = 95


def clocks_of(exchanged: Exchanges | None) -> tuple[HostClock, ...]:
    """Return the clock of every other host compared with the first one's, where they have exchanges in common."""
    if exchanged is None:
        return ()
    hosts = list(dict.fromkeys(host for _, host in exchanged.members))
    ends = {host: _ends(exchanged, host) for host in hosts}
    clocks = (_against(ends[hosts[0]], ends[host], hosts[0], host) for host in hosts[1:])
    return tuple(clock for clock in clocks if clock is not None)


def too_far_apart(clocks: Sequence[HostClock], step_ms: float) -> str:
    """Return why hosts cannot be compared, if their clocks' error is too large a part of the step; else empty.

    Without step numbers, an exchange that is off by as much may belong to another step.
    """
    worst = max(clocks, key=lambda clock: clock.error_ms, default=None)
    if worst is None or worst.error_ms <= fixed.CLOCKS_ERROR * step_ms:
        return ""
    return (
        f"the ends of exchanges on {worst.host} and {worst.against} agree only within "
        f"{wording.milliseconds(worst.error_ms)}, more than {wording.share(fixed.CLOCKS_ERROR)} of the step: "
        "which host waits for which is not known"
    )


def _ends(exchanged: Exchanges, host: str) -> NDArray[np.float64]:
    """Return when each exchange ended on a host's clock, (k,) ms; NaN where none of its devices took part."""
    rows = [row for row, (_, name) in enumerate(exchanged.members) if name == host]
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
    errors_ms = np.abs(apart - drift * time - offset)
    return HostClock(
        host=host,
        against=against,
        offset_ms=offset,
        drift_ppm=drift * PPM,
        error_ms=percentile(errors_ms, MOST),
        exchanges=count,
    )
