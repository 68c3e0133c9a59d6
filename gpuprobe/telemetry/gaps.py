"""Finds the gaps of a recording: intervals in which a GPU or the host was not sampled, each with its reason."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gpuprobe.records import Record
from gpuprobe.telemetry import windows

if TYPE_CHECKING:
    from gpuprobe.telemetry.recording import Telemetry

# A notice up to this long before a gap may be its reason: a driver counts as hung after 2 s.
REASON_BEFORE_NS = 4_000_000_000


class Gap(Record, frozen=True, kw_only=True):
    """An interval of the window without readings of `where` (`host`, `gpu0`, ...), and the reason."""

    where: str
    start_ns: int
    end_ns: int
    reason: str


def gaps_of(telemetry: Telemetry, device: str, start_ns: int, end_ns: int) -> list[Gap]:
    """Return the intervals between two times in which the most frequent field of `device` was not read.

    `device` is `host`, `gpu0`, ...; a device without any field has no gaps.
    """
    device_columns = [
        column
        for column in telemetry.columns
        if (column.startswith(f"{device}_") if device != "host" else not column.startswith("gpu"))
        # The driver's buffered samples go on while the sampler is blocked, so they do not count.
        and "_buffer_" not in column
    ]
    if not device_columns:
        return []
    sample_times, _ = max((telemetry.series(column) for column in device_columns), key=lambda series: len(series[0]))
    held = windows.hold_readings(sample_times, np.zeros(len(sample_times)), start_ns, end_ns)
    return [
        Gap(where=device, start_ns=gap_start, end_ns=gap_end, reason=_gap_reason(telemetry, device, gap_start, gap_end))
        for gap_start, gap_end in held.gaps
    ]


def _gap_reason(telemetry: Telemetry, device: str, gap_start_ns: int, gap_end_ns: int) -> str:
    notices = [
        notice
        for notice in telemetry.states
        if notice.where in {device, "driver"} and notice.state != "back" and notice.t_ns <= gap_end_ns
    ]
    near_notices = [notice for notice in notices if notice.t_ns >= gap_start_ns - REASON_BEFORE_NS]
    if near_notices or (notices and not _is_back(telemetry, device, notices[-1].t_ns, gap_start_ns)):
        return str((near_notices or notices)[-1])
    return "nothing was read: the sampler did not run, or not in time"


def _is_back(telemetry: Telemetry, device: str, since_ns: int, until_ns: int) -> bool:
    return any(
        notice.where == device and notice.state == "back" and since_ns <= notice.t_ns <= until_ns
        for notice in telemetry.states
    )
