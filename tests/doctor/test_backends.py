"""Whether JAX and PyTorch see the GPU: the checks, and the processes that ask, with stand-ins for both."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from gpuprobe.doctor.ask_backends import ask_backend
from tests.helpers.machines import HEALTHY, OTHER_STAGES, made, no_gpu, result, with_backend

TOO_OLD = "The NVIDIA driver on your system is too old (found version 11040). Please update your GPU driver"
OUTDATED = "RuntimeError: Outdated cuDNN installation found.\nVersion JAX was built against: 91000"
FAULTS = [
    ("jax", {"gpus": (), "cuda": ""}, {}, "fail", "no plugin for CUDA", "jax[cuda12]"),
    ("jax", {"gpus": (), "cuda": ""}, {"cuda": "13.0"}, "fail", "no plugin for CUDA", "jax[cuda13]"),
    ("torch", {"gpus": (), "cuda": ""}, {}, "fail", "built without CUDA", "whl/cu126"),
    ("torch", {"gpus": (), "cuda": "13.0"}, {}, "fail", "supports CUDA 12.6, 13.0 is needed", "580 or newer"),
    ("torch", {"gpus": (), "log": TOO_OLD}, {}, "fail", "the driver is too old", "update the NVIDIA driver"),
    ("jax", {"gpus": (), "log": OUTDATED}, {}, "fail", "CUDA library is too old or missing", "LD_LIBRARY_PATH"),
    ("jax", {"gpus": ()}, {}, "fail", "its log does not say why", "--json"),
    ("torch", {"missing": "ImportError: libfoo.so"}, {}, "fail", "libfoo.so", "python -c 'import torch'"),
    ("torch", {"missing": "it is not installed"}, {}, "skip", "not installed", ""),
    ("jax", {"gpus": None, "died": "stage devices had not ended after 9 s"}, {}, "skip", "unknown", ""),
    (
        "torch",
        {
            "stages": OTHER_STAGES
            | {"compute": "AcceleratorError: CUDA error: no kernel image is available for execution"}
        },
        {},
        "fail",
        "no kernels for this card",
        "release",
    ),
]


@pytest.mark.parametrize(("backend", "fields", "driver", "status", "says", "fix"), FAULTS)
def test_a_fault_is_named_with_its_fix(
    backend: str, fields: dict[str, Any], driver: dict[str, Any], status: str, says: str, fix: str
) -> None:
    found = result(with_backend(backend, driver=driver, **fields), f"{backend}_gpu")
    assert found.status == status, found
    assert says in found.says
    assert fix in found.fix
    other = "torch" if backend == "jax" else "jax"
    assert result(with_backend(backend, driver=driver, **fields), f"{other}_gpu").status == "pass"


@pytest.mark.parametrize(
    ("name", "value", "check"),
    [("CUDA_VISIBLE_DEVICES", "", "torch_gpu"), ("JAX_PLATFORMS", "cpu", "jax_gpu")],
)
def test_a_variable_that_hides_the_gpu_is_named(name: str, value: str, check: str) -> None:
    hidden = with_backend(check.partition("_")[0], gpus=())
    facts = made(hidden, system={"environment": {name: value}})
    assert result(facts, check).fix == f"unset {name}"


def test_without_a_gpu_or_without_the_package_nothing_fails() -> None:
    assert result(no_gpu(), "jax_gpu").status == result(no_gpu(), "torch_gpu").status == "skip"
    broken = with_backend(
        "torch", driver={"gpus": (), "pci_gpus": 0}, gpus=(), stages=OTHER_STAGES | {"compute": "ImportError: no BLAS"}
    )
    assert "on the processor fails: ImportError: no BLAS" in result(broken, "torch_gpu").says
    bare = msgspec.structs.replace(HEALTHY, backends=())
    assert result(bare, "jax_gpu").says == "JAX is not installed"


STAND_INS = {
    "jax": """
__version__ = "0.99"
class Ones:
    def __matmul__(self, other): return self
    def sum(self): return 64.0 ** 3
class numpy:
    ones = staticmethod(lambda shape: Ones())
class Device:
    platform, device_kind = "gpu", "Card"
devices = lambda: [Device()]
""",
    "torch": """
import sys
__version__ = "2.99"
class version: cuda = None
class cuda:
    is_available = staticmethod(lambda: print("CUDA unknown error", file=sys.stderr))
def ones(shape, device): raise RuntimeError("no " + device)
""",
}


def test_each_is_asked_in_a_process_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, program in STAND_INS.items():
        (tmp_path / f"{name}.py").write_text(program)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    jax = ask_backend("jax", 60.0)
    assert (jax.version, jax.missing, jax.gpus, jax.stages) == ("0.99", None, ("Card",), OTHER_STAGES)
    torch = ask_backend("torch", 60.0)
    assert (torch.version, torch.cuda, torch.gpus) == ("2.99", "", ())
    assert torch.stages["compute"] == "RuntimeError: no cpu"
    assert "CUDA unknown error" in torch.log


def test_one_that_hangs_or_crashes_is_one_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "jax.py").write_text("import time; time.sleep(600)")
    (tmp_path / "torch.py").write_text("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert ask_backend("jax", 2.0).missing == "stage import had not ended after 2 s"
    assert ask_backend("torch", 60.0).missing == "stage import was ended by SIGSEGV"


def test_without_tensorflow_nobody_is_asked_to_install_tensorboard() -> None:
    packages = {"versions": {"jax": "0.10.2"}}
    without = made(tensorflow={"missing": "it is not installed"}, packages=packages)
    assert result(without, "tensorboard").status == "skip"
    assert result(made(packages=packages), "tensorboard").status == "warn"
