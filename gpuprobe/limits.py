"""What this process may use of the machine: processors by affinity and control group, memory by control group.

Source: the kernel's Documentation/admin-guide/cgroup-v2.rst, and cgroup-v1's cpu.cfs_quota_us and
memory.limit_in_bytes.
"""

from __future__ import annotations

import os
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")
# cgroup v1 writes "no limit" as the largest multiple of a page that fits 63 bits.
NO_LIMIT_BYTES = 2**60


def affinity() -> int:
    """Return how many processors this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def cores() -> float:
    """Return how many processors' worth of time this process may use: affinity, or the container's quota if less."""
    quota = cpu_quota()
    return min(float(affinity()), quota) if quota is not None else float(affinity())


def cpu_quota(root: Path = CGROUPS, membership: Path = Path("/proc/self/cgroup")) -> float | None:
    """Return the smallest CPU quota of this process's control groups in cores, or None where none is set."""
    quotas = []
    for folder in _folders(root, membership, "cpu"):
        quota, period = _words(folder / "cpu.max", 2) or (
            (_words(folder / "cpu.cfs_quota_us", 1) or ("max",))[0],
            (_words(folder / "cpu.cfs_period_us", 1) or ("100000",))[0],
        )
        if quota.isdigit() and period.isdigit() and int(period):
            quotas.append(int(quota) / int(period))
    return min(quotas, default=None)


def memory_limit_bytes(root: Path = CGROUPS, membership: Path = Path("/proc/self/cgroup")) -> int | None:
    """Return the smallest memory limit of this process's control groups, or None where none is set."""
    limits = []
    for folder in _folders(root, membership, "memory"):
        for name in ("memory.max", "memory.limit_in_bytes"):
            words = _words(folder / name, 1)
            if words and words[0].isdigit() and int(words[0]) < NO_LIMIT_BYTES:
                limits.append(int(words[0]))
    return min(limits, default=None)


def _folders(root: Path, membership: Path, controller: str) -> list[Path]:
    """Return the folders of this process's groups from its own up to the root, of cgroup v2 and of v1's controller."""
    try:
        lines = membership.read_text().splitlines()
    except OSError:
        lines = []
    found = {root, root / controller}
    for line in lines:
        _, controllers, path = [*line.split(":", 2), "", ""][:3]
        if controllers and controller not in controllers.split(","):
            continue
        top = root / controller if controllers else root
        own = top / path.lstrip("/")
        found |= {own, *(parent for parent in own.parents if parent.is_relative_to(top))}
    return sorted(found)


def _words(path: Path, count: int) -> tuple[str, ...] | None:
    try:
        words = tuple(path.read_text().split())
    except OSError:
        return None
    return words if len(words) == count else None
