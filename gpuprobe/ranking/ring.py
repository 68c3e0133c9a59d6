"""The time of a ring all-reduce: 2 (N - 1) / N times the size over the link's rate (Patarasuk and Yuan 2009).

TensorFlow by default sends all gradients in one pack once the last one is ready, so none of the time is hidden.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from gpuprobe.units import MIB

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gpuprobe.ranking.scaling import Scaled

MS_PER_S, BYTES_PER_GB = 1000.0, 1e9


def transfer_ms(devices: int, mib: float, gb_per_s: float) -> float:
    """Return the ms of a ring all-reduce of so many MiB over links of so many GB/s, without latency."""
    return 2 * (devices - 1) / devices * mib * MIB / (gb_per_s * BYTES_PER_GB) * MS_PER_S


def predicted(points: Sequence[Scaled], mib: float, given: float | None) -> tuple[Scaled, ...]:
    """Return the points with the predicted step of each.

    It is one device's part of the step, measured alone, plus the transfer. The link's rate is `given` in GB/s, or
    fitted to the exchange measured with the smallest other number of devices, never to the one that is predicted.
    """
    return tuple(_expected(point, mib, given or _fitted(points, point, mib)) for point in points)


def _expected(point: Scaled, mib: float, link: float | None) -> Scaled:
    if link is None or point.alone_ms is None:
        return point
    step_ms = point.alone_ms + transfer_ms(point.devices, mib, link)
    return msgspec.structs.replace(point, predicted_ms=step_ms, link_gb_per_s=link)


def _fitted(points: Sequence[Scaled], foretold: Scaled, mib: float) -> float | None:
    """Return the GB/s at which a ring takes as long as a measured exchange; None without one."""
    for point in points:
        took_ms = point.exchange_ms
        if point.devices != foretold.devices and took_ms is not None and took_ms > 0:
            return transfer_ms(point.devices, mib, 1.0) / took_ms
    return None
