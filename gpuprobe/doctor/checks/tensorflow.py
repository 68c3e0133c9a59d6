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
    unreached,
    warned,
)
from gpuprobe.doctor.checks.system import WSL2

if TYPE_CHECKING:
    from gpuprobe.doctor.facts import Facts

ORDER = 20
# The other backends of Keras; gpuprobe run --backend takes each.
OTHERS = {"jax": "JAX", "torch": "PyTorch"}
INSTALL = "pip install 'tensorflow[and-cuda]'"
# The libraries without which TensorFlow registers no GPU; CUPTI is needed by its profiler alone.
NEEDED = ("cudart", "cublas", "cublasLt", "cufft", "cusolver", "cusparse", "cudnn")
# Values of CUDA_VISIBLE_DEVICES that hide all GPUs.
HIDING = frozenset({"", "-1", "none", "NoDevFiles"})
# TensorFlow's log messages, the reasons, and the fixes. Sources: issue threads of TensorFlow, and CUDA's cuda.h.
SIGNS = (
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
        f"take the older cuDNN off LD_LIBRARY_PATH, or {INSTALL}",
    ),
)


@check("TensorFlow imports")
def tensorflow_imports(facts: Facts) -> CheckResult:
    """It imports within the time limit, in a process of its own."""
    tensorflow = facts.tensorflow
    if tensorflow.missing is None:
        build = {True: f"built for CUDA {tensorflow.cuda}", False: "built without CUDA", None: "unknown build"}
        return passed(f"{tensorflow.version}, {build[tensorflow.cuda_build]}")
    others = [
        f"{title} {versions[name]}" for name, title in OTHERS.items() if name in (versions := facts.packages.versions)
    ]
    if tensorflow.missing == NOT_INSTALLED and others:
        return skipped(f"{NO_TENSORFLOW}; Keras can train with {wording.listing(others)}")
    if tensorflow.missing == NOT_INSTALLED:
        return failed(NO_TENSORFLOW, _install(facts) if facts.has_gpu else "pip install tensorflow")
    fix = "see what this prints: python -c 'import tensorflow'; a clash of packages is most often cured by a new venv"
    if "SIGILL" in tensorflow.missing:
        fix = "this processor lacks AVX, which TensorFlow's packages need: take a build without it (conda-forge)"
    if "had not ended" in tensorflow.missing:
        fix = f"give it longer (gpuprobe doctor --limit 10m); if that does not help, {fix}"
    return failed(f"its import does not end well: {tensorflow.missing}", fix, *_last_lines(tensorflow.log))


@check("TensorFlow sees the GPU")
def tensorflow_gpu(facts: Facts) -> CheckResult:
    """It lists as many GPUs as the driver, or the log and the libraries say why not."""
    tensorflow, driver = facts.tensorflow, facts.driver
    if not facts.has_gpu:
        return skipped(NO_GPU)
    if tensorflow.missing is not None:
        return unknown("TensorFlow does not import")
    if tensorflow.gpus is None:
        return unknown(tensorflow.stages.get("devices") or tensorflow.died or "it was not asked")
    seen, there = len(tensorflow.gpus), len(driver.gpus)
    visible = facts.system.environment.get("CUDA_VISIBLE_DEVICES")
    if seen >= there:
        return passed(
            f"{seen} of {there}: " + wording.listing([gpu.device_name or gpu.name for gpu in tensorflow.gpus])
        )
    if seen:
        says = f"{seen} of {there} GPUs"
        if visible is not None:
            return passed(f"{says}, as CUDA_VISIBLE_DEVICES={visible} asks")
        if any(card.mig for card in facts.cards):
            return passed(f"{says}; a GPU split by MIG shows one instance")
        return warned(f"{says}, and nothing says why", "gpuprobe doctor --json shows TensorFlow's log")
    return _why_none(facts, visible)


def _why_none(facts: Facts, visible: str | None) -> CheckResult:
    tensorflow = facts.tensorflow
    log = tensorflow.log
    if facts.system.system == "Windows":
        return failed("TensorFlow has used no GPU on native Windows since 2.11", WSL2)
    if tensorflow.cuda_build is False:
        return failed("this TensorFlow was built without CUDA", f"pip uninstall -y tensorflow-cpu; {INSTALL}")
    if visible is not None and visible.strip() in HIDING:
        return failed(f"CUDA_VISIBLE_DEVICES={visible!r} hides every GPU", "unset CUDA_VISIBLE_DEVICES")
    lines = [line for line in log.splitlines() if "Could not load dynamic library" in line or "Cannot dlopen" in line]
    missing = missing_libraries(facts)
    if lines or missing:
        named = f": {wording.listing(missing)}" if missing else ""
        says = f"none of {len(facts.driver.gpus)}: its CUDA libraries do not load{named}"
        shell = facts.system.environment.get("LD_LIBRARY_PATH")
        # TensorFlow finds the libraries in its own wheels, unless others come first on the path.
        fix = INSTALL if missing or not shell else f"unset LD_LIBRARY_PATH (it names {shell}), or {INSTALL}"
        return failed(says, fix, *[_shorten(line) for line in lines[:3]])
    for pattern, why, fix in SIGNS:
        match = re.search(pattern, log)
        if match:
            return failed(f"none of {len(facts.driver.gpus)}: {why}", fix, _shorten(_line_of(log, match.start())))
    fix = "gpuprobe doctor --json shows TensorFlow's log; most often it is cured by a new venv and " + INSTALL
    return failed(f"none of {len(facts.driver.gpus)}, and its log does not say why", fix, *_last_lines(log))


def _install(facts: Facts) -> str:
    return WSL2 if facts.system.system == "Windows" else INSTALL


def missing_libraries(facts: Facts) -> list[str]:
    """Return the CUDA libraries that were searched for and not found; empty if none was searched for."""
    wanted = facts.tensorflow.libraries
    return [f"lib{name}" for name in NEEDED if name in wanted and not wanted[name]]


@check("compute capability")
def compute_capability(facts: Facts) -> CheckResult:
    """TensorFlow holds kernels for this GPU, or at least code that the driver can compile for it."""
    if not facts.has_gpu:
        return skipped(NO_GPU)
    built = facts.tensorflow.capabilities
    if not built:
        return unknown("which compute capabilities TensorFlow was built for is not known")
    evidence = f"built in: {', '.join(built)}"
    worst: CheckResult | None = None
    for gpu in facts.driver.gpus:
        if not gpu.compute_capability:
            return unknown(f"{gpu.name} does not give its compute capability", evidence)
        fit = capability_fit(gpu.compute_capability, built)
        if fit == "none":
            fix = "take a TensorFlow built for this card: an older release, NVIDIA's container, or one from source"
            return failed(f"{gpu.compute_capability} of {gpu.name} is not built in", fix, evidence)
        if fit == "compiled":
            says = f"{gpu.compute_capability} of {gpu.name} is not built in: the driver compiles every kernel at the "
            fix = "export CUDA_CACHE_MAXSIZE=4294967296 keeps them; a newer TensorFlow may hold them"
            worst = warned(says + "first start, which can take half an hour", fix, evidence)
    if worst is not None:
        return worst
    capabilities = wording.listing(sorted({gpu.compute_capability for gpu in facts.driver.gpus}))
    return passed(f"{capabilities} runs on what is built in", evidence)


def capability_fit(capability: str, built: tuple[str, ...]) -> str:
    """Return `native`, `compiled` (from PTX, by the driver) or `none`.

    A binary runs on the same major version and an equal or newer minor one; PTX on anything equal or newer. Source:
    NVIDIA, "CUDA C++ Programming Guide", Binary and PTX compatibility.
    """
    own = _capability(capability)
    pairs = [(kind, _capability(number)) for kind, _, number in (name.partition("_") for name in built)]
    if any(kind == "sm" and have[0] == own[0] and have[1] <= own[1] for kind, have in pairs):
        return "native"
    return "compiled" if any(kind == "compute" and have <= own for kind, have in pairs) else "none"


def _capability(text: str) -> tuple[int, int]:
    """Read `6.1`, `61` or `120` (the last digit is the minor version)."""
    digits = re.sub(r"\D", "", text if "." in text else f"{text[:-1]}.{text[-1:]}" if text else "0.0")
    return (int(digits[:-1] or 0), int(digits[-1])) if digits else (0, 0)


@check("a first computation")
def first_kernel(facts: Facts) -> CheckResult:
    """A product and a convolution give the right result, on the GPU where there is one."""
    stages = facts.tensorflow.stages
    where = "on the GPU" if facts.tensorflow.gpus else "on the processor"
    for stage, what in (("compute", "a matrix product"), ("convolution", "a convolution")):
        state = stages.get(stage)
        if state is None:
            return unreached(facts.tensorflow)
        if state == "begun":
            return failed(f"{what} {where} does not end: {facts.tensorflow.died}", _fix_of(facts), *_errors(facts))
        if state != "ok":
            return failed(f"{what} {where} fails: {_shorten(state)}", _fix_of(facts), *_errors(facts))
    return passed(f"a matrix product and a convolution are right {where}")


@check("XLA")
def xla(facts: Facts) -> CheckResult:
    """A function compiled by XLA runs; on a GPU that takes libdevice, and ptxas or a driver that compiles."""
    tensorflow = facts.tensorflow
    state = tensorflow.stages.get("xla")
    evidence = (
        f"libdevice: {tensorflow.libdevice or 'not found'}",
        f"ptxas: {tensorflow.ptxas or 'not found'}",
    )
    if state is None:
        return unreached(tensorflow)
    where = "the GPU" if tensorflow.gpus else "the processor"
    if state == "ok":
        return passed(f"compiles for {where}", *(evidence if tensorflow.gpus else ()))
    both = state + tensorflow.log
    if "libdevice" in both:
        folder = tensorflow.libdevice.partition("/nvvm/")[0]
        fix = f"export XLA_FLAGS=--xla_gpu_cuda_data_dir={folder}" if folder else "pip install nvidia-cuda-nvcc-cu12"
        return failed("it finds no libdevice, so that jit_compile=True fails", fix, *evidence)
    if "ptxas" in both or "No PTX compilation provider" in both:
        fix = "pip install nvidia-cuda-nvcc-cu12, or put CUDA's bin folder on PATH"
        return failed("it finds no ptxas, so that jit_compile=True fails", fix, *evidence)
    failure = tensorflow.died if state == "begun" else _shorten(state)
    return failed(f"compiling for {where} fails: {failure}", "train with jit_compile=False", *evidence)


def _fix_of(facts: Facts) -> str:
    log = facts.tensorflow.log + " ".join(facts.tensorflow.stages.values())
    for pattern, _, fix in SIGNS:
        if re.search(pattern, log):
            return fix
    return "gpuprobe doctor --json shows TensorFlow's log; most often it is cured by a new venv and " + INSTALL


def _errors(facts: Facts) -> list[str]:
    lines = facts.tensorflow.log.splitlines()
    return [_shorten(line) for line in lines if re.match(r"^(?:\d{4}-\d\d-\d\d .*: )?[EF] |^E0000|^F0000", line)][-3:]


def _last_lines(log: str) -> list[str]:
    return [_shorten(line) for line in log.splitlines() if line.strip()][-3:]


def _line_of(text: str, place: int) -> str:
    return text[text.rfind("\n", 0, place) + 1 :].partition("\n")[0]


def _shorten(line: str) -> str:
    return line if len(line) <= 200 else line[:197] + "..."
