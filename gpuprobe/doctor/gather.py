"""Gathers all facts once; those that cannot be found out stay unknown, without an error."""

from __future__ import annotations

import contextlib
import os
import platform
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from gpuprobe import telemetry
from gpuprobe.doctor.ask_backends import ask_backends
from gpuprobe.doctor.ask_tensorflow import ask
from gpuprobe.doctor.cards import cards
from gpuprobe.doctor.cluster import cluster
from gpuprobe.doctor.facts import CardFacts, DriverFacts, Facts, SystemFacts, TensorflowFacts
from gpuprobe.doctor.packages import packages
from gpuprobe.errors import InputError
from gpuprobe.recording import TELEMETRY_FILE
from gpuprobe.scratch import scratch
from gpuprobe.telemetry import cgroup
from gpuprobe.units import MIB

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

# A card reaches its full clocks and link speed within a second of load.
SETTLE_NS = 1_000_000_000
LEAST_S = 3.0
# linux/capability.h; NVIDIA's ERR_NVGPUCTRPERM page names it as what lifts the restriction.
CAP_SYS_ADMIN = 21
NVIDIA_VENDOR, DISPLAY_CLASSES = "0x10de", ("0x0300", "0x0302")
# Environment variables that change how TensorFlow and the GPU work, and may be left over in a shell.
VARIABLES = (
    "CUDA_VISIBLE_DEVICES",
    "CUDA_DEVICE_ORDER",
    "CUDA_LAUNCH_BLOCKING",
    "JAX_PLATFORMS",
    "LD_LIBRARY_PATH",
    "NVIDIA_VISIBLE_DEVICES",
    "PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION",
    "TF_FORCE_GPU_ALLOW_GROWTH",
    "TF_GPU_ALLOCATOR",
    "TF_GPU_THREAD_MODE",
    "XLA_FLAGS",
)


def gather(limit_s: float) -> Facts:
    """Ask the system, the driver, the packages and, each for at most `limit_s` seconds, Keras's backends."""
    driver = _driver()
    tensorflow, recording = _observe(limit_s) if driver.gpus else (ask(limit_s), None)
    at_rest: tuple[CardFacts, ...] = ()
    at_work: tuple[CardFacts, ...] = ()
    if recording is not None:
        first_touch = tensorflow.touched_ns or time.time_ns()
        at_rest = cards(recording, driver.gpus, 0, first_touch)
        if tensorflow.load_start_ns and tensorflow.load_end_ns:
            at_work = cards(recording, driver.gpus, tensorflow.load_start_ns + SETTLE_NS, tensorflow.load_end_ns)
    return Facts(
        system=_system(),
        driver=driver,
        tensorflow=tensorflow,
        packages=packages(),
        backends=ask_backends(limit_s),
        cards=at_rest,
        cards_loaded=at_work,
        cluster=cluster(os.environ),
    )


def _observe(limit_s: float) -> tuple[TensorflowFacts, telemetry.Telemetry | None]:
    """Ask TensorFlow under the sampler, to get the cards' state before and while it computes."""
    with scratch() as folder:
        path = folder / TELEMETRY_FILE

        @contextlib.contextmanager
        def sampled(pid: int) -> Iterator[None]:
            start = time.monotonic()
            with telemetry.sampling(path, pid):
                yield
                # If TensorFlow cannot be imported, the child ends before the slow fields have been read.
                time.sleep(max(0.0, LEAST_S - (time.monotonic() - start)))

        tensorflow = ask(limit_s, sampled)
        try:
            return tensorflow, telemetry.read(path)
        except InputError:
            return tensorflow, None


def _driver() -> DriverFacts:
    inventory = telemetry.inventory()
    return DriverFacts(
        gpus=inventory.gpus,
        driver=inventory.driver,
        cuda=inventory.cuda,
        missing=inventory.missing,
        state=inventory.state,
        lost=tuple(_lost(inventory.said)),
        pci_gpus=_pci_gpus(),
        nouveau=Path("/sys/module/nouveau").exists(),
        module_version=_read(Path("/sys/module/nvidia/version")),
        device_nodes=tuple(sorted(str(path) for path in (*Path("/dev").glob("nvidia*"), *Path("/dev").glob("dxg")))),
        admin_only=_admin_only(),
        may_profile=_may_profile(),
    )


def _lost(notices: Iterable[str]) -> Iterator[tuple[int, str]]:
    """Return the GPUs for which the driver does not answer; notices on single fields (`gpu0.power_w`) do not count."""
    for words in notices:
        match = re.match(r"gpu(\d+): (\w+): ", words)
        if match:
            yield int(match[1]), match[2]


def _system() -> SystemFacts:
    memory, group = psutil.virtual_memory(), cgroup.cgroup_of("self", Path("/"))
    quota, limit_mib = group.limits() if group else (None, None)
    release = platform.release()
    return SystemFacts(
        system=platform.system(),
        release=release,
        python=platform.python_version(),
        wsl=wsl_version(release),
        container=Path("/.dockerenv").exists() or Path("/run/.containerenv").exists(),
        cpu_count=os.cpu_count() or 1,
        affinity=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        cpu_quota=quota,
        memory_mib=memory.total / MIB,
        memory_available_mib=memory.available / MIB,
        memory_limit_mib=limit_mib,
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
