"""The NVIDIA driver, and whether it is new enough for the CUDA that this TensorFlow was built for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpuprobe import wording
from gpuprobe.doctor.check import NO_GPU, CheckResult, check, failed, passed, skipped, unknown, warned

if TYPE_CHECKING:
    from gpuprobe.doctor.facts import Facts

ORDER = 10
# The oldest Linux driver of each CUDA major version, with which every minor version of it runs.
# Source: NVIDIA, "CUDA Compatibility", table of minor version compatibility.
OLDEST_DRIVER = {11: "450.80.02", 12: "525.60.13", 13: "580"}


# Why an installed driver does not answer, by the sampler's state.
STATES = {
    "driver_mismatch": ("its kernel module and its library differ in version, as after an update", "sudo reboot"),
    "no_permission": (
        "it refuses to answer this user",
        "add your user to the group that owns the devices: ls -l /dev/nvidia*",
    ),
    "driver_not_loaded": (
        "it is installed, but its kernel module is not loaded",
        "sudo modprobe nvidia; where that fails (Secure Boot, a new kernel), install the driver again",
    ),
    "driver_hung": ("it does not answer", "sudo reboot; sudo dmesg | grep -i xid names the fault"),
    "gpu_lost": ("the GPU has fallen off the bus", "sudo reboot; check power and seating of the card"),
    "driver_crashed": ("a call into it crashes", "install the driver again, then: sudo reboot"),
    "vanished": ("the GPU is gone from the driver's list", "sudo reboot; check power and seating of the card"),
    "driver_reset": ("the GPU needs a reset", "sudo nvidia-smi --gpu-reset, or reboot"),
}


@check("NVIDIA driver")
def gpu_driver(facts: Facts) -> CheckResult:
    """The driver answers and sees a GPU."""
    driver = facts.driver
    if driver.gpus and driver.lost:
        index, state = driver.lost[0]
        says, fix = STATES.get(state, (f"the driver does not tell why ({state})", "sudo dmesg | grep -i xid"))
        words = f"GPU {index} of {len(driver.gpus)} does not answer: {says}"
        return failed(words, fix, *(f"gpu{number}: {name}" for number, name in driver.lost))
    if driver.gpus:
        names = wording.listing([gpu.name for gpu in driver.gpus])
        return passed(f"{driver.driver}, up to CUDA {driver.cuda or 'unknown'}; {names}")
    reason = driver.missing or "it sees no GPU"
    evidence = (
        f"NVML: {reason}",
        f"NVIDIA devices on the PCI bus: {'unknown' if driver.pci_gpus is None else driver.pci_gpus}",
        f"device nodes: {', '.join(driver.device_nodes) or 'none'}",
    )
    if driver.state in STATES:
        says, fix = STATES[driver.state]
        return failed(says, fix, *evidence)
    if facts.system.wsl == 2 and "/dev/dxg" in driver.device_nodes:
        fix = "install the current NVIDIA driver on Windows (none inside WSL), then: wsl --shutdown"
        return failed(f"WSL2 offers a GPU, but {reason}", fix, *evidence)
    if driver.pci_gpus and facts.system.container:
        return failed(f"a GPU is in this machine, but the container has no driver: {reason}", CONTAINER, *evidence)
    if driver.pci_gpus:
        fix = "install the driver (Ubuntu: sudo ubuntu-drivers install), then reboot"
        if driver.nouveau:
            fix += "; the open driver nouveau holds the card and must be blacklisted"
        return failed(f"a GPU is in this machine, but {reason}", fix, *evidence)
    if driver.pci_gpus == 0:
        return skipped("no NVIDIA GPU in this machine", *evidence)
    return unknown(f"{reason}, and the PCI bus cannot be looked at", *evidence)


CONTAINER = "install nvidia-container-toolkit on the host and start with: docker run --gpus all"


@check("driver against CUDA")
def driver_cuda(facts: Facts) -> CheckResult:
    """The driver is at least as new as the CUDA that TensorFlow was built with, or of the same major version."""
    if not facts.has_gpu:
        return skipped(NO_GPU)
    offered, wanted = cuda_version(facts.driver.cuda), cuda_version(facts.tensorflow.cuda)
    if wanted is None:
        return unknown("which CUDA this TensorFlow was built for is not known")
    if offered is None:
        return unknown("which CUDA the driver supports is not known")
    evidence = f"driver {facts.driver.driver}: up to CUDA {facts.driver.cuda}; TensorFlow: {facts.tensorflow.cuda}"
    if offered >= wanted:
        return passed(f"CUDA {facts.driver.cuda} of the driver covers TensorFlow's {facts.tensorflow.cuda}", evidence)
    fix = f"update the driver to one that supports CUDA {wanted[0]}.{wanted[1]}"
    if offered[0] == wanted[0]:
        says = f"the driver knows CUDA {facts.driver.cuda}, TensorFlow was built for {facts.tensorflow.cuda}: "
        return warned(says + "kernels that must be compiled at run time may fail", fix, evidence)
    oldest = OLDEST_DRIVER.get(wanted[0])
    says = f"too old: it knows CUDA {facts.driver.cuda}, TensorFlow needs {facts.tensorflow.cuda}"
    return failed(says, fix + (f" ({oldest} or newer)" if oldest else ""), evidence)


def cuda_version(text: str) -> tuple[int, int] | None:
    """Read `12.4` or `13`, a minor version of 0 where it has none; None where it is no number."""
    parts = text.split(".")
    if not parts[0].isdigit():
        return None
    return int(parts[0]), int(parts[1]) if len(parts) > 1 and parts[1].isdigit() else 0
