"""The time of a ring all-reduce: 2 (N - 1) / N times the size over the link's rate (Patarasuk and Yuan 2009).

TensorFlow by default sends all gradients in one pack once the last one is ready, so none of the time is hidden.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from gpuprobe.units import MIB

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gpuprobe.ranking.scaling import ScalingPoint

MS_PER_S, US_PER_MS, BYTES_PER_GB = 1000.0, 1000.0, 1e9


@dataclass(frozen=True)
class RingLink:
    """The link between the devices of a ring: its rate, and the latency of each hop."""

    gb_per_s: float
    latency_us: float = 0.0


def transfer_ms(devices: int, mib: float, gb_per_s: float, latency_us: float = 0.0) -> float:
    """Return the ms of a ring all-reduce of so many MiB over links of so many GB/s, in 2 (N - 1) hops."""
    hops = 2 * (devices - 1)
    return hops / devices * mib * MIB / (gb_per_s * BYTES_PER_GB) * MS_PER_S + hops * latency_us / US_PER_MS


def with_predictions(points: Sequence[ScalingPoint], mib: float, given_link: float | None) -> tuple[ScalingPoint, ...]:
    """Return the points with the predicted step of each, for gradients of `mib` MiB.

    The predicted step is one device's part of it, measured alone, plus the transfer. The link's rate is `given_link`
    (GB/s), or fitted to the exchanges measured with other numbers of devices, never to the one that is predicted. With
    several of these the latency is fitted too; else the rate is fitted to the smallest number of devices.
    """
    return tuple(
        _with_prediction(point, mib, RingLink(given_link) if given_link else _fitted_link(points, point, mib))
        for point in points
    )


def _with_prediction(point: ScalingPoint, mib: float, link: RingLink | None) -> ScalingPoint:
    if link is None or point.alone_ms is None:
        return point
    step_ms = point.alone_ms + transfer_ms(point.devices, mib, link.gb_per_s, link.latency_us)
    return msgspec.structs.replace(point, predicted_ms=step_ms, link_gb_per_s=link.gb_per_s, latency_us=link.latency_us)


def _fitted_link(points: Sequence[ScalingPoint], point_to_predict: ScalingPoint, mib: float) -> RingLink | None:
    """Return the link over which a ring takes as long as the measured exchanges; None where none was measured."""
    measured_exchanges = [
        (point.devices, took_ms)
        for point in points
        if point.devices != point_to_predict.devices and (took_ms := point.exchange_ms) is not None and took_ms > 0
    ]
    if not measured_exchanges:
        return None
    link_with_latency = _link_with_latency(measured_exchanges, mib)
    if link_with_latency is not None:
        return link_with_latency
    devices, took_ms = measured_exchanges[0]
    return RingLink(transfer_ms(devices, mib, 1.0) / took_ms)


def _link_with_latency(measured_exchanges: Sequence[tuple[int, float]], mib: float) -> RingLink | None:
    """Return rate and latency by least squares; None where they cannot be told apart, or one would be negative."""
    if len({devices for devices, _ in measured_exchanges}) < 2:
        return None
    design = np.array(
        [[transfer_ms(devices, mib, 1.0), 2 * (devices - 1) / US_PER_MS] for devices, _ in measured_exchanges]
    )
    (inverse_rate, latency_us), *_ = np.linalg.lstsq(
        design, np.array([took_ms for _, took_ms in measured_exchanges]), rcond=None
    )
    return RingLink(1 / float(inverse_rate), float(latency_us)) if inverse_rate > 0 and latency_us >= 0 else None
