"""Parses CUPTI's strings about kernels and copies: `regs:32 grid:1,1,1 block:32,1,1`, `size:4 dest:0`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gpuprobe.traces.timeline import UNKNOWN, Direction

NO_SHAPE = (UNKNOWN, UNKNOWN, UNKNOWN)


@dataclass(frozen=True)
class Launch:
    """A kernel's launch: grid and block, registers a thread, shared bytes a block, occupancy in percent or NaN."""

    grid: tuple[int, int, int] = NO_SHAPE
    block: tuple[int, int, int] = NO_SHAPE
    registers: int = UNKNOWN
    shared_bytes: int = UNKNOWN
    occupancy_percent: float = np.nan


def parse_launch(text: str) -> Launch:
    """Read a `kernel_details` string of TensorFlow 2.3 (`shm:`) or later (`static_shared:`, `dynamic_shared:`)."""
    parts = _parts(text)
    shared = [_whole(parts.get(key, "")) for key in ("shm", "static_shared", "dynamic_shared")]
    known = [size for size in shared if size != UNKNOWN]
    return Launch(
        grid=_shape(parts.get("grid", "")),
        block=_shape(parts.get("block", "")),
        registers=_whole(parts.get("regs", "")),
        shared_bytes=sum(known) if known else UNKNOWN,
        occupancy_percent=_real(parts.get("occ_pct", "")),
    )


def parse_bytes(text: str) -> int:
    """Read the size of a `memcpy_details` (`size:`) or `Memset_details` string (`num_bytes:`), else UNKNOWN."""
    parts = _parts(text)
    return _whole(parts.get("size", "") or parts.get("num_bytes", ""), limit=2**62)


def copy_direction(name: str) -> Direction | None:
    """Return the direction of a copy by its event's name, None where it is no copy.

    Known are CUPTI's names in TensorFlow (`MemcpyH2D`) and PyTorch (`Memcpy HtoD (Pageable -> Device)`), and those of
    AMD's tracer (`CopyHostToDevice`, `FillBuffer`). Kernels that copy have names in small letters, and stay kernels.
    """
    if name.startswith(("Memset", "FillBuffer")):
        return Direction.SET
    if name.startswith("Copy") and name in _AMD:
        return _AMD[name]
    if not name.startswith("Memcpy"):
        return None
    way = name[len("Memcpy") :].lstrip(" ").replace("to", "2")[:3]
    return _WAYS.get(way, Direction.OTHER)


_AMD = {
    "CopyHostToDevice": Direction.H2D,
    "CopyDeviceToHost": Direction.D2H,
    "CopyDeviceToDevice": Direction.D2D,
}
_WAYS = {"H2D": Direction.H2D, "D2H": Direction.D2H, "D2D": Direction.D2D, "P2P": Direction.P2P}


def _parts(text: str) -> dict[str, str]:
    return dict(part.partition(":")[::2] for part in text.split())


def _whole(text: str, limit: int = 2**31 - 1) -> int:
    """Read a number from 0 to `limit`; UNKNOWN for anything else, such as the addresses in old launch events."""
    if not (text.isascii() and text.isdigit()) or len(text) > 19:
        return UNKNOWN
    return int(text) if int(text) <= limit else UNKNOWN


def _real(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        return np.nan
    return value if 0 <= value <= 100 else np.nan


def _shape(text: str) -> tuple[int, int, int]:
    sizes = [_whole(size) for size in text.split(",")]
    return (sizes[0], sizes[1], sizes[2]) if len(sizes) == 3 and UNKNOWN not in sizes else NO_SHAPE
