"""`python -m gpuprobe.doctor.probe_backend jax|torch`: the child process that asks one of them, stage after stage."""

from __future__ import annotations

import sys
from importlib import metadata
from typing import TYPE_CHECKING, Any

from gpuprobe.doctor.telling import say, stage

if TYPE_CHECKING:
    from collections.abc import Callable

# JAX's CUDA plugins: the distribution, and the major version of CUDA.
PLUGINS = {"jax-cuda13-plugin": "13", "jax-cuda12-plugin": "12"}
SIDE = 64


def main() -> None:
    """Run the stages in order; errors of a stage are reported."""
    import_it, devices, ones = PROBES[sys.argv[1]]
    module = stage("import", import_it)
    if module is None:
        return
    stage("devices", lambda: say(gpus=devices(module)))
    stage("compute", lambda: _compute(ones(module)))


def _import_jax() -> Any:
    import jax

    plugin = next((major for name, major in PLUGINS.items() if _is_there(name)), "")
    say(version=jax.__version__, cuda=plugin)
    return jax


def _jax_gpus(jax: Any) -> list[str]:
    return [device.device_kind for device in jax.devices() if device.platform == "gpu"]


def _jax_ones(jax: Any) -> Any:
    return jax.numpy.ones((SIDE, SIDE))


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
    return torch.ones((SIDE, SIDE), device="cuda" if torch.cuda.is_available() else "cpu")


def _compute(ones: Any) -> None:
    total = float((ones @ ones).sum())
    if total != float(SIDE) ** 3:
        raise ArithmeticError(f"a product of matrices of ones sums to {total}, not to {float(SIDE) ** 3}")


def _is_there(distribution: str) -> bool:
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
