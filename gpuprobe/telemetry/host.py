"""Reads the load of the host, as counters that only grow: two readings differ by the use between them."""

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
        self._cgroup = cgroup.cgroup_of(pid, root) or cgroup.cgroup_of("self", root)
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
        counters: dict[str, float] = {}
        for read_group in tuple(self._groups):
            try:
                counters |= read_group()
            except (OSError, RuntimeError, ValueError, KeyError, psutil.Error) as error:
                self._groups.remove(read_group)
                self.said.append(say(f"host.{read_group.__name__.strip('_')}", "not_supported", repr(error)))
        return counters

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
        times_of_cores = psutil.cpu_times(percpu=True)
        busy_s = (
            sum(core_times) - core_times.idle - getattr(core_times, "iowait", 0.0) - getattr(core_times, "guest", 0.0)
            for core_times in times_of_cores
        )
        busy_by_core = dict(zip(self._cores, busy_s, strict=False))
        return {**busy_by_core, "iowait_s": sum(getattr(core_times, "iowait", 0.0) for core_times in times_of_cores)}

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
        page_faults, process_counts = cgroup.pairs(self._proc / "vmstat"), cgroup.pairs(self._proc / "stat")
        kernel_counters = {
            "major_faults": page_faults.get("pgmajfault"),
            "minor_faults": page_faults["pgfault"] - page_faults["pgmajfault"] if "pgmajfault" in page_faults else None,
            "run_queue": process_counts.get("procs_running"),
            "blocked_processes": process_counts.get("procs_blocked"),
        }
        return {name: counter for name, counter in kernel_counters.items() if counter is not None}
