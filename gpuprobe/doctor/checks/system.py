"""The system around the GPU: platform, processors, memory, and environment variables."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpuprobe import wording
from gpuprobe.doctor.check import CheckResult, check, failed, passed, unknown, warned
from gpuprobe.thresholds import fixed

if TYPE_CHECKING:
    from gpuprobe.doctor.facts import Facts

ORDER = 50
# TensorFlow 2.10 was the last with GPU support on native Windows (tensorflow.org/install/pip).
LAST_ON_WINDOWS = (2, 10)


@check("platform")
def platform(facts: Facts) -> CheckResult:
    """Check that TensorFlow uses NVIDIA GPUs on this platform."""
    system = facts.system
    if system.system == "Windows":
        version = tuple(
            int(number_part) for number_part in facts.tensorflow.version.split(".")[:2] if number_part.isdigit()
        )
        if version and version <= LAST_ON_WINDOWS:
            return warned("native Windows, with a TensorFlow that is no longer maintained", WSL2)
        return failed("native Windows: TensorFlow uses no GPU there since 2.11", WSL2)
    if system.wsl == 1:
        return failed("WSL1 has no GPU", "wsl --set-version DISTRIBUTION 2")
    if system.wsl == 2:
        says = "WSL2: TensorFlow runs, but the driver gives less (no programs, no link, few counters)"
        return warned(
            says, "install the driver on Windows alone, never inside WSL; measure with NVML, not Task Manager"
        )
    if system.system == "Darwin":
        return warned("macOS: no NVIDIA GPU; TensorFlow runs on the processor", "train on Linux for the GPU")
    container_words = ", in a container" if system.container else ""
    return passed(f"{system.system} {system.release}{container_words}, Python {system.python}")


WSL2 = "use WSL2 (wsl --install), and TensorFlow inside it"


@check("processors")
def processors(facts: Facts) -> CheckResult:
    """Check that the container's quota covers the processors for which TensorFlow starts threads."""
    system = facts.system
    evidence = (
        f"processors: {system.cpu_count}, allowed by affinity: {system.affinity}",
        f"quota of the control group: {'none' if system.cpu_quota is None else f'{system.cpu_quota:g} cores'}",
    )
    if system.cpu_quota is not None and system.cpu_quota < system.affinity:
        threads = max(1, int(system.cpu_quota))
        says = (
            f"the container may use {system.cpu_quota:g} cores, but TensorFlow will start {system.affinity} threads: "
            "the kernel will throttle them"
        )
        fix = (
            f"tf.config.threading.set_intra_op_parallelism_threads({threads}), likewise inter_op, and "
            f"options.threading.private_threadpool_size = {threads} of tf.data; or raise --cpus"
        )
        return warned(says, fix, *evidence)
    processors_allowed = wording.count(system.affinity, "processor")
    return passed(
        processors_allowed + (f" of {system.cpu_count}" if system.affinity < system.cpu_count else ""), *evidence
    )


@check("host memory")
def host_memory(facts: Facts) -> CheckResult:
    """Check that memory is left for the data, within the container's limit."""
    system = facts.system
    if system.memory_mib is None or system.memory_available_mib is None:
        return unknown("the system does not report it")
    limit_mib = min(system.memory_mib, system.memory_limit_mib or system.memory_mib)
    total_memory, memory_left = (
        wording.mebibytes(limit_mib),
        wording.mebibytes(min(limit_mib, system.memory_available_mib)),
    )
    limit_words = " that the container may use" if limit_mib < system.memory_mib else ""
    if system.memory_available_mib < fixed.MEMORY_LEFT * limit_mib:
        return warned(
            f"{memory_left} left of {total_memory}{limit_words}",
            "end other programs, or keep less of the data in memory",
        )
    return passed(f"{memory_left} left of {total_memory}{limit_words}")


@check("environment variables")
def switches(facts: Facts) -> CheckResult:
    """Check that no environment variable slows training down."""
    variables = facts.system.environment
    if variables.get("CUDA_LAUNCH_BLOCKING", "0") not in {"", "0"}:
        says = "CUDA_LAUNCH_BLOCKING makes the processor wait for every kernel"
        return warned(says, "unset CUDA_LAUNCH_BLOCKING", f"CUDA_LAUNCH_BLOCKING={variables['CUDA_LAUNCH_BLOCKING']}")
    if variables.get("PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION") == "python":
        says = "protobuf runs in pure Python: traces take minutes to read"
        return warned(says, "unset PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION")
    if "--xla_dump_to" in variables.get("XLA_FLAGS", ""):
        return warned("XLA writes every program it compiles to disk", "unset XLA_FLAGS", variables["XLA_FLAGS"])
    if facts.has_gpu and "cud" in variables.get("LD_LIBRARY_PATH", "").lower():
        says = "LD_LIBRARY_PATH puts another CUDA before the one that TensorFlow brought"
        return warned(says, "unset LD_LIBRARY_PATH", f"LD_LIBRARY_PATH={variables['LD_LIBRARY_PATH']}")
    variables_set = [variable for variable in variables if variable != "LD_LIBRARY_PATH"]
    return passed("none that slows training" + (f"; set: {', '.join(variables_set)}" if variables_set else ""))
