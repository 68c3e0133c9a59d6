"""What the host did: counters that only grow, so that any stretch of time is a difference of two of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from collections.abc import Iterable

MIB = 2**20
FIELDS = (
    "tree_cpu_s",
    "tree_memory_mib",
    "tree_threads",
    "memory_available_mib",
    "iowait_s",
    "disk_read_mib",
    "disk_written_mib",
    "network_received_mib",
    "network_sent_mib",
)


def core_fields() -> tuple[str, ...]:
    """Name one column of busy seconds for each core."""
    return tuple(f"core{index}_busy_s" for index in range(psutil.cpu_count() or 1))


def sample(root: psutil.Process | None) -> dict[str, float]:
    """Read all counters; those of the process tree only while its root lives."""
    values: dict[str, float] = {"memory_available_mib": psutil.virtual_memory().available / MIB}
    times = psutil.cpu_times(percpu=True)
    for name, core in zip(core_fields(), times, strict=False):
        values[name] = sum(core) - core.idle - getattr(core, "iowait", 0.0) - getattr(core, "guest", 0.0)
    values["iowait_s"] = sum(getattr(core, "iowait", 0.0) for core in times)
    disk, network = psutil.disk_io_counters(), psutil.net_io_counters()
    if disk:
        values["disk_read_mib"], values["disk_written_mib"] = disk.read_bytes / MIB, disk.write_bytes / MIB
    if network:
        values["network_received_mib"], values["network_sent_mib"] = (
            network.bytes_recv / MIB,
            network.bytes_sent / MIB,
        )
    if root is not None:
        values |= _tree(root)
    return values


def _tree(root: psutil.Process) -> dict[str, float]:
    try:
        processes = [root, *root.children(recursive=True)]
    except psutil.Error:
        return {}
    return _sum(processes)


def _sum(processes: Iterable[psutil.Process]) -> dict[str, float]:
    cpu_s = memory = threads = 0.0
    counted = False
    for process in processes:
        try:
            with process.oneshot():
                times = process.cpu_times()
                cpu_s += times.user + times.system + times.children_user + times.children_system
                memory += process.memory_info().rss / MIB
                threads += process.num_threads()
            counted = True
        except psutil.Error:
            continue
    return {"tree_cpu_s": cpu_s, "tree_memory_mib": memory, "tree_threads": threads} if counted else {}
