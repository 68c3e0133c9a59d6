"""The limits of an SM and its rates per clock, by compute capability.

Lanes and 16-bit results: CUDA C++ Programming Guide, "Throughput of Native Arithmetic Instructions" (results per clock
and SM; a fused multiply-add is one result and two FLOP). Residency, registers and shared memory: the same guide,
"Technical Specifications per Compute Capability". Allocation units: CUDA's `cuda_occupancy.h`. Tensor Core FLOP (dense,
16-bit products summed in fp32, at full rate): the whitepapers of Volta, Turing, Ampere (GA100 and GA102), Ada, Hopper
and RTX Blackwell, from their peak rates over SMs times clock; for 10.0 from DGX B200's datasheet.
"""

from __future__ import annotations

import re

from gpuprobe.records import Record
from gpuprobe.units import KIB

REGISTERS_PER_SM = 65_536
WARP = 32
# The first compute capability with Tensor Cores (the guide's "Technical Specifications"); before it float16 is no
# faster, and on 6.1 it has 1/64 of the rate ("Arithmetic Instructions"). The chips TU116 and TU117 have none, although
# they are 7.5: GTX 16, MX450 and MX550, T400 to T2000. Their 16-bit arithmetic has twice the rate.
TENSOR_CORES_FROM = 7.0
_WITHOUT = re.compile(r"\b(?:GTX 16\d\d|MX[45]50|T(?:400|500|550|600|1000|1200|2000))\b")


class Architecture(Record, frozen=True, kw_only=True):
    """Limits and rates of one SM; shared memory is in bytes.

    `half_results` is the number of 16-bit results per clock without Tensor Cores (a multiply-add is one), None where
    NVIDIA's Programming Guide does not say. `tensor_half_flop` and `tensor_tf32_flop` are FLOP per clock of the Tensor
    Cores, None where there are no such instructions. `shared_unit` and `warp_unit` are the units in which shared memory
    and warps are allocated; `shared_reserved` is what the system uses of each block's shared memory.
    """

    compute_capability: str
    name: str
    fp32_lanes: int
    half_results: int | None
    tensor_half_flop: int | None
    tensor_tf32_flop: int | None
    has_bf16: bool
    threads_per_sm: int
    blocks_per_sm: int
    shared_per_sm: int
    shared_per_block: int
    shared_unit: int
    shared_reserved: int
    warp_unit: int


def _of(
    capability: str,
    name: str,
    rates: tuple[int, int | None, int | None, int | None],
    resident: tuple[int, int],
    shared_kib: tuple[int, int],
    warp_unit: int = 4,
) -> Architecture:
    # From compute capability 8.0 on: bfloat16, finer shared memory units, and 1 KiB a block kept by the system.
    ampere_on = float(capability) >= 8
    return Architecture(
        compute_capability=capability,
        name=name,
        fp32_lanes=rates[0],
        half_results=rates[1],
        tensor_half_flop=rates[2],
        tensor_tf32_flop=rates[3],
        has_bf16=ampere_on,
        threads_per_sm=resident[0],
        blocks_per_sm=resident[1],
        shared_per_sm=shared_kib[0] * KIB,
        shared_per_block=shared_kib[1] * KIB,
        shared_unit=128 if ampere_on else 256,
        shared_reserved=KIB if ampere_on else 0,
        warp_unit=warp_unit,
    )


# rates: fp32 lanes, 16-bit results, Tensor Core FLOP (16-bit, TF32); residents: threads, blocks; shared KiB: SM, block.
_KNOWN = {
    found.compute_capability: found
    for found in (
        _of("6.0", "Pascal", (64, 128, None, None), (2048, 32), (64, 48), warp_unit=2),
        _of("6.1", "Pascal", (128, 2, None, None), (2048, 32), (96, 48)),
        _of("7.0", "Volta", (64, 128, 1024, None), (2048, 32), (96, 96)),
        _of("7.5", "Turing", (64, 128, 1024, None), (1024, 16), (64, 64)),
        _of("8.0", "Ampere", (64, 256, 2048, 1024), (2048, 32), (164, 163)),
        _of("8.6", "Ampere", (128, 128, 1024, 512), (1536, 16), (100, 99)),
        _of("8.9", "Ada", (128, 128, 1024, 512), (1536, 24), (100, 99)),
        _of("9.0", "Hopper", (128, 256, 4096, 2048), (2048, 32), (228, 227)),
        _of("10.0", "Blackwell", (128, None, 8192, 4096), (2048, 32), (228, 227)),
        _of("12.0", "Blackwell", (128, 128, 1024, 512), (1536, 24), (100, 99)),
    )
}


def architecture(compute_capability: str | float) -> Architecture | None:
    """Return the architecture of a compute capability such as `6.1`; None where the table lacks it."""
    return _KNOWN.get(str(compute_capability))


def has_tensor_cores(name: str, compute_capability: str | float) -> bool:
    """Return whether a card of this name and compute capability, such as `7.5`, has Tensor Cores."""
    capability = float(compute_capability)
    return capability >= TENSOR_CORES_FROM and not (capability == 7.5 and _WITHOUT.search(name))
