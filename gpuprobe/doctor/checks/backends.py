"""JAX and PyTorch: whether each imports, sees the GPU, and computes on it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gpuprobe import wording
from gpuprobe.doctor.check import NO_GPU, NOT_INSTALLED, CheckResult, check, failed, passed, skipped, unknown, warned
from gpuprobe.doctor.checks.driver import OLDEST_DRIVER, cuda_version
from gpuprobe.doctor.checks.tensorflow import HIDING, SIGNS

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
OWN_SIGNS = (
    (
        r"driver on your system is too old|CUDA_ERROR_INSUFFICIENT_DRIVER|driver version is insufficient",
        "the driver is too old for its CUDA",
        "update the NVIDIA driver, or install the build for the CUDA that the driver knows: {build}",
    ),
    (
        r"Outdated (\S+) installation found|Unable to load (\S+)\. Is it installed",
        "it finds a CUDA library that is too old, or none",
        "unset LD_LIBRARY_PATH, or {build}",
    ),
    (
        r"no kernel image is available|is not compatible with the current PyTorch|the minimum supported compute",
        "it holds no kernels for this card",
        "take a release that was built for it: an older one for an old card, the newest for a new one",
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
    return _sees(facts, JAX)


@check("PyTorch sees the GPU")
def torch_gpu(facts: Facts) -> CheckResult:
    """It imports, lists as many GPUs as the driver, and multiplies matrices there."""
    return _sees(facts, TORCH)


def _sees(facts: Facts, build: Build) -> CheckResult:
    installed = next((backend for backend in facts.backends if backend.backend == build.package), None)
    if installed is None or installed.missing == NOT_INSTALLED:
        return skipped(f"{build.title} is not installed")
    if installed.missing is not None:
        fix = f"see what this prints: python -c 'import {build.package}'"
        return failed(f"its import does not end well: {installed.missing}", fix, *_last_lines(installed))
    if installed.gpus is None:
        state = installed.stages.get("devices", "begun")
        failure = (installed.died or "it was not asked") if state == "begun" else state
        return _for_a_reason(facts, build, installed, f"it does not list its devices: {failure}")
    if not facts.has_gpu:
        return _on_processor(build, installed)
    seen, there = len(installed.gpus), len(facts.driver.gpus)
    if not seen:
        return _why_none(facts, build, installed)
    state = installed.stages.get("compute", "begun")
    if state != "ok":
        failure = (installed.died or "it was not reached") if state == "begun" else state
        return _for_a_reason(facts, build, installed, f"a matrix product on the GPU fails: {failure}")
    says = f"{installed.version}, {seen} of {there}: {wording.listing(list(installed.gpus))}"
    visible = facts.system.environment.get("CUDA_VISIBLE_DEVICES")
    if seen >= there or visible is not None or any(card.mig for card in facts.cards):
        return passed(says)
    return warned(f"{says}, and nothing says why", f"gpuprobe doctor --json shows what {build.title} logs")


def _on_processor(build: Build, installed: BackendFacts) -> CheckResult:
    state = installed.stages.get("compute", "begun")
    if state == "ok":
        return skipped(NO_GPU, f"{build.title} {installed.version} computes on the processor")
    if state == "begun":
        return unknown(f"a matrix product on the processor: {installed.died or 'it was not reached'}")
    fix = f"a clash of packages is most often cured by a new venv; gpuprobe doctor --json shows what {build.title} logs"
    return failed(f"a matrix product on the processor fails: {state}", fix, *_last_lines(installed))


def _why_none(facts: Facts, build: Build, installed: BackendFacts) -> CheckResult:
    environment = facts.system.environment
    none = f"none of {len(facts.driver.gpus)}"
    if installed.cuda == "":
        return failed(
            f"{none}: {build.for_processor}", build.fix(facts.driver.cuda), f"{build.title} {installed.version}"
        )
    visible = environment.get("CUDA_VISIBLE_DEVICES")
    if visible is not None and visible.strip() in HIDING:
        return failed(f"CUDA_VISIBLE_DEVICES={visible!r} hides every GPU", "unset CUDA_VISIBLE_DEVICES")
    platforms = environment.get("JAX_PLATFORMS", "")
    if build is JAX and platforms and not {"cuda", "gpu"} & set(platforms.split(",")):
        return failed(f"JAX_PLATFORMS={platforms} keeps it from the GPU", "unset JAX_PLATFORMS")
    too_old = _too_old(facts, build, installed)
    if too_old is not None:
        return too_old
    return _for_a_reason(facts, build, installed, f"{none}, and its log does not say why")


def _too_old(facts: Facts, build: Build, installed: BackendFacts) -> CheckResult | None:
    """Compare major versions: a driver runs every minor version of a CUDA whose major one it knows."""
    wanted, offered = cuda_version(installed.cuda or ""), cuda_version(facts.driver.cuda)
    if wanted is None or offered is None or offered[0] >= wanted[0]:
        return None
    oldest = OLDEST_DRIVER.get(wanted[0])
    fix = f"update the NVIDIA driver{f' ({oldest} or newer)' if oldest else ''}, or {build.fix(facts.driver.cuda)}"
    evidence = f"driver {facts.driver.driver}: up to CUDA {facts.driver.cuda}; {build.title}: CUDA {installed.cuda}"
    return failed(
        f"the driver is too old: it knows CUDA {facts.driver.cuda}, {installed.cuda} is needed", fix, evidence
    )


def _for_a_reason(facts: Facts, build: Build, installed: BackendFacts, otherwise: str) -> CheckResult:
    log = installed.log + " ".join(installed.stages.values())
    for pattern, why, fix in (*OWN_SIGNS, *SIGNS):
        match = re.search(pattern, log)
        if match:
            line = log[log.rfind("\n", 0, match.start()) + 1 :].partition("\n")[0]
            return failed(why, fix.replace("{build}", build.fix(facts.driver.cuda)), line[:200])
    if "had not ended" in installed.died:
        return unknown(f"{otherwise}; give it longer: gpuprobe doctor --limit 10m")
    return failed(otherwise, f"gpuprobe doctor --json shows what {build.title} logs", *_last_lines(installed))


def _last_lines(installed: BackendFacts) -> list[str]:
    return [line[:200] for line in installed.log.splitlines() if line.strip()][-3:]
