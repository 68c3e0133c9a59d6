"""Reads the limits of a container (cgroup version 1 and 2): how many processors and how much memory it may use.

The tightest limit on the path to the root counts. Sources: kernel.org, "Control Group v2" and "CFS Bandwidth Control".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gpuprobe.units import MIB

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FIELDS = ("cgroup_cpu_s", "cgroup_throttled_s", "cgroup_memory_mib")
# Version 1 writes "no limit" as the largest multiple of a page that fits 63 bits.
NO_LIMIT = 2**60


@dataclass(frozen=True)
class Cgroup:
    """The folders of a process's control group: one for CPU and memory (version 2), or one for each (version 1)."""

    cpu: Path | None
    memory: Path | None
    mount: Path
    version: int

    def limits(self) -> tuple[float | None, float | None]:
        """Return (processors, memory in MiB) that the group may use; None where nothing limits it."""
        read_cpu, read_memory = (_cpus_v2, _memory_v2) if self.version == 2 else (_cpus_v1, _memory_v1)
        cpu_limits = [group_limit for folder in self._up(self.cpu) if (group_limit := read_cpu(folder)) is not None]
        memory_limits_mib = [
            group_limit for folder in self._up(self.memory) if (group_limit := read_memory(folder)) is not None
        ]
        return min(cpu_limits, default=None), min(memory_limits_mib, default=None)

    def usage(self) -> dict[str, float]:
        """Return the counters of the group: seconds of CPU, seconds throttled, and its memory now in MiB."""
        counters: dict[str, float] = {}
        cpu_stat = pairs(self.cpu / "cpu.stat") if self.cpu else {}
        if self.version == 2:
            cpu_used, throttled, memory_file = (
                cpu_stat.get("usage_usec"),
                cpu_stat.get("throttled_usec"),
                "memory.current",
            )
            seconds_per_unit = 1e-6
        else:
            cpu_used = _number_in(self.cpu / "cpuacct.usage") if self.cpu else None
            throttled, memory_file, seconds_per_unit = cpu_stat.get("throttled_time"), "memory.usage_in_bytes", 1e-9
        if cpu_used is not None:
            counters["cgroup_cpu_s"] = cpu_used * seconds_per_unit
        if throttled is not None:
            counters["cgroup_throttled_s"] = throttled * seconds_per_unit
        memory_bytes = _number_in(self.memory / memory_file) if self.memory else None
        if memory_bytes is not None:
            counters["cgroup_memory_mib"] = memory_bytes / MIB
        return counters

    def _up(self, folder: Path | None) -> Iterator[Path]:
        while folder is not None and folder.is_relative_to(self.mount):
            yield folder
            folder = folder.parent


def cgroup_of(pid: int | str, root: Path) -> Cgroup | None:
    """Return the control group of a process, None where it has none; `root` holds `proc` and `sys/fs/cgroup`."""
    mount = root / "sys/fs/cgroup"
    try:
        cgroup_lines = (root / "proc" / str(pid) / "cgroup").read_text().splitlines()
    except OSError:
        return None
    path_by_controller = {}
    for cgroup_line in cgroup_lines:
        controllers, _, group_path = cgroup_line.partition(":")[2].partition(":")
        path_by_controller.update(dict.fromkeys(controllers.split(","), group_path.lstrip("/")))
    if (mount / "cgroup.controllers").exists():
        folder = _existing_folder(mount, path_by_controller.get("", ""))
        return Cgroup(folder, folder, mount, 2)
    folders = {
        controller: _existing_folder(mount / controller, path_by_controller[controller])
        for controller in ("cpu", "memory")
        if (mount / controller).is_dir() and controller in path_by_controller
    }
    return Cgroup(folders.get("cpu"), folders.get("memory"), mount, 1) if folders else None


def _existing_folder(mount: Path, group_path: str) -> Path:
    """Return the first folder that exists.

    In a container /proc may name a path of the host; the group is then at the mount's root.
    """
    return mount / group_path if (mount / group_path).is_dir() else mount


def _cpus_v2(folder: Path) -> float | None:
    quota, _, period = _text_of(folder / "cpu.max").partition(" ")
    return int(quota) / int(period) if quota.isdigit() and period.isdigit() and int(period) else None


def _cpus_v1(folder: Path) -> float | None:
    quota, period = _number_in(folder / "cpu.cfs_quota_us"), _number_in(folder / "cpu.cfs_period_us")
    return quota / period if quota is not None and period and quota > 0 else None


def _memory_v2(folder: Path) -> float | None:
    limit = _number_in(folder / "memory.max")
    return None if limit is None else limit / MIB


def _memory_v1(folder: Path) -> float | None:
    limit = _number_in(folder / "memory.limit_in_bytes")
    return None if limit is None or limit >= NO_LIMIT else limit / MIB


def pairs(path: Path) -> dict[str, float]:
    """Return the numbers of a kernel file with lines `name number`; empty where there is no such file."""
    name_and_number = (line.split() for line in _text_of(path).splitlines())
    return {
        line_words[0]: float(line_words[1])
        for line_words in name_and_number
        if len(line_words) == 2 and line_words[1].isdigit()
    }


def _number_in(path: Path) -> float | None:
    try:
        return float(_text_of(path))
    except ValueError:
        return None


def _text_of(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
