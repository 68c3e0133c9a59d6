"""JAX and PyTorch: whether each imports, sees the GPU, and computes on it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gpuprobe import wording
from gpuprobe.doctor.check import NO_GPU, NOT_INSTALLED, CheckResult, check, failed, passed, skipped, unknown, warned
from gpuprobe.doctor.checks.driver import OLDEST_DRIVER, cuda_version
from gpuprobe.doctor.checks.tensorflow import HIDES_ALL_GPUS, TENSORFLOW_SIGNS

if TYPE_CHECKING:
    from gpuprobe.doctor.facts import BackendFacts, Facts

ORDER = 30


@dataclass(frozen=True)
class Build:
    """The name of a framework's CPU build, and how to install its GPU build for the driver's CUDA version."""

    title: str
    package: str
    for_processor: str
    install: str

    def fix(self, driver_cuda: str) -> str:
        """Return how to install the build whose CUDA the driver supports."""
        major = 13 if (cuda_version(driver_cuda) or (0, 0))[0] >= 13 else 12
        return self.install.format(major=major, index="cu130" if major == 13 else "cu126")


JAX = Build(
    "JAX",
    "jax",
    "no plugin for CUDA is installed, so that it computes on the processor",
    "pip install 'jax[cuda{major}]'",
)
TORCH = Build(
    "PyTorch",
    "torch",
    "it was built without CUDA",
    "pip install --force-reinstall torch --index-url https://download.pytorch.org/whl/{index}",
)
# Their log messages and errors, the reasons, and the fixes. Sources: jax_plugins/cuda/__init__.py and
# jax/_src/xla_bridge.py of JAX; c10/cuda/CUDAFunctions.cpp and torch/cuda/__init__.py of PyTorch.
BACKEND_SIGNS = (
    (
        r"driver on your system is too old|CUDA_ERROR_INSUFFICIENT_DRIVER|driver version is insufficient",
        "the driver is too old for its CUDA",
        "update the NVIDIA driver, or install the build for the CUDA that the driver knows: {build}",
    ),
    (
        r"Outdated (\S+) installation found|Unable to load (\S+)\. Is it installed",
        "a CUDA library is too old or missing",
        "unset LD_LIBRARY_PATH, or {build}",
    ),
    (
        r"no kernel image is available|is not compatible with the current PyTorch|the minimum supported compute",
        "it holds no kernels for this card",
        "install a release that was built for it: an older one for an old card, the newest one for a new card",
    ),
    (
        r"RESOURCE_EXHAUSTED|out of memory",
        "the GPU's memory is full",
        "end what holds it: nvidia-smi lists the processes",
    ),
    (
        r"CUDA unknown error",
        "CUDA could not start",
        "sudo modprobe nvidia_uvm, or reboot after a driver update",
    ),
)


@check("JAX sees the GPU")
def jax_gpu(facts: Facts) -> CheckResult:
    """It imports, lists as many GPUs as the driver, and multiplies matrices there."""
    return _check_backend(facts, JAX)


@check("PyTorch sees the GPU")
def torch_gpu(facts: Facts) -> CheckResult:
    """It imports, lists as many GPUs as the driver, and multiplies matrices there."""
    return _check_backend(facts, TORCH)


def _check_backend(facts: Facts, build: Build) -> CheckResult:
    backend_facts = next((backend for backend in facts.backends if backend.backend == build.package), None)
    if backend_facts is None or backend_facts.missing == NOT_INSTALLED:
        return skipped(f"{build.title} is not installed")
    if backend_facts.missing is not None:
        fix = f"see what this prints: python -c 'import {build.package}'"
        return failed(f"its import fails: {backend_facts.missing}", fix, *_last_log_lines(backend_facts))
    if backend_facts.gpus is None:
        stage_state = backend_facts.stages.get("devices", "begun")
        failure = (backend_facts.died or "it was not asked") if stage_state == "begun" else stage_state
        return _failed_by_log(facts, build, backend_facts, f"it does not list its devices: {failure}")
    if not facts.has_gpu:
        return _on_processor(build, backend_facts)
    listed_gpus, driver_gpus = len(backend_facts.gpus), len(facts.driver.gpus)
    if not listed_gpus:
        return _why_no_gpu(facts, build, backend_facts)
    stage_state = backend_facts.stages.get("compute", "begun")
    if stage_state != "ok":
        failure = (backend_facts.died or "it was not reached") if stage_state == "begun" else stage_state
        return _failed_by_log(facts, build, backend_facts, f"a matrix product on the GPU fails: {failure}")
    says = f"{backend_facts.version}, {listed_gpus} of {driver_gpus}: {wording.listing(list(backend_facts.gpus))}"
    visible_devices = facts.system.environment.get("CUDA_VISIBLE_DEVICES")
    if listed_gpus >= driver_gpus or visible_devices is not None or any(card.mig for card in facts.cards):
        return passed(says)
    return warned(f"{says}, for an unknown reason", f"gpuprobe doctor --json shows the log of {build.title}")


def _on_processor(build: Build, backend_facts: BackendFacts) -> CheckResult:
    compute_state = backend_facts.stages.get("compute", "begun")
    if compute_state == "ok":
        return skipped(NO_GPU, f"{build.title} {backend_facts.version} computes on the processor")
    if compute_state == "begun":
        return unknown(f"a matrix product on the processor: {backend_facts.died or 'it was not reached'}")
    fix = f"a new venv cures most clashes of packages; gpuprobe doctor --json shows the log of {build.title}"
    return failed(f"a matrix product on the processor fails: {compute_state}", fix, *_last_log_lines(backend_facts))


def _why_no_gpu(facts: Facts, build: Build, backend_facts: BackendFacts) -> CheckResult:
    environment = facts.system.environment
    no_gpus = f"none of {len(facts.driver.gpus)}"
    if backend_facts.cuda == "":
        return failed(
            f"{no_gpus}: {build.for_processor}", build.fix(facts.driver.cuda), f"{build.title} {backend_facts.version}"
        )
    visible_devices = environment.get("CUDA_VISIBLE_DEVICES")
    if visible_devices is not None and visible_devices.strip() in HIDES_ALL_GPUS:
        return failed(f"CUDA_VISIBLE_DEVICES={visible_devices!r} hides every GPU", "unset CUDA_VISIBLE_DEVICES")
    platforms = environment.get("JAX_PLATFORMS", "")
    if build is JAX and platforms and not {"cuda", "gpu"} & set(platforms.split(",")):
        return failed(f"JAX_PLATFORMS={platforms} excludes the GPU", "unset JAX_PLATFORMS")
    driver_too_old = _driver_too_old(facts, build, backend_facts)
    if driver_too_old is not None:
        return driver_too_old
    return _failed_by_log(facts, build, backend_facts, f"{no_gpus}, and its log does not say why")


def _driver_too_old(facts: Facts, build: Build, backend_facts: BackendFacts) -> CheckResult | None:
    """Compare major versions: a driver runs every minor version of a CUDA whose major version it supports."""
    cuda_needed, cuda_of_driver = cuda_version(backend_facts.cuda or ""), cuda_version(facts.driver.cuda)
    if cuda_needed is None or cuda_of_driver is None or cuda_of_driver[0] >= cuda_needed[0]:
        return None
    oldest_driver = OLDEST_DRIVER.get(cuda_needed[0])
    version = f" ({oldest_driver} or newer)" if oldest_driver else ""
    fix = f"update the NVIDIA driver{version}, or {build.fix(facts.driver.cuda)}"
    evidence = f"driver {facts.driver.driver}: up to CUDA {facts.driver.cuda}; {build.title}: CUDA {backend_facts.cuda}"
    return failed(
        f"the driver is too old: it supports CUDA {facts.driver.cuda}, {backend_facts.cuda} is needed", fix, evidence
    )


def _failed_by_log(facts: Facts, build: Build, backend_facts: BackendFacts, unexplained: str) -> CheckResult:
    backend_log = backend_facts.log + " ".join(backend_facts.stages.values())
    for pattern, why, fix in (*BACKEND_SIGNS, *TENSORFLOW_SIGNS):
        sign = re.search(pattern, backend_log)
        if sign:
            log_line = backend_log[backend_log.rfind("\n", 0, sign.start()) + 1 :].partition("\n")[0]
            return failed(why, fix.replace("{build}", build.fix(facts.driver.cuda)), log_line[:200])
    if "had not ended" in backend_facts.died:
        return unknown(f"{unexplained}; give it longer: gpuprobe doctor --limit 10m")
    return failed(
        unexplained, f"gpuprobe doctor --json shows the log of {build.title}", *_last_log_lines(backend_facts)
    )


def _last_log_lines(backend_facts: BackendFacts) -> list[str]:
    return [log_line[:200] for log_line in backend_facts.log.splitlines() if log_line.strip()][-3:]
