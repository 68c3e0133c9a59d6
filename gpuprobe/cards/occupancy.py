"""Theoretical occupancy: the warps of a kernel that fit onto an SM at once, over the most that an SM can hold.

Formula: CUDA Occupancy Calculator and `cuda_occupancy.h`. The number of resident blocks is the least that threads,
block slots, registers (allocated in units of 256 per warp) and shared memory allow.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpuprobe.cards.architecture import REGISTERS_PER_SM, WARP, architecture
from gpuprobe.records import Record

if TYPE_CHECKING:
    from gpuprobe.cards.architecture import Architecture

REGISTER_UNIT = 256
MOST_REGISTERS_PER_THREAD = 255
MOST_THREADS_PER_BLOCK = 1024


class Occupancy(Record, frozen=True, kw_only=True):
    """Resident warps over the most an SM can hold (0 to 1), the resident blocks, and what limits them."""

    fraction: float
    blocks_per_sm: int
    limit: str


def occupancy(
    threads_per_block: int,
    registers_per_thread: int,
    shared_bytes: int,
    compute_capability: str | float,
) -> Occupancy | None:
    """Return the theoretical occupancy of a kernel; `shared_bytes` is per block, static and dynamic together.

    None where the compute capability is unknown, or where no block fits an SM (so the kernel could not have run).
    """
    sm = architecture(compute_capability)
    if sm is None or not 1 <= threads_per_block <= MOST_THREADS_PER_BLOCK or registers_per_thread < 0:
        return None
    warps = -(-threads_per_block // WARP)
    most_warps = sm.threads_per_sm // WARP
    limits = {
        "threads": most_warps // warps,
        "blocks": sm.blocks_per_sm,
        "registers": _by_registers(sm, warps, registers_per_thread),
        "shared memory": _by_shared(sm, shared_bytes),
    }
    limit = min(limits, key=lambda name: limits[name])
    blocks = limits[limit]
    return None if blocks == 0 else Occupancy(fraction=blocks * warps / most_warps, blocks_per_sm=blocks, limit=limit)


def _by_registers(sm: Architecture, warps: int, registers: int) -> int:
    if registers > MOST_REGISTERS_PER_THREAD:
        return 0
    if registers == 0:
        return sm.blocks_per_sm
    per_warp = _up(registers * WARP, REGISTER_UNIT)
    # Each partition of an SM has its own registers, and a warp's registers are all in one.
    resident = REGISTERS_PER_SM // sm.warp_unit // per_warp * sm.warp_unit
    return resident // warps


def _by_shared(sm: Architecture, shared: int) -> int:
    if shared < 0 or shared > sm.shared_per_block:
        return 0
    used = _up(shared + sm.shared_reserved, sm.shared_unit)
    return sm.shared_per_sm // used if used else sm.blocks_per_sm


def _up(value: int, unit: int) -> int:
    return -(-value // unit) * unit
