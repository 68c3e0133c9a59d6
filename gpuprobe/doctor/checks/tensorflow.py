"""TensorFlow itself: whether it imports, sees the GPU, computes on it, and compiles for it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from gpuprobe import wording
from gpuprobe.doctor.check import (
    NO_GPU,
    NO_TENSORFLOW,
    NOT_INSTALLED,
    CheckResult,
    check,
    failed,
    passed,
    skipped,
    unknown,
    warned,
)
from gpuprobe.doctor.checks.system import WSL2

if TYPE_CHECKING:
    from gpuprobe.doctor.facts import Facts

ORDER = 20
# The other backends of Keras; gpuprobe run --backend takes each.
OTHER_BACKENDS = {"jax": "JAX", "torch": "PyTorch"}
INSTALL_TENSORFLOW = "pip install 'tensorflow[and-cuda]'"
# The libraries without which TensorFlow registers no GPU; CUPTI is needed by its profiler alone.
LIBRARIES_FOR_GPU = ("cudart", "cublas", "cublasLt", "cufft", "cusolver", "cusparse", "cudnn")
# Values of CUDA_VISIBLE_DEVICES that hide all GPUs.
HIDES_ALL_GPUS = frozenset({"", "-1", "none", "NoDevFiles"})
# TensorFlow's log messages, the reasons, and the fixes. Sources: issue threads of TensorFlow, and CUDA's cuda.h.
TENSORFLOW_SIGNS = (
    (
        r"Could not find cuda drivers",
        "it does not find the driver's library libcuda.so.1",
        "ldconfig -p | grep libcuda must name it; in a container set NVIDIA_DRIVER_CAPABILITIES=compute,utility, under "
        "WSL2 put /usr/lib/wsl/lib on LD_LIBRARY_PATH",
    ),
    (r"CUDA_ERROR_NO_DEVICE|no CUDA-capable device", "CUDA finds no device", "unset CUDA_VISIBLE_DEVICES"),
    (
        r"CUDA_ERROR_SYSTEM_DRIVER_MISMATCH|driver version does not match|kernel version .* does not match",
        "the driver's library and kernel module differ in version",
        "sudo reboot",
    ),
    (
        r"CUDA_ERROR_UNKNOWN|UNKNOWN ERROR \(303\)|CUDA_ERROR_NOT_INITIALIZED",
        "CUDA could not start",
        "sudo modprobe nvidia_uvm, or reboot after a driver update",
    ),
    (r"CUDA_ERROR_OUT_OF_MEMORY", "the GPU's memory is full", "end what holds it: nvidia-smi lists the processes"),
    (
        r"Loaded runtime CuDNN library: ([\d.]+) but source was compiled with: ([\d.]+)",
        "the cuDNN that was loaded is older than the one TensorFlow was built with",
        f"take the older cuDNN off LD_LIBRARY_PATH, or {INSTALL_TENSORFLOW}",
    ),
)


@check("TensorFlow imports")
def tensorflow_imports(facts: Facts) -> CheckResult:
    """Check that TensorFlow imports within the time limit, in a process of its own."""
    tensorflow = facts.tensorflow
    if tensorflow.missing is None:
        build = {True: f"built for CUDA {tensorflow.cuda}", False: "built without CUDA", None: "unknown build"}
        return passed(f"{tensorflow.version}, {build[tensorflow.cuda_build]}")
    other_backends = [
        f"{title} {versions[package]}"
        for package, title in OTHER_BACKENDS.items()
        if package in (versions := facts.packages.versions)
    ]
    if tensorflow.missing == NOT_INSTALLED and other_backends:
        return skipped(f"{NO_TENSORFLOW}; Keras can train with {wording.listing(other_backends)}")
    if tensorflow.missing == NOT_INSTALLED:
        return failed(NO_TENSORFLOW, _how_to_install(facts) if facts.has_gpu else "pip install tensorflow")
    fix = "see what this prints: python -c 'import tensorflow'; a new venv cures most clashes of packages"
    if "SIGILL" in tensorflow.missing:
        fix = "this processor lacks AVX, which TensorFlow's packages need: install a build without it (conda-forge)"
    if "had not ended" in tensorflow.missing:
        fix = f"give it longer (gpuprobe doctor --limit 10m); if that does not help, {fix}"
    return failed(f"its import fails: {tensorflow.missing}", fix, *_last_log_lines(tensorflow.log))


@check("TensorFlow sees the GPU")
def tensorflow_gpu(facts: Facts) -> CheckResult:
    """Check that TensorFlow lists as many GPUs as the driver; else find the reason in its log and its libraries."""
    tensorflow, driver = facts.tensorflow, facts.driver
    if not facts.has_gpu:
        return skipped(NO_GPU)
    if tensorflow.missing is not None:
        return unknown("TensorFlow does not import")
    if tensorflow.gpus is None:
        return unknown(tensorflow.stages.get("devices") or tensorflow.died or "it was not asked")
    listed_gpus, driver_gpus = len(tensorflow.gpus), len(driver.gpus)
    visible_devices = facts.system.environment.get("CUDA_VISIBLE_DEVICES")
    if listed_gpus >= driver_gpus:
        return passed(
            f"{listed_gpus} of {driver_gpus}: "
            + wording.listing([gpu.device_name or gpu.name for gpu in tensorflow.gpus])
        )
    if listed_gpus:
        says = f"{listed_gpus} of {driver_gpus} GPUs"
        if visible_devices is not None:
            return passed(f"{says}, as CUDA_VISIBLE_DEVICES={visible_devices} says")
        if any(card.mig for card in facts.cards):
            return passed(f"{says}; a GPU split by MIG shows one instance")
        return warned(f"{says}, for an unknown reason", "gpuprobe doctor --json shows TensorFlow's log")
    return _why_no_gpu(facts, visible_devices)


def _why_no_gpu(facts: Facts, visible_devices: str | None) -> CheckResult:
    tensorflow = facts.tensorflow
    tensorflow_log = tensorflow.log
    if facts.system.system == "Windows":
        return failed("TensorFlow has used no GPU on native Windows since 2.11", WSL2)
    if tensorflow.cuda_build is False:
        return failed(
            "this TensorFlow was built without CUDA", f"pip uninstall -y tensorflow-cpu; {INSTALL_TENSORFLOW}"
        )
    if visible_devices is not None and visible_devices.strip() in HIDES_ALL_GPUS:
        return failed(f"CUDA_VISIBLE_DEVICES={visible_devices!r} hides every GPU", "unset CUDA_VISIBLE_DEVICES")
    load_errors = [
        log_line
        for log_line in tensorflow_log.splitlines()
        if "Could not load dynamic library" in log_line or "Cannot dlopen" in log_line
    ]
    libraries_missing = missing_libraries(facts)
    if load_errors or libraries_missing:
        missing_words = f": {wording.listing(libraries_missing)}" if libraries_missing else ""
        says = f"none of {len(facts.driver.gpus)}: its CUDA libraries do not load{missing_words}"
        library_path = facts.system.environment.get("LD_LIBRARY_PATH")
        # TensorFlow finds the libraries in its own wheels, unless others come first on the path.
        fix = (
            INSTALL_TENSORFLOW
            if libraries_missing or not library_path
            else f"unset LD_LIBRARY_PATH (it names {library_path}), or {INSTALL_TENSORFLOW}"
        )
        return failed(says, fix, *[short_line(log_line) for log_line in load_errors[:3]])
    for pattern, why, fix in TENSORFLOW_SIGNS:
        sign = re.search(pattern, tensorflow_log)
        if sign:
            return failed(
                f"none of {len(facts.driver.gpus)}: {why}", fix, short_line(_log_line_at(tensorflow_log, sign.start()))
            )
    fix = (
        "gpuprobe doctor --json shows TensorFlow's log; most often this cures it: a new venv and " + INSTALL_TENSORFLOW
    )
    return failed(
        f"none of {len(facts.driver.gpus)}, and its log does not say why", fix, *_last_log_lines(tensorflow_log)
    )


def _how_to_install(facts: Facts) -> str:
    return WSL2 if facts.system.system == "Windows" else INSTALL_TENSORFLOW


def missing_libraries(facts: Facts) -> list[str]:
    """Return the CUDA libraries that were searched for and not found; empty if none was searched for."""
    libraries = facts.tensorflow.libraries
    return [f"lib{library}" for library in LIBRARIES_FOR_GPU if library in libraries and not libraries[library]]


def _last_log_lines(tensorflow_log: str) -> list[str]:
    return [short_line(log_line) for log_line in tensorflow_log.splitlines() if log_line.strip()][-3:]


def _log_line_at(tensorflow_log: str, position: int) -> str:
    return tensorflow_log[tensorflow_log.rfind("\n", 0, position) + 1 :].partition("\n")[0]


def short_line(log_line: str) -> str:
    """Cut a line of a log to 200 characters."""
    return log_line if len(log_line) <= 200 else log_line[:197] + "..."
