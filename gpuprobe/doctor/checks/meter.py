"""Which meter of GPU load to trust on this system."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpuprobe.doctor.check import CheckResult, check, passed, warned

if TYPE_CHECKING:
    from gpuprobe.doctor.facts import Facts

ORDER = 70


@check("which meter to trust")
def meter(facts: Facts) -> CheckResult:
    """Tell which meter to use: Task Manager's first graph leaves out CUDA, and NVML does not show efficiency."""
    if facts.system.wsl or facts.system.system == "Windows":
        return warned(
            "Task Manager's graph shows 3D, not CUDA: a busy GPU can look idle",
            "in Task Manager choose Cuda or Compute_0 in place of 3D, or trust nvidia-smi",
        )
    if not facts.has_gpu:
        return passed("without a GPU, the CPU time of the process tree, as gpuprobe watch shows it")
    if any(card.mig for card in facts.cards):
        return warned(
            "NVML gives no utilization of MIG instances", "dcgmi dmon -e 1002,1004 shows SM and Tensor Core activity"
        )
    return passed("nvidia-smi's GPU-Util is the time with a kernel, not how well it fills the GPU: a trace tells that")
