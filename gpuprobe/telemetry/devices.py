"""Lists the NVIDIA GPUs, in a process of its own, so that a driver that hangs does not hang the caller."""

from __future__ import annotations

import os
import signal

import msgspec

from gpuprobe import child
from gpuprobe.records import GpuInfo, Record

# A healthy driver answers in well under a second, or in a few if it has to wake a card.
ANSWER_WITHIN_S = 15.0


class Inventory(Record, frozen=True, kw_only=True):
    """The GPUs of this machine in the driver's order, or the one-line reason why there is none.

    `state` names that reason (see `states`); `said` are notices about facts that single GPUs do not give.
    """

    gpus: tuple[GpuInfo, ...] = ()
    driver: str = ""
    cuda: str = ""
    missing: str | None = None
    state: str | None = None
    said: tuple[str, ...] = ()


def inventory() -> Inventory:
    """Return the GPUs that the NVIDIA driver lists, within `ANSWER_WITHIN_S` seconds; never raises."""
    try:
        answer = child.ask("gpuprobe.telemetry.devices", limit_s=ANSWER_WITHIN_S)
        if answer.code is None:
            return Inventory(
                missing=f"the NVIDIA driver did not answer within {ANSWER_WITHIN_S:.0f} s", state="driver_hung"
            )
        if answer.code < 0:
            crash = f"a call into the NVIDIA driver crashed ({signal.Signals(-answer.code).name})"
            return Inventory(missing=crash, state="driver_crashed")
        return msgspec.json.decode(answer.out, type=Inventory)
    except (OSError, msgspec.MsgspecError) as error:
        return Inventory(missing=f"the NVIDIA driver could not be asked ({error})", state="unreadable")


def _list_gpus() -> Inventory:
    from gpuprobe.telemetry import nvml
    from gpuprobe.telemetry.gpu import Gpu

    try:
        gpu_count = nvml.start()
    except nvml.NvmlError as error:
        return Inventory(missing=str(error), state=error.state)
    driver_version, cuda_version = nvml.versions()
    gpus = [Gpu(index) for index in range(gpu_count)]
    notices = tuple(notice for gpu in gpus for notice in gpu.said)
    return Inventory(gpus=tuple(map(_gpu_info, gpus)), driver=driver_version, cuda=cuda_version, said=notices)


def _gpu_info(gpu: object) -> GpuInfo:
    from gpuprobe.telemetry.gpu import Gpu

    assert isinstance(gpu, Gpu)
    memory_total_mib = gpu.facts.get("memory_total_mib")
    return GpuInfo(
        index=gpu.index,
        name=str(gpu.facts.get("name", "unnamed GPU")),
        uuid=str(gpu.facts.get("uuid", "")),
        pci_bus_id=str(gpu.facts.get("pci_bus_id", "")),
        compute_capability=str(gpu.facts.get("compute_capability", "")),
        memory_mib=float(memory_total_mib) if memory_total_mib is not None else None,
        facts=gpu.facts,
    )


if __name__ == "__main__":
    # The driver's library may print lines of its own.
    answer = os.dup(1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    os.write(answer, msgspec.json.encode(_list_gpus()))
