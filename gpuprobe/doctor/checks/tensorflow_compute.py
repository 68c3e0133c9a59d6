"""Whether TensorFlow computes right on the GPU or the processor, and compiles for it with XLA."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from gpuprobe import wording
from gpuprobe.doctor.check import NO_GPU, CheckResult, check, failed, passed, skipped, unknown, unreached, warned
from gpuprobe.doctor.checks.tensorflow import INSTALL_TENSORFLOW, TENSORFLOW_SIGNS, short_line

if TYPE_CHECKING:
    from gpuprobe.doctor.facts import Facts

ORDER = 21


@check("compute capability")
def compute_capability(facts: Facts) -> CheckResult:
    """Check that TensorFlow contains kernels for this GPU, or at least PTX that the driver can compile for it."""
    if not facts.has_gpu:
        return skipped(NO_GPU)
    built_capabilities = facts.tensorflow.capabilities
    if not built_capabilities:
        return unknown("which compute capabilities TensorFlow was built for is not known")
    evidence = f"built in: {', '.join(built_capabilities)}"
    compiled_warning: CheckResult | None = None
    for gpu in facts.driver.gpus:
        if not gpu.compute_capability:
            return unknown(f"{gpu.name} does not give its compute capability", evidence)
        kernel_fit = capability_fit(gpu.compute_capability, built_capabilities)
        if kernel_fit == "none":
            fix = "install a TensorFlow built for this card: an older release, NVIDIA's container, or one from source"
            return failed(f"{gpu.compute_capability} of {gpu.name} is not built in", fix, evidence)
        if kernel_fit == "compiled":
            says = f"{gpu.compute_capability} of {gpu.name} is not built in: the driver compiles every kernel at the "
            fix = "export CUDA_CACHE_MAXSIZE=4294967296 keeps them; a newer TensorFlow may hold them"
            compiled_warning = warned(says + "first start, which can take half an hour", fix, evidence)
    if compiled_warning is not None:
        return compiled_warning
    capabilities = wording.listing(sorted({gpu.compute_capability for gpu in facts.driver.gpus}))
    return passed(f"{capabilities} runs on what is built in", evidence)


def capability_fit(capability: str, built: tuple[str, ...]) -> str:
    """Return `native`, `compiled` (from PTX, by the driver) or `none`.

    A binary runs on the same major version and an equal or newer minor one; PTX on anything equal or newer. Source:
    NVIDIA, "CUDA C++ Programming Guide", Binary and PTX compatibility.
    """
    card_capability = _capability(capability)
    built_kinds = [
        (code_kind, _capability(built_number))
        for code_kind, _, built_number in (built_name.partition("_") for built_name in built)
    ]
    if any(
        code_kind == "sm" and built_capability[0] == card_capability[0] and built_capability[1] <= card_capability[1]
        for code_kind, built_capability in built_kinds
    ):
        return "native"
    return (
        "compiled"
        if any(
            code_kind == "compute" and built_capability <= card_capability
            for code_kind, built_capability in built_kinds
        )
        else "none"
    )


def _capability(capability: str) -> tuple[int, int]:
    """Read `6.1`, `61` or `120` (the last digit is the minor version)."""
    digits = re.sub(
        r"\D", "", capability if "." in capability else f"{capability[:-1]}.{capability[-1:]}" if capability else "0.0"
    )
    return (int(digits[:-1] or 0), int(digits[-1])) if digits else (0, 0)


@check("a first computation")
def first_kernel(facts: Facts) -> CheckResult:
    """Check that a matrix product and a convolution give the right result, on the GPU where there is one."""
    stages = facts.tensorflow.stages
    device_words = "on the GPU" if facts.tensorflow.gpus else "on the processor"
    for stage, computation in (("compute", "a matrix product"), ("convolution", "a convolution")):
        stage_state = stages.get(stage)
        if stage_state is None:
            return unreached(facts.tensorflow)
        if stage_state == "begun":
            return failed(
                f"{computation} {device_words} does not end: {facts.tensorflow.died}",
                _fix_by_log(facts),
                *_error_lines(facts),
            )
        if stage_state != "ok":
            return failed(
                f"{computation} {device_words} fails: {short_line(stage_state)}",
                _fix_by_log(facts),
                *_error_lines(facts),
            )
    return passed(f"a matrix product and a convolution are right {device_words}")


@check("XLA")
def xla(facts: Facts) -> CheckResult:
    """Check that XLA compiles a function; for a GPU it needs libdevice, and ptxas or a driver that compiles."""
    tensorflow = facts.tensorflow
    xla_state = tensorflow.stages.get("xla")
    evidence = (
        f"libdevice: {tensorflow.libdevice or 'not found'}",
        f"ptxas: {tensorflow.ptxas or 'not found'}",
    )
    if xla_state is None:
        return unreached(tensorflow)
    device_words = "the GPU" if tensorflow.gpus else "the processor"
    if xla_state == "ok":
        return passed(f"compiles for {device_words}", *(evidence if tensorflow.gpus else ()))
    error_and_log = xla_state + tensorflow.log
    if "libdevice" in error_and_log:
        cuda_folder = tensorflow.libdevice.partition("/nvvm/")[0]
        fix = (
            f"export XLA_FLAGS=--xla_gpu_cuda_data_dir={cuda_folder}"
            if cuda_folder
            else "pip install nvidia-cuda-nvcc-cu12"
        )
        return failed("it finds no libdevice, so that jit_compile=True fails", fix, *evidence)
    if "ptxas" in error_and_log or "No PTX compilation provider" in error_and_log:
        fix = "pip install nvidia-cuda-nvcc-cu12, or put CUDA's bin folder on PATH"
        return failed("it finds no ptxas, so that jit_compile=True fails", fix, *evidence)
    failure = tensorflow.died if xla_state == "begun" else short_line(xla_state)
    return failed(f"compiling for {device_words} fails: {failure}", "train with jit_compile=False", *evidence)


def _fix_by_log(facts: Facts) -> str:
    tensorflow_log = facts.tensorflow.log + " ".join(facts.tensorflow.stages.values())
    for pattern, _, fix in TENSORFLOW_SIGNS:
        if re.search(pattern, tensorflow_log):
            return fix
    return (
        "gpuprobe doctor --json shows TensorFlow's log; most often this cures it: a new venv and " + INSTALL_TENSORFLOW
    )


def _error_lines(facts: Facts) -> list[str]:
    log_lines = facts.tensorflow.log.splitlines()
    return [
        short_line(log_line)
        for log_line in log_lines
        if re.match(r"^(?:\d{4}-\d\d-\d\d .*: )?[EF] |^E0000|^F0000", log_line)
    ][-3:]
