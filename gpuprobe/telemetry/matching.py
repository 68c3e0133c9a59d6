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

PCI_BUS_ID = re.compile(r"(?:([0-9a-f]{4,8}):)?([0-9a-f]{1,2}):([0-9a-f]{1,2})(?:\.[0-7])?", re.IGNORECASE)
NUMBER = re.compile(r"\d+", re.ASCII)
BUS_ID_BYTES = 32


class Visible(Record, frozen=True, kw_only=True):
    """NVML's numbers of the GPUs that a process sees, in CUDA's order, or the reason why they are unknown."""

    indices: tuple[int, ...] = ()
    missing: str | None = None


def same_bus(first_id: str, second_id: str) -> bool:
    """Whether two PCI bus ids name the same device, as `0000:01:00.0` and `00000000:01:00.0` do.

    In a shared copy of a study, equal placeholders name the same device.
    """
    first_bus, second_bus = _bus_numbers(first_id) or first_id, _bus_numbers(second_id) or second_id
    return bool(first_bus) and first_bus == second_bus


def gpu_at_bus(pci_bus_id: str, facts: Mapping[str, Mapping[str, object]]) -> int | None:
    """Return the number of the GPU at a PCI bus id by the facts of a recording, None if there is none."""
    for device, gpu_facts in facts.items():
        if device.startswith("gpu") and same_bus(str(gpu_facts.get("pci_bus_id", "")), pci_bus_id):
            return int(device[3:])
    return None


def visible(gpus: Sequence[GpuInfo], visible_devices: str | None, device_order: str | None) -> Visible:
    """Return the GPUs visible under CUDA_VISIBLE_DEVICES and CUDA_DEVICE_ORDER; None where the variable is not set."""
    # Without an order CUDA puts the fastest card first, by a rule that is not documented.
    order_is_known = device_order == "PCI_BUS_ID" or len({gpu.name for gpu in gpus}) <= 1
    gpus_by_bus = sorted(gpus, key=lambda gpu: (_bus_numbers(gpu.pci_bus_id) or (0, 0, 0), gpu.index))
    visible_tokens = None if visible_devices is None else [word.strip() for word in visible_devices.split(",")]
    if not order_is_known and (
        visible_tokens is None or (len(gpus_by_bus) > 1 and any(map(NUMBER.fullmatch, visible_tokens)))
    ):
        return Visible(missing="GPUs of several models, and CUDA_DEVICE_ORDER=PCI_BUS_ID is not set")
    if visible_tokens is None:
        return Visible(indices=tuple(gpu.index for gpu in gpus_by_bus))
    visible_indices: list[int] = []
    for token in visible_tokens:
        if token.startswith("MIG-"):
            return Visible(missing=f"{token} is an instance of a GPU split by MIG, which no list of GPUs tells")
        named_gpu = _gpu_named(token, gpus_by_bus)
        # An invalid or ambiguous entry hides itself and all after it.
        if named_gpu is None:
            break
        if named_gpu.index in visible_indices:
            return Visible(missing=f"CUDA_VISIBLE_DEVICES names {token} twice, so that CUDA shows no GPU")
        visible_indices.append(named_gpu.index)
    return Visible(indices=tuple(visible_indices))


def _gpu_named(token: str, gpus_by_bus: Sequence[GpuInfo]) -> GpuInfo | None:
    """Return the GPU for a number or the beginning of a UUID; None where no GPU or several match."""
    if NUMBER.fullmatch(token):
        return gpus_by_bus[int(token)] if int(token) < len(gpus_by_bus) else None
    gpus_of_uuid = [gpu for gpu in gpus_by_bus if token.startswith("GPU-") and gpu.uuid.startswith(token)]
    return gpus_of_uuid[0] if len(gpus_of_uuid) == 1 else None


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
    device, bus_id = ctypes.c_int(), ctypes.create_string_buffer(BUS_ID_BYTES)
    if cuda.cuDeviceGet(ctypes.byref(device), ordinal) or cuda.cuDeviceGetPCIBusId(bus_id, BUS_ID_BYTES, device):
        return ""
    return bus_id.value.decode(errors="replace")


def _bus_numbers(pci_bus_id: str) -> tuple[int, int, int] | None:
    pci_match = PCI_BUS_ID.fullmatch(pci_bus_id.strip())
    return (int(pci_match[1] or "0", 16), int(pci_match[2], 16), int(pci_match[3], 16)) if pci_match else None
