"""`python -m gpuprobe.doctor.probe`: the child process that asks TensorFlow, one stage after another.

Each stage prints one line of JSON on stdout when it begins and when it ends, so a crash or a hang was in the last stage
that began. TensorFlow's own log goes to stderr.
"""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path
from typing import Any

from gpuprobe.backends.importing import uncollected
from gpuprobe.doctor.telling import say, stage
from gpuprobe.scratch import scratch

# The libraries that TensorFlow loads for a GPU (stream_executor/dso_loader), each with the key of the build info that
# holds its major version. cufft and others have versions of their own, and CUPTI has its own check.
LIBRARIES = {
    "cudart": "cuda_version",
    "cublas": "cuda_version",
    "cublasLt": "cuda_version",
    "cufft": "",
    "cusolver": "",
    "cusparse": "",
    "cudnn": "cudnn_version",
    "cupti": "",
}
CUDA_FOLDERS = ("/usr/local/cuda", "/usr/local/cuda/extras/CUPTI", "/opt/cuda", "/usr/lib/cuda")
SYSTEM_FOLDERS = ("/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib64", "/usr/lib")
# Long enough for the link to reach full speed, and for one reading of the card.
LOAD_S = 4.0
MATRIX_SIDE = 2048


def main() -> None:
    """Run the stages in order; an error in a stage is reported, and the next stages still run."""
    tf = stage("import", _import)
    if tf is None:
        return
    # Readings before this time are of a card at rest.
    say(touched_ns=time.time_ns())
    gpus = stage("devices", lambda: _devices(tf)) or []
    stage("libraries", lambda: _libraries(tf))
    stage("compute", lambda: _compute(tf))
    stage("convolution", lambda: _convolution(tf))
    stage("xla", lambda: _xla(tf))
    stage("profiler", lambda: _profile(tf))
    if gpus:
        stage("load", lambda: _keep_busy(tf))


def _import() -> Any:
    with uncollected():
        import tensorflow as tf

    build = tf.sysconfig.get_build_info()
    say(
        version=tf.__version__,
        cuda_build=bool(build.get("is_cuda_build")),
        cuda=str(build.get("cuda_version", "")),
        cudnn=str(build.get("cudnn_version", "")),
        capabilities=list(build.get("cuda_compute_capabilities", [])),
    )
    return tf


def _devices(tf: Any) -> list[Any]:
    gpus = tf.config.list_physical_devices("GPU")
    devices = []
    for gpu in gpus:
        # Leave memory for other programs on the card.
        tf.config.experimental.set_memory_growth(gpu, True)
        details = tf.config.experimental.get_device_details(gpu)
        capability = ".".join(map(str, details.get("compute_capability", ())))
        devices.append(
            {"name": gpu.name, "device_name": details.get("device_name", ""), "compute_capability": capability}
        )
    say(gpus=devices)
    return list(gpus)


def _libraries(tf: Any) -> None:
    nvidia_packages = Path(tf.__file__).parent.parent / "nvidia"
    library_folders = [str(path) for path in nvidia_packages.glob("*/lib")]
    library_folders += [f"{folder}/lib64" for folder in CUDA_FOLDERS] + [f"{folder}/lib" for folder in CUDA_FOLDERS]
    library_folders += [*filter(None, os.environ.get("LD_LIBRARY_PATH", "").split(":")), *SYSTEM_FOLDERS]
    build = tf.sysconfig.get_build_info()
    major_versions = {
        library: str(build.get(version_key, "")).partition(".")[0] for library, version_key in LIBRARIES.items()
    }
    libraries = {
        library: _find_file(library_folders, f"lib{library}.so.{major}*") for library, major in major_versions.items()
    }
    cuda_folders = [str(nvidia_packages / "cuda_nvcc"), os.environ.get("CUDA_HOME", ""), *CUDA_FOLDERS]
    tool_folders = [f"{folder}/bin" for folder in cuda_folders if folder]
    say(
        libraries=libraries,
        libdevice=_find_file([f"{folder}/nvvm/libdevice" for folder in cuda_folders if folder], "libdevice.10.bc"),
        ptxas=_find_file(tool_folders, "ptxas") or shutil.which("ptxas") or "",
    )


def _find_file(folders: list[str], pattern: str) -> str:
    for folder in folders:
        files = sorted(map(str, Path(folder).glob(pattern)), key=len)
        if files:
            return files[0]
    return ""


def _compute(tf: Any) -> None:
    ones = tf.ones((64, 64))
    matrix_sum = float(tf.reduce_sum(tf.linalg.matmul(ones, ones)))
    if matrix_sum != 64.0**3:
        raise ArithmeticError(f"a product of matrices of ones sums to {matrix_sum}, not to {64.0**3}")


def _convolution(tf: Any) -> None:
    convolved = tf.nn.conv2d(tf.ones((2, 8, 8, 3)), tf.ones((3, 3, 3, 4)), strides=1, padding="SAME")
    if float(tf.reduce_max(convolved)) != 27.0:
        raise ArithmeticError("a convolution of ones gives a wrong sum")


def _xla(tf: Any) -> None:
    def compiled_function(x: Any) -> Any:
        # `exp` needs libdevice, and the kernel has to be assembled by ptxas or the driver.
        return tf.reduce_sum(tf.exp(x) * tf.tanh(x))

    float(tf.function(compiled_function, jit_compile=True)(tf.ones((32, 32))))


def _profile(tf: Any) -> None:
    with scratch() as folder:
        tf.profiler.experimental.start(str(folder))
        for _ in range(3):
            float(tf.reduce_sum(tf.linalg.matmul(tf.ones((256, 256)), tf.ones((256, 256)))))
        tf.profiler.experimental.stop()
        traces = list(folder.glob("plugins/profile/*/*.xplane.pb"))
        if not traces:
            raise FileNotFoundError("the profiler wrote no trace")
        # The name of lines with GPU kernels in the trace.
        say(gpu_events_traced=b"Stream #" in traces[0].read_bytes())


def _keep_busy(tf: Any) -> None:
    """Keep the GPU and its link busy, so that the sampler reads them under load."""
    host_matrix = (
        tf.constant([1.0] * 1024).numpy().repeat(MATRIX_SIDE * MATRIX_SIDE // 1024).reshape(MATRIX_SIDE, MATRIX_SIDE)
    )
    say(load_start_ns=time.time_ns())
    end_s = time.monotonic() + LOAD_S
    while time.monotonic() < end_s:
        on_device = tf.constant(host_matrix)
        for _ in range(8):
            on_device = tf.linalg.matmul(on_device, on_device) * 1e-6
        float(tf.reduce_sum(on_device))
    say(load_end_ns=time.time_ns())


if __name__ == "__main__":
    main()
