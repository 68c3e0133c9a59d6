"""Whether TensorFlow's profiler can see the GPU's work: CUPTI is there, of the right version, and allowed."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from gpuprobe.doctor.check import NO_GPU, CheckResult, check, failed, passed, skipped, unknown, unreached, warned

if TYPE_CHECKING:
    from gpuprobe.doctor.facts import Facts

ORDER = 30
ALLOW = (
    "echo 'options nvidia NVreg_RestrictProfilingToAdminUsers=0' | sudo tee /etc/modprobe.d/gpu-profiling.conf, "
    "then reboot"
)
ALLOW_CONTAINER = "start the container with --cap-add=SYS_ADMIN, or on the host: " + ALLOW


@check("CUPTI library")
def cupti_library(facts: Facts) -> CheckResult:
    """The profiler's library is found, and of the major version that TensorFlow was built for."""
    if not facts.has_gpu:
        return skipped(NO_GPU)
    tensorflow = facts.tensorflow
    major = tensorflow.cuda.partition(".")[0]
    install = f"pip install 'nvidia-cuda-cupti-cu{major or 12}'"
    line = re.search(
        r".*(?:Could not load dynamic library 'libcupti|CUPTI could not be loaded).*", tensorflow.log, re.IGNORECASE
    )
    if line:
        return failed("TensorFlow cannot load it", install, line[0][:200])
    path = tensorflow.libraries.get("cupti")
    if path is None:
        return unknown("where it is was not looked up")
    if not path:
        return failed("libcupti is in none of the usual folders: traces will lack the GPU", install)
    version = re.search(r"libcupti\.so\.(\d+)", path)
    # Before CUDA 11 and for some of it the name holds the year (libcupti.so.2024.2.1).
    if version and major and int(version[1]) < 1000 and version[1] != major:
        return failed(f"it is of CUDA {version[1]}, TensorFlow needs {major}", install, path)
    return passed(f"found for CUDA {major or 'unknown'}", path)


@check("profiling allowed")
def cupti_allowed(facts: Facts) -> CheckResult:
    """The driver lets this user read the GPU's counters. Source: NVIDIA's page ERR_NVGPUCTRPERM."""
    if not facts.has_gpu:
        return skipped(NO_GPU)
    fix = ALLOW_CONTAINER if facts.system.container else ALLOW
    log = facts.tensorflow.log
    line = re.search(r".*(?:CUPTI_ERROR_INSUFFICIENT_PRIVILEGES|ERR_NVGPUCTRPERM).*", log)
    if line:
        return failed("the driver refuses: traces will lack the GPU", fix, line[0][:200])
    driver = facts.driver
    if facts.system.wsl:
        return unknown("under WSL2 the Windows driver decides: NVIDIA Control Panel, Developer, GPU counters")
    if driver.admin_only is None:
        return unknown("/proc/driver/nvidia/params does not tell RmProfilingAdminOnly")
    evidence = f"RmProfilingAdminOnly: {int(driver.admin_only)}, CAP_SYS_ADMIN: {'yes' if driver.may_profile else 'no'}"
    if not driver.admin_only:
        return passed("for every user", evidence)
    if driver.may_profile:
        return passed("for this user, who has CAP_SYS_ADMIN; not for others", evidence)
    return failed("to administrators alone: traces will lack the GPU", fix, evidence)


@check("trace capture")
def trace_capture(facts: Facts) -> CheckResult:
    """TensorFlow's profiler wrote a trace, with the GPU's work in it where there is a GPU."""
    tensorflow = facts.tensorflow
    state = tensorflow.stages.get("profiler")
    if state is None:
        return unreached(tensorflow)
    if "CUPTI_ERROR_MAX_LIMIT_REACHED" in tensorflow.log + state:
        return failed("another profiler is using this GPU", "end it (nsys, ncu, DCGM's profiling), then try again")
    if state != "ok":
        failure = tensorflow.died if state == "begun" else state[:200]
        fix = "train without a trace (gpuprobe run --no-trace), and watch with: gpuprobe watch"
        return failed(f"the profiler fails: {failure}", fix)
    if not tensorflow.gpus:
        return passed("a trace of the processor was written")
    if tensorflow.gpu_events_traced:
        return passed("a trace with the GPU's kernels was written")
    log = tensorflow.log
    if re.search(r"collected 0 callback api events and 0 activity events", log):
        return failed("the trace has no event of the GPU", ALLOW, "GpuTracer has collected 0 events")
    return warned(
        "the trace has no event of the GPU, and the log does not say why",
        "see the lines CUPTI library and profiling allowed above",
    )
