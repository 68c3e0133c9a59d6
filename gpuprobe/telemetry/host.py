"""Reads what the host does, as counters that only grow: a stretch of time is the difference of two readings."""

from __future__ import annotations

import platform
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from gpuprobe.telemetry import cgroup, proctree
from gpuprobe.telemetry.states import say
from gpuprobe.units import MIB

if TYPE_CHECKING:
    from collections.abc import Callable

    from gpuprobe.telemetry.facts import Fact

FIELDS = (
    *proctree.FIELDS,
    "memory_available_mib",
    "memory_used_mib",
    "swap_used_mib",
    "swap_in_mib",
    "swap_out_mib",
    "major_faults",
    "minor_faults",
    "run_queue",
    "blocked_processes",
    "iowait_s",
    "disk_read_mib",
    "disk_written_mib",
    "network_received_mib",
    "network_sent_mib",
    *cgroup.FIELDS,
)


def core_fields() -> tuple[str, ...]:
    """Return the names of the columns of each core's busy seconds."""
    return tuple(f"core{index}_busy_s" for index in range(psutil.cpu_count() or 1))


class HostReader:
    """Reads the host, the tree below one process, and the control group of that process."""

    def __init__(self, pid: int, root: Path = Path("/")) -> None:
        self.tree = proctree.TreeScan(pid)
        self._proc = root / "proc"
        self._cgroup = cgroup.of_process(pid, root) or cgroup.of_process("self", root)
        self._cores = core_fields()
        self.said: list[str] = []
        self._groups: list[Callable[[], dict[str, float]]] = [
            self._memory,
            self._processors,
            self._disk,
            self._network,
            self._kernel,
            self._container,
            self._tree,
        ]

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of all columns that `sample` may fill."""
        return (*FIELDS, *self._cores)

    def facts(self) -> dict[str, Fact]:
        """Return the host's facts: system, cores, memory, swap and the limits of the control group."""
        memory, swap = psutil.virtual_memory(), psutil.swap_memory()
        host_facts: dict[str, Fact] = {
            "system": f"{platform.system()} {platform.release()} {platform.machine()}",
            "cores": float(len(self._cores)),
            "memory_total_mib": memory.total / MIB,
            "swap_total_mib": swap.total / MIB,
        }
        cpus, memory_mib = self._cgroup.limits() if self._cgroup else (None, None)
        if cpus is not None:
            host_facts["cgroup_cpu_limit"] = cpus
        if memory_mib is not None:
            host_facts["cgroup_memory_limit_mib"] = memory_mib
        return host_facts

    def sample(self) -> dict[str, float]:
        """Read all counters, by column. Those that this system lacks are left out, with one notice in `said`."""
        values: dict[str, float] = {}
        for group in tuple(self._groups):
            try:
                values |= group()
            except (OSError, RuntimeError, ValueError, KeyError, psutil.Error) as error:
                self._groups.remove(group)
                self.said.append(say(f"host.{group.__name__.strip('_')}", "not_supported", repr(error)))
        return values

    def _memory(self) -> dict[str, float]:
        memory, swap = psutil.virtual_memory(), psutil.swap_memory()
        return {
            "memory_available_mib": memory.available / MIB,
            "memory_used_mib": memory.used / MIB,
            "swap_used_mib": swap.used / MIB,
            "swap_in_mib": swap.sin / MIB,
            "swap_out_mib": swap.sout / MIB,
        }

    def _processors(self) -> dict[str, float]:
        times = psutil.cpu_times(percpu=True)
        busy = (sum(core) - core.idle - getattr(core, "iowait", 0.0) - getattr(core, "guest", 0.0) for core in times)
        values = dict(zip(self._cores, busy, strict=False))
        return {**values, "iowait_s": sum(getattr(core, "iowait", 0.0) for core in times)}

    def _disk(self) -> dict[str, float]:
        disk = psutil.disk_io_counters()
        return {"disk_read_mib": disk.read_bytes / MIB, "disk_written_mib": disk.write_bytes / MIB} if disk else {}

    def _network(self) -> dict[str, float]:
        network = psutil.net_io_counters()
        if not network:
            return {}
        return {
            "network_received_mib": network.bytes_recv / MIB,
            "network_sent_mib": network.bytes_sent / MIB,
        }

    def _container(self) -> dict[str, float]:
        return self._cgroup.usage() if self._cgroup else {}

    def _tree(self) -> dict[str, float]:
        return self.tree.scan()

    def _kernel(self) -> dict[str, float]:
        """Read the counters that psutil lacks. Source: proc(5), /proc/vmstat and the tail of /proc/stat."""
        faults, queue = cgroup.pairs(self._proc / "vmstat"), cgroup.pairs(self._proc / "stat")
        kernel_facts = {
            "major_faults": faults.get("pgmajfault"),
            "minor_faults": faults["pgfault"] - faults["pgmajfault"] if "pgmajfault" in faults else None,
            "run_queue": queue.get("procs_running"),
            "blocked_processes": queue.get("procs_blocked"),
        }
        return {name: value for name, value in kernel_facts.items() if value is not None}
