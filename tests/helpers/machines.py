"""What the tests of the doctor share: the facts of a healthy machine, and of others that differ in something."""

from __future__ import annotations

from typing import Any

import msgspec

from gpuprobe.doctor import CheckResult, Facts, examine
from gpuprobe.doctor.facts import (
    BackendFacts,
    CardFacts,
    DriverFacts,
    PackageFacts,
    SystemFacts,
    TensorflowFacts,
    TensorflowGpu,
)
from gpuprobe.records import GpuInfo

STAGES = dict.fromkeys(("import", "devices", "libraries", "compute", "convolution", "xla", "profiler", "load"), "ok")
OTHER_STAGES = dict.fromkeys(("import", "devices", "compute"), "ok")
CARD = CardFacts(
    uuid="GPU-1",
    name="Card",
    persistence=True,
    mig=False,
    pcie_generation=4,
    pcie_generation_max=4,
    pcie_width=16,
    pcie_width_max=16,
    power_w=200.0,
    power_limit_w=300.0,
    power_limit_default_w=300.0,
    temperature_c=60.0,
    temperature_slowdown_c=90.0,
    memory_used_mib=300.0,
    reasons_known=True,
    others=0.0,
    unseen=0.0,
)
GPU = GpuInfo(index=0, name="Card", uuid="GPU-1", compute_capability="8.6", memory_mib=24576.0)
HEALTHY = Facts(
    system=SystemFacts(
        release="6.8.0",
        python="3.12.1",
        cpu_count=16,
        affinity=16,
        memory_mib=64000.0,
        memory_available_mib=32000.0,
    ),
    driver=DriverFacts(gpus=(GPU,), driver="560.35", cuda="12.6", pci_gpus=1, admin_only=False),
    tensorflow=TensorflowFacts(
        version="2.21.0",
        cuda_build=True,
        cuda="12.5.1",
        cudnn="9",
        capabilities=("sm_60", "sm_70", "sm_80", "sm_89", "compute_90"),
        gpus=(TensorflowGpu(name="/physical_device:GPU:0", device_name="Card", compute_capability="8.6"),),
        libraries=dict.fromkeys(("cudart", "cublas", "cudnn"), "/lib/x.so.12") | {"cupti": "/lib/libcupti.so.12"},
        libdevice="/cuda/nvvm/libdevice/libdevice.10.bc",
        ptxas="/cuda/bin/ptxas",
        stages=STAGES,
        gpu_events_traced=True,
    ),
    packages=PackageFacts(
        versions={"tensorflow": "2.21.0", "tensorboard": "2.21.0", "xprof": "2.24.2", "setuptools": "84.0"}
    ),
    backends=(
        BackendFacts(backend="jax", version="0.10.2", cuda="12", gpus=("Card",), stages=OTHER_STAGES),
        BackendFacts(backend="torch", version="2.13.0", cuda="12.6", gpus=("Card",), stages=OTHER_STAGES),
    ),
    cards=(CARD,),
    cards_loaded=(CARD,),
)


def made(facts: Facts = HEALTHY, **parts: dict[str, Any]) -> Facts:
    """Replace some fields of some parts: `made(driver={"cuda": "11.8"})`."""
    changed = {name: msgspec.structs.replace(getattr(facts, name), **fields) for name, fields in parts.items()}
    return msgspec.structs.replace(facts, **changed)


def with_card(*, loaded: Any = True, **fields: Any) -> Facts:
    card = msgspec.structs.replace(CARD, **fields)
    return msgspec.structs.replace(HEALTHY, cards=(card,), cards_loaded=(card,) if loaded else ())


def with_gpu(**fields: Any) -> Facts:
    return made(driver={"gpus": (msgspec.structs.replace(GPU, **fields),)})


def no_gpu(**driver: Any) -> Facts:
    fields = {"gpus": (), "driver": "", "cuda": "", "missing": "no NVIDIA driver", "pci_gpus": 0, **driver}
    facts = made(driver=fields, tensorflow={"gpus": (), "gpu_events_traced": False})
    backends = tuple(msgspec.structs.replace(one, gpus=()) for one in facts.backends)
    facts = msgspec.structs.replace(facts, backends=backends)
    return msgspec.structs.replace(facts, cards=(), cards_loaded=())


def with_backend(name: str, *, driver: dict[str, Any] | None = None, **fields: Any) -> Facts:
    """Let one of the other backends be otherwise."""
    changed = tuple(msgspec.structs.replace(one, **fields) if one.backend == name else one for one in HEALTHY.backends)
    return msgspec.structs.replace(made(driver=driver or {}), backends=changed)


def result(facts: Facts, name: str) -> CheckResult:
    return next(found for found in examine(facts).results if found.name == name)


def log(text: str, **fields: Any) -> Facts:
    return made(tensorflow={"log": text, **fields})


def blind(text: str = "", **fields: Any) -> Facts:
    return log(text, gpus=(), gpu_events_traced=False, **fields)


def stage(name: str, state: str, **fields: Any) -> Facts:
    return made(tensorflow={"stages": STAGES | {name: state}, **fields})
