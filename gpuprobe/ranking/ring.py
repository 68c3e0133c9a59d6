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

    from gpuprobe.ranking.scaling import Scaled

MS_PER_S, US_PER_MS, BYTES_PER_GB = 1000.0, 1000.0, 1e9


@dataclass(frozen=True)
class Link:
    """The link between the devices of a ring: its rate, and the latency of each hop."""

    gb_per_s: float
    latency_us: float = 0.0


def transfer_ms(devices: int, mib: float, gb_per_s: float, latency_us: float = 0.0) -> float:
    """Return the ms of a ring all-reduce of so many MiB over links of so many GB/s, in 2 (N - 1) hops."""
    hops = 2 * (devices - 1)
    return hops / devices * mib * MIB / (gb_per_s * BYTES_PER_GB) * MS_PER_S + hops * latency_us / US_PER_MS


def predicted(points: Sequence[Scaled], mib: float, given_link: float | None) -> tuple[Scaled, ...]:
    """Return the points with the predicted step of each.

    It is one device's part of the step, measured alone, plus the transfer. The link's rate is `given_link` in GB/s, or
    fitted to exchanges measured with other numbers of devices, never with the predicted one: with a latency too where
    there are several of these, else to the smallest number of devices.
    """
    return tuple(
        _expected(point, mib, Link(given_link) if given_link else _fitted(points, point, mib)) for point in points
    )


def _expected(point: Scaled, mib: float, link: Link | None) -> Scaled:
    if link is None or point.alone_ms is None:
        return point
    step_ms = point.alone_ms + transfer_ms(point.devices, mib, link.gb_per_s, link.latency_us)
    return msgspec.structs.replace(point, predicted_ms=step_ms, link_gb_per_s=link.gb_per_s, latency_us=link.latency_us)


def _fitted(points: Sequence[Scaled], foretold: Scaled, mib: float) -> Link | None:
    """Return the link over which a ring takes as long as the measured exchanges; None without one."""
    others = [
        (point.devices, took_ms)
        for point in points
        if point.devices != foretold.devices and (took_ms := point.exchange_ms) is not None and took_ms > 0
    ]
    if not others:
        return None
    with_latency = _with_latency(others, mib)
    if with_latency is not None:
        return with_latency
    devices, took_ms = others[0]
    return Link(transfer_ms(devices, mib, 1.0) / took_ms)


def _with_latency(measured: Sequence[tuple[int, float]], mib: float) -> Link | None:
    """Return rate and latency by least squares; None where they cannot be told apart, or one would be negative."""
    if len({devices for devices, _ in measured}) < 2:
        return None
    parts = np.array([[transfer_ms(devices, mib, 1.0), 2 * (devices - 1) / US_PER_MS] for devices, _ in measured])
    (per_gb_per_s, latency_us), *_ = np.linalg.lstsq(parts, np.array([took_ms for _, took_ms in measured]), rcond=None)
    return Link(1 / float(per_gb_per_s), float(latency_us)) if per_gb_per_s > 0 and latency_us >= 0 else None
