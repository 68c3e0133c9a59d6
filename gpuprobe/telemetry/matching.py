"""Finds which GPUs a process uses: NVML numbers them by PCI bus, CUDA by environment variables.

Source: NVIDIA, "CUDA C++ Programming Guide", environment variables CUDA_VISIBLE_DEVICES and CUDA_DEVICE_ORDER.
"""

from __future__ import annotations

import ctypes
import re
from typing import TYPE_CHECKING

from gpuprobe.records import GpuInfo, Record

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

PCI = re.compile(r"(?:([0-9a-f]{4,8}):)?([0-9a-f]{1,2}):([0-9a-f]{1,2})(?:\.[0-7])?", re.IGNORECASE)
NUMBER = re.compile(r"\d+", re.ASCII)
BUS_ID_BYTES = 32


class Visible(Record, frozen=True, kw_only=True):
    """NVML's numbers of the GPUs that a process sees, in CUDA's order, or the reason why they are unknown."""

    indices: tuple[int, ...] = ()
    missing: str | None = None


def same_bus(one: str, other: str) -> bool:
    """Whether two PCI bus ids name one place: `0000:01:00.0` and `00000000:01:00.0` do.

    In a shared copy of a study equal placeholders name one place.
    """
    first, second = _bus(one) or one, _bus(other) or other
    return bool(first) and first == second


def by_bus(pci_bus_id: str, facts: Mapping[str, Mapping[str, object]]) -> int | None:
    """Return the number of the GPU at a PCI bus id by the facts of a recording, None if there is none."""
    for where, gpu_facts in facts.items():
        if where.startswith("gpu") and same_bus(str(gpu_facts.get("pci_bus_id", "")), pci_bus_id):
            return int(where[3:])
    return None


def visible(gpus: Sequence[GpuInfo], devices: str | None, order: str | None) -> Visible:
    """Return the GPUs visible under CUDA_VISIBLE_DEVICES (`devices`) and CUDA_DEVICE_ORDER (`order`); None is unset."""
    # Without an order CUDA puts the fastest card first, by a rule that is not documented.
    ordered = order == "PCI_BUS_ID" or len({gpu.name for gpu in gpus}) <= 1
    by_place = sorted(gpus, key=lambda gpu: (_bus(gpu.pci_bus_id) or (0, 0, 0), gpu.index))
    tokens = None if devices is None else [word.strip() for word in devices.split(",")]
    if not ordered and (tokens is None or (len(by_place) > 1 and any(map(NUMBER.fullmatch, tokens)))):
        return Visible(missing="GPUs of several models, and CUDA_DEVICE_ORDER=PCI_BUS_ID is not set")
    if tokens is None:
        return Visible(indices=tuple(gpu.index for gpu in by_place))
    numbers: list[int] = []
    for token in tokens:
        if token.startswith("MIG-"):
            return Visible(missing=f"{token} is an instance of a GPU split by MIG, which no list of GPUs tells")
        named = _named(token, by_place)
        # An invalid or ambiguous entry hides itself and all after it.
        if named is None:
            break
        if named.index in numbers:
            return Visible(missing=f"CUDA_VISIBLE_DEVICES names {token} twice, so that CUDA shows no GPU")
        numbers.append(named.index)
    return Visible(indices=tuple(numbers))


def _named(token: str, by_place: Sequence[GpuInfo]) -> GpuInfo | None:
    """Return the GPU for a number or the beginning of a UUID; None where no GPU or several match."""
    if NUMBER.fullmatch(token):
        return by_place[int(token)] if int(token) < len(by_place) else None
    matches = [gpu for gpu in by_place if token.startswith("GPU-") and gpu.uuid.startswith(token)]
    return matches[0] if len(matches) == 1 else None


def cuda_bus_ids() -> tuple[str, ...]:
    """Return the PCI bus ids of this process's GPUs in CUDA's order, by CUDA's driver library.

    Empty where there is no such library or no GPU. TensorFlow numbers GPUs in this order.
    """
    try:
        cuda = ctypes.CDLL("libcuda.so.1")
        count = ctypes.c_int()
        if cuda.cuInit(0) or cuda.cuDeviceGetCount(ctypes.byref(count)):
            return ()
        return tuple(_bus_id(cuda, ordinal) for ordinal in range(count.value))
    except (OSError, AttributeError):
        return ()


def _bus_id(cuda: ctypes.CDLL, ordinal: int) -> str:
    device, text = ctypes.c_int(), ctypes.create_string_buffer(BUS_ID_BYTES)
    if cuda.cuDeviceGet(ctypes.byref(device), ordinal) or cuda.cuDeviceGetPCIBusId(text, BUS_ID_BYTES, device):
        return ""
    return text.value.decode(errors="replace")


def _bus(pci_bus_id: str) -> tuple[int, int, int] | None:
    match = PCI.fullmatch(pci_bus_id.strip())
    return (int(match[1] or "0", 16), int(match[2], 16), int(match[3], 16)) if match else None
