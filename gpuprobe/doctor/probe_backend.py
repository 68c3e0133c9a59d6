"""`python -m gpuprobe.doctor.probe_backend jax|torch`: the child process that asks one backend, stage after stage."""

from __future__ import annotations

import sys
from importlib import metadata
from typing import TYPE_CHECKING, Any

from gpuprobe.doctor.telling import say, stage

if TYPE_CHECKING:
    from collections.abc import Callable

# JAX's CUDA plugins: the distribution, and the major version of CUDA.
CUDA_PLUGINS = {"jax-cuda13-plugin": "13", "jax-cuda12-plugin": "12"}
MATRIX_SIDE = 64


def main() -> None:
    """Run the stages in order; errors of a stage are reported."""
    import_backend, list_gpus, make_ones = PROBES[sys.argv[1]]
    backend_module = stage("import", import_backend)
    if backend_module is None:
        return
    stage("devices", lambda: say(gpus=list_gpus(backend_module)))
    stage("compute", lambda: _compute(make_ones(backend_module)))


def _import_jax() -> Any:
    import jax

    plugin_cuda = next((major for plugin, major in CUDA_PLUGINS.items() if _is_installed(plugin)), "")
    say(version=jax.__version__, cuda=plugin_cuda)
    return jax


def _jax_gpus(jax: Any) -> list[str]:
    return [device.device_kind for device in jax.devices() if device.platform == "gpu"]


def _jax_ones(jax: Any) -> Any:
    return jax.numpy.ones((MATRIX_SIDE, MATRIX_SIDE))


def _import_torch() -> Any:
    import torch

    # A build for AMD's GPUs has no CUDA version either.
    say(version=torch.__version__, cuda=torch.version.cuda or "")
    return torch


def _torch_gpus(torch: Any) -> list[str]:
    # Warnings, for example about an old driver, go to the log.
    if not torch.cuda.is_available():
        return []
    say(capabilities=torch.cuda.get_arch_list())
    return [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]


def _torch_ones(torch: Any) -> Any:
    return torch.ones((MATRIX_SIDE, MATRIX_SIDE), device="cuda" if torch.cuda.is_available() else "cpu")


def _compute(matrix: Any) -> None:
    matrix_sum = float((matrix @ matrix).sum())
    if matrix_sum != float(MATRIX_SIDE) ** 3:
        raise ArithmeticError(f"a product of matrices of ones sums to {matrix_sum}, not to {float(MATRIX_SIDE) ** 3}")


def _is_installed(distribution: str) -> bool:
    try:
        metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return False
    return True


Probe = tuple["Callable[[], Any]", "Callable[[Any], list[str]]", "Callable[[Any], Any]"]
PROBES: dict[str, Probe] = {
    "jax": (_import_jax, _jax_gpus, _jax_ones),
    "torch": (_import_torch, _torch_gpus, _torch_ones),
}
if __name__ == "__main__":
    main()
