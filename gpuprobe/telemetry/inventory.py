"""Which NVIDIA GPUs there are, asked in a process of its own: a driver that hangs must not hang the caller."""

from __future__ import annotations

import subprocess
import sys

import msgspec

from gpuprobe.records import GpuInfo, Record

# A healthy driver answers in well under a second; one that wakes a sleeping card takes a few.
LIMIT_S = 15.0


class Inventory(Record, frozen=True, kw_only=True):
    """The GPUs of this machine in the driver's order, or the one-line reason why there is none."""

    gpus: tuple[GpuInfo, ...] = ()
    driver: str = ""
    cuda: str = ""
    missing: str | None = None


def inventory() -> Inventory:
    """Ask the NVIDIA driver, within a bounded time; never raises."""
    try:
        asked = subprocess.run(
            [sys.executable, "-m", "gpuprobe.telemetry.inventory"],
            capture_output=True,
            timeout=LIMIT_S,
            check=False,
        )
        return msgspec.json.decode(asked.stdout, type=Inventory)
    except subprocess.TimeoutExpired:
        return Inventory(missing=f"the NVIDIA driver did not answer within {LIMIT_S:.0f} s")
    except (OSError, msgspec.MsgspecError) as error:
        return Inventory(missing=f"the NVIDIA driver could not be asked ({error})")


def _ask() -> Inventory:
    from gpuprobe.telemetry import nvml

    try:
        count = nvml.start()
        driver, cuda = nvml.versions()
        return Inventory(gpus=tuple(nvml.describe(index) for index in range(count)), driver=driver, cuda=cuda)
    except nvml.NvmlError as error:
        return Inventory(missing=str(error))


if __name__ == "__main__":
    sys.stdout.buffer.write(msgspec.json.encode(_ask()))
