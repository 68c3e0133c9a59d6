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
DRIVER_STATES = {
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
    """Check that the driver answers and sees a GPU."""
    driver = facts.driver
    if driver.gpus and driver.lost:
        lost_gpu, lost_state = driver.lost[0]
        says, fix = DRIVER_STATES.get(
            lost_state, (f"the reason is not known ({lost_state})", "sudo dmesg | grep -i xid")
        )
        lost_words = f"GPU {lost_gpu} of {len(driver.gpus)} does not answer: {says}"
        return failed(lost_words, fix, *(f"gpu{gpu_number}: {gpu_state}" for gpu_number, gpu_state in driver.lost))
    if driver.gpus:
        gpu_names = wording.listing([gpu.name for gpu in driver.gpus])
        return passed(f"{driver.driver}, up to CUDA {driver.cuda or 'unknown'}; {gpu_names}")
    no_gpu_reason = driver.missing or "it sees no GPU"
    evidence = (
        f"NVML: {no_gpu_reason}",
        f"NVIDIA devices on the PCI bus: {'unknown' if driver.pci_gpus is None else driver.pci_gpus}",
        f"device nodes: {', '.join(driver.device_nodes) or 'none'}",
    )
    if driver.state in DRIVER_STATES:
        says, fix = DRIVER_STATES[driver.state]
        return failed(says, fix, *evidence)
    if facts.system.wsl == 2 and "/dev/dxg" in driver.device_nodes:
        fix = "install the current NVIDIA driver on Windows (none inside WSL), then: wsl --shutdown"
        return failed(f"WSL2 offers a GPU, but {no_gpu_reason}", fix, *evidence)
    if driver.pci_gpus and facts.system.container:
        return failed(
            f"a GPU is in this machine, but the container has no driver: {no_gpu_reason}", CONTAINER_FIX, *evidence
        )
    if driver.pci_gpus:
        fix = "install the driver (Ubuntu: sudo ubuntu-drivers install), then reboot"
        if driver.nouveau:
            fix += "; the open driver nouveau holds the card and must be blacklisted"
        return failed(f"a GPU is in this machine, but {no_gpu_reason}", fix, *evidence)
    if driver.pci_gpus == 0:
        return skipped("no NVIDIA GPU in this machine", *evidence)
    return unknown(f"{no_gpu_reason}, and the PCI bus cannot be read", *evidence)


CONTAINER_FIX = "install nvidia-container-toolkit on the host and start with: docker run --gpus all"


@check("driver against CUDA")
def driver_cuda(facts: Facts) -> CheckResult:
    """Check that the driver supports the CUDA version that TensorFlow was built with, or at least its major version."""
    if not facts.has_gpu:
        return skipped(NO_GPU)
    cuda_of_driver, cuda_needed = cuda_version(facts.driver.cuda), cuda_version(facts.tensorflow.cuda)
    if cuda_needed is None:
        return unknown("which CUDA this TensorFlow was built for is not known")
    if cuda_of_driver is None:
        return unknown("which CUDA the driver supports is not known")
    evidence = f"driver {facts.driver.driver}: up to CUDA {facts.driver.cuda}; TensorFlow: {facts.tensorflow.cuda}"
    if cuda_of_driver >= cuda_needed:
        return passed(f"CUDA {facts.driver.cuda} of the driver covers TensorFlow's {facts.tensorflow.cuda}", evidence)
    fix = f"update the driver to one that supports CUDA {cuda_needed[0]}.{cuda_needed[1]}"
    if cuda_of_driver[0] == cuda_needed[0]:
        says = f"the driver supports CUDA {facts.driver.cuda}, TensorFlow was built for {facts.tensorflow.cuda}: "
        return warned(says + "kernels that must be compiled at run time may fail", fix, evidence)
    oldest_driver = OLDEST_DRIVER.get(cuda_needed[0])
    says = f"too old: it supports CUDA {facts.driver.cuda}, TensorFlow needs {facts.tensorflow.cuda}"
    return failed(says, fix + (f" ({oldest_driver} or newer)" if oldest_driver else ""), evidence)


def cuda_version(version: str) -> tuple[int, int] | None:
    """Return (major, minor) of a version such as `12.4` or `13` (minor 0); None where it is no number."""
    version_parts = version.split(".")
    if not version_parts[0].isdigit():
        return None
    return int(version_parts[0]), int(version_parts[1]) if len(version_parts) > 1 and version_parts[1].isdigit() else 0
