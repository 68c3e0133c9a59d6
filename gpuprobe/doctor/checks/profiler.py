"""Whether TensorFlow's profiler can trace the GPU: CUPTI is installed, of the right version, and allowed."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from gpuprobe.doctor.check import NO_GPU, CheckResult, check, failed, passed, skipped, unknown, unreached, warned

if TYPE_CHECKING:
    from gpuprobe.doctor.facts import Facts

ORDER = 30
ALLOW_PROFILING = (
    "echo 'options nvidia NVreg_RestrictProfilingToAdminUsers=0' | sudo tee /etc/modprobe.d/gpu-profiling.conf, "
    "then reboot"
)
ALLOW_PROFILING_IN_CONTAINER = "start the container with --cap-add=SYS_ADMIN, or on the host: " + ALLOW_PROFILING


@check("CUPTI library")
def cupti_library(facts: Facts) -> CheckResult:
    """Check that the profiler's library is found, and has the major version that TensorFlow was built for."""
    if not facts.has_gpu:
        return skipped(NO_GPU)
    tensorflow = facts.tensorflow
    cuda_major = tensorflow.cuda.partition(".")[0]
    install = f"pip install 'nvidia-cuda-cupti-cu{cuda_major or 12}'"
    load_error = re.search(
        r".*(?:Could not load dynamic library 'libcupti|CUPTI could not be loaded).*", tensorflow.log, re.IGNORECASE
    )
    if load_error:
        return failed("TensorFlow cannot load it", install, load_error[0][:200])
    cupti_path = tensorflow.libraries.get("cupti")
    if cupti_path is None:
        return unknown("it was not searched for")
    if not cupti_path:
        return failed("libcupti is in none of the usual folders: traces will not show the GPU", install)
    library_major = re.search(r"libcupti\.so\.(\d+)", cupti_path)
    # Some releases have the year in the name (libcupti.so.2024.2.1).
    if library_major and cuda_major and int(library_major[1]) < 1000 and library_major[1] != cuda_major:
        return failed(f"it is of CUDA {library_major[1]}, TensorFlow needs {cuda_major}", install, cupti_path)
    return passed(f"found for CUDA {cuda_major or 'unknown'}", cupti_path)


@check("profiling allowed")
def cupti_allowed(facts: Facts) -> CheckResult:
    """Check that the driver lets this user read the GPU's counters. Source: NVIDIA's page ERR_NVGPUCTRPERM."""
    if not facts.has_gpu:
        return skipped(NO_GPU)
    fix = ALLOW_PROFILING_IN_CONTAINER if facts.system.container else ALLOW_PROFILING
    tensorflow_log = facts.tensorflow.log
    refusal = re.search(r".*(?:CUPTI_ERROR_INSUFFICIENT_PRIVILEGES|ERR_NVGPUCTRPERM).*", tensorflow_log)
    if refusal:
        return failed("the driver refuses: traces will not show the GPU", fix, refusal[0][:200])
    driver = facts.driver
    if facts.system.wsl:
        return unknown("under WSL2 the Windows driver decides: NVIDIA Control Panel, Developer, GPU counters")
    if driver.admin_only is None:
        return unknown("/proc/driver/nvidia/params does not contain RmProfilingAdminOnly")
    evidence = f"RmProfilingAdminOnly: {int(driver.admin_only)}, CAP_SYS_ADMIN: {'yes' if driver.may_profile else 'no'}"
    if not driver.admin_only:
        return passed("for every user", evidence)
    if driver.may_profile:
        return passed("for this user, who has CAP_SYS_ADMIN; not for others", evidence)
    return failed("for administrators only: traces will not show the GPU", fix, evidence)


@check("trace capture")
def trace_capture(facts: Facts) -> CheckResult:
    """Check that TensorFlow's profiler wrote a trace, with the GPU's kernels in it where there is a GPU."""
    tensorflow = facts.tensorflow
    profiler_state = tensorflow.stages.get("profiler")
    if profiler_state is None:
        return unreached(tensorflow)
    if "CUPTI_ERROR_MAX_LIMIT_REACHED" in tensorflow.log + profiler_state:
        return failed("another profiler is using this GPU", "end it (nsys, ncu, DCGM's profiling), then try again")
    if profiler_state != "ok":
        failure = tensorflow.died if profiler_state == "begun" else profiler_state[:200]
        fix = "train without a trace (gpuprobe run --no-trace), and watch with: gpuprobe watch"
        return failed(f"the profiler fails: {failure}", fix)
    if not tensorflow.gpus:
        return passed("a trace of the processor was written")
    if tensorflow.gpu_events_traced:
        return passed("a trace with the GPU's kernels was written")
    tensorflow_log = tensorflow.log
    if re.search(r"collected 0 callback api events and 0 activity events", tensorflow_log):
        return failed("the trace has no event of the GPU", ALLOW_PROFILING, "GpuTracer has collected 0 events")
    return warned(
        "the trace has no event of the GPU, and the log does not say why",
        "see the lines CUPTI library and profiling allowed above",
    )
