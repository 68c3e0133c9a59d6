"""Gathers all facts once; whatever cannot be found out is left unknown, and nothing here raises for it."""

from __future__ import annotations

import os
import platform
import re
import time
from pathlib import Path

import psutil

from gpuprobe import limits, telemetry
from gpuprobe.doctor import nvidia_smi
from gpuprobe.doctor.ask_tensorflow import ask
from gpuprobe.doctor.facts import CardFacts, DriverFacts, Facts, SystemFacts
from gpuprobe.doctor.packages import packages

MIB = 2**20
# A card leaves its resting clocks and link speed within a second of work.
SETTLE_S = 1.5
# linux/capability.h; NVIDIA's ERR_NVGPUCTRPERM page names it as what lifts the restriction.
CAP_SYS_ADMIN = 21
NVIDIA_VENDOR, DISPLAY_CLASSES = "0x10de", ("0x0300", "0x0302")
# Switches that change what TensorFlow and the GPU do, and that are forgotten in a shell.
VARIABLES = (
    "CUDA_VISIBLE_DEVICES",
    "CUDA_DEVICE_ORDER",
    "CUDA_LAUNCH_BLOCKING",
    "LD_LIBRARY_PATH",
    "NVIDIA_VISIBLE_DEVICES",
    "PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION",
    "TF_FORCE_GPU_ALLOW_GROWTH",
    "TF_GPU_ALLOCATOR",
    "TF_GPU_THREAD_MODE",
    "XLA_FLAGS",
)


def gather(limit_s: float) -> Facts:
    """Ask the system, the driver, the packages and, for at most `limit_s` seconds, TensorFlow."""
    found = telemetry.inventory()
    driver = DriverFacts(
        gpus=found.gpus,
        driver=found.driver,
        cuda=found.cuda,
        missing=found.missing,
        pci_gpus=_pci_gpus(),
        nouveau=Path("/sys/module/nouveau").exists(),
        module_version=_read(Path("/sys/module/nvidia/version")),
        device_nodes=tuple(sorted(str(path) for path in (*Path("/dev").glob("nvidia*"), *Path("/dev").glob("dxg")))),
        admin_only=_admin_only(),
        may_profile=_may_profile(),
    )
    cards, missing = nvidia_smi.cards()
    under_load: list[tuple[CardFacts, ...]] = []

    def look_under_load() -> None:
        time.sleep(SETTLE_S)
        under_load.append(nvidia_smi.cards()[0])

    tensorflow = ask(limit_s, look_under_load)
    return Facts(
        system=_system(),
        driver=driver,
        tensorflow=tensorflow,
        packages=packages(),
        cards=cards,
        cards_missing=missing,
        cards_loaded=under_load[0] if under_load else (),
    )


def _system() -> SystemFacts:
    memory, limit = psutil.virtual_memory(), limits.memory_limit_bytes()
    release = platform.release()
    return SystemFacts(
        system=platform.system(),
        release=release,
        python=platform.python_version(),
        wsl=wsl_version(release),
        container=Path("/.dockerenv").exists() or Path("/run/.containerenv").exists(),
        cpu_count=os.cpu_count() or 1,
        affinity=limits.affinity(),
        cpu_quota=limits.cpu_quota(),
        memory_mib=memory.total / MIB,
        memory_available_mib=memory.available / MIB,
        memory_limit_mib=limit / MIB if limit is not None else None,
        environment={name: os.environ[name] for name in VARIABLES if name in os.environ},
    )


def wsl_version(release: str) -> int:
    """Return 1 or 2 for a kernel release of the Windows Subsystem for Linux, 0 for any other."""
    if "microsoft" not in release.lower():
        return 0
    return 2 if "wsl2" in release.lower() or not release.startswith("4.4.") else 1


def _pci_gpus() -> int | None:
    bus = Path("/sys/bus/pci/devices")
    if not bus.is_dir():
        return None
    return sum(
        _read(device / "vendor") == NVIDIA_VENDOR and _read(device / "class").startswith(DISPLAY_CLASSES)
        for device in bus.iterdir()
    )


def _admin_only() -> bool | None:
    match = re.search(r"^RmProfilingAdminOnly:\s*(\d)", _read(Path("/proc/driver/nvidia/params")), re.MULTILINE)
    return match[1] == "1" if match else None


def _may_profile() -> bool:
    match = re.search(r"^CapEff:\s*([0-9a-f]+)", _read(Path("/proc/self/status")), re.MULTILINE)
    return bool(match) and bool(int(match[1], 16) >> CAP_SYS_ADMIN & 1) if match else False


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return ""
