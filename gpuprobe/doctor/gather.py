"""Gathers all facts once; a fact that cannot be found out stays unknown, without an error."""

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
from gpuprobe.doctor.ask_tensorflow import ask_tensorflow
from gpuprobe.doctor.cards import cards
from gpuprobe.doctor.cluster import cluster_facts
from gpuprobe.doctor.facts import CardFacts, DriverFacts, Facts, SystemFacts, TensorflowFacts
from gpuprobe.doctor.packages import package_facts
from gpuprobe.errors import InputError
from gpuprobe.recording import TELEMETRY_FILE
from gpuprobe.scratch import scratch
from gpuprobe.telemetry import cgroup
from gpuprobe.units import MIB

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

# A card reaches its full clocks and link speed within a second of load.
SETTLE_UNDER_LOAD_NS = 1_000_000_000
LEAST_SAMPLING_S = 3.0
# The number in linux/capability.h. NVIDIA's page ERR_NVGPUCTRPERM names this capability as lifting the restriction.
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
    """Return the facts of the system, the driver, the packages and Keras's backends.

    Each backend is asked for at most `limit_s` seconds.
    """
    driver = _driver_facts()
    tensorflow, recording = _ask_under_sampler(limit_s) if driver.gpus else (ask_tensorflow(limit_s), None)
    cards_at_rest: tuple[CardFacts, ...] = ()
    cards_loaded: tuple[CardFacts, ...] = ()
    if recording is not None:
        first_touch = tensorflow.touched_ns or time.time_ns()
        cards_at_rest = cards(recording, driver.gpus, 0, first_touch)
        if tensorflow.load_start_ns and tensorflow.load_end_ns:
            cards_loaded = cards(
                recording, driver.gpus, tensorflow.load_start_ns + SETTLE_UNDER_LOAD_NS, tensorflow.load_end_ns
            )
    return Facts(
        system=_system_facts(),
        driver=driver,
        tensorflow=tensorflow,
        packages=package_facts(),
        backends=ask_backends(limit_s),
        cards=cards_at_rest,
        cards_loaded=cards_loaded,
        cluster=cluster_facts(os.environ),
    )


def _ask_under_sampler(limit_s: float) -> tuple[TensorflowFacts, telemetry.Telemetry | None]:
    """Ask TensorFlow while the sampler runs, to get the state of the cards before and while it computes."""
    with scratch() as folder:
        telemetry_file = folder / TELEMETRY_FILE

        @contextlib.contextmanager
        def sampled(pid: int) -> Iterator[None]:
            started_s = time.monotonic()
            with telemetry.sampling(telemetry_file, pid):
                yield
                # If TensorFlow cannot be imported, the child ends before the slow fields have been read.
                time.sleep(max(0.0, LEAST_SAMPLING_S - (time.monotonic() - started_s)))

        tensorflow = ask_tensorflow(limit_s, sampled)
        try:
            return tensorflow, telemetry.read(telemetry_file)
        except InputError:
            return tensorflow, None


def _driver_facts() -> DriverFacts:
    inventory = telemetry.inventory()
    return DriverFacts(
        gpus=inventory.gpus,
        driver=inventory.driver,
        cuda=inventory.cuda,
        missing=inventory.missing,
        state=inventory.state,
        lost=tuple(_lost_gpus(inventory.said)),
        pci_gpus=_pci_gpus(),
        nouveau=Path("/sys/module/nouveau").exists(),
        module_version=_text_of(Path("/sys/module/nvidia/version")),
        device_nodes=tuple(sorted(str(path) for path in (*Path("/dev").glob("nvidia*"), *Path("/dev").glob("dxg")))),
        admin_only=_admin_only(),
        may_profile=_may_profile(),
    )


def _lost_gpus(notices: Iterable[str]) -> Iterator[tuple[int, str]]:
    """Yield (number, state) of the GPUs that do not answer; notices on single fields (`gpu0.power_w`) do not count."""
    for notice in notices:
        lost_gpu = re.match(r"gpu(\d+): (\w+): ", notice)
        if lost_gpu:
            yield int(lost_gpu[1]), lost_gpu[2]


def _system_facts() -> SystemFacts:
    memory, control_group = psutil.virtual_memory(), cgroup.cgroup_of("self", Path("/"))
    cpu_quota, memory_limit_mib = control_group.limits() if control_group else (None, None)
    release = platform.release()
    return SystemFacts(
        system=platform.system(),
        release=release,
        python=platform.python_version(),
        wsl=wsl_version(release),
        container=Path("/.dockerenv").exists() or Path("/run/.containerenv").exists(),
        cpu_count=os.cpu_count() or 1,
        affinity=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        cpu_quota=cpu_quota,
        memory_mib=memory.total / MIB,
        memory_available_mib=memory.available / MIB,
        memory_limit_mib=memory_limit_mib,
        environment={variable: os.environ[variable] for variable in VARIABLES if variable in os.environ},
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
        _text_of(device / "vendor") == NVIDIA_VENDOR and _text_of(device / "class").startswith(DISPLAY_CLASSES)
        for device in bus.iterdir()
    )


def _admin_only() -> bool | None:
    admin_only_line = re.search(
        r"^RmProfilingAdminOnly:\s*(\d)", _text_of(Path("/proc/driver/nvidia/params")), re.MULTILINE
    )
    return admin_only_line[1] == "1" if admin_only_line else None


def _may_profile() -> bool:
    capabilities_line = re.search(r"^CapEff:\s*([0-9a-f]+)", _text_of(Path("/proc/self/status")), re.MULTILINE)
    return (
        bool(capabilities_line) and bool(int(capabilities_line[1], 16) >> CAP_SYS_ADMIN & 1)
        if capabilities_line
        else False
    )


def _text_of(path: Path) -> str:
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return ""
