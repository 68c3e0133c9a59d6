"""Follows the observed process and its descendants, and what they use, by one pass over /proc.

Source of the fields: proc(5), /proc/pid/stat.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import psutil

from gpuprobe.units import MIB

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

FIELDS = (
    "tree_cpu_s",
    "tree_memory_mib",
    "tree_threads",
    "tree_processes",
    "tree_major_faults",
    "tree_minor_faults",
)


class Process(NamedTuple):
    """One process: its parent, its start (ticks since boot), and what it and its reaped children have used."""

    parent: int
    started: float
    cpu_s: float
    memory_mib: float
    threads: int
    minor_faults: int
    major_faults: int


class TreeScan:
    """Follows the process tree below a root. A process stays in it when its parent ends.

    A process that is not in the tree when first seen never will be, so it is examined only once.
    """

    def __init__(self, root: int) -> None:
        self.pids: frozenset[int] = frozenset()
        self._root = root
        self._look = _process_in_proc if Path("/proc/self/stat").exists() else _process_by_psutil
        self._members: dict[int, float] = {}
        self._foreign: set[int] = set()
        self._last = dict.fromkeys(("tree_cpu_s", "tree_minor_faults", "tree_major_faults"), 0.0)
        self._offset = dict(self._last)

    def name(self, pid: int) -> str | None:
        """Return the name of a process of this host, None where it is not visible from here."""
        try:
            return psutil.Process(pid).name()
        except (psutil.Error, ValueError, OverflowError):
            return None

    def scan(self) -> dict[str, float]:
        """Examine all processes; return sums over the tree by column, nothing once the whole tree has ended."""
        alive = _all_pids()
        self._foreign &= alive
        processes = {pid: process for pid in alive - self._foreign if (process := self._look(pid)) is not None}
        members = {pid for pid, process in processes.items() if self._members.get(pid) == process.started}
        if self._root in processes and self._root not in self._members:
            members.add(self._root)
        self._add_children(members, processes)
        self._foreign |= processes.keys() - members
        ended_root = {self._root: self._members[self._root]} if self._root in self._members else {}
        self._members = ended_root | {pid: processes[pid].started for pid in members}
        self.pids = frozenset(members)
        return self._sums([processes[pid] for pid in members]) if members else {}

    @staticmethod
    def _add_children(members: set[int], processes: Mapping[int, Process]) -> None:
        children: dict[int, list[int]] = {}
        for pid, process in processes.items():
            children.setdefault(process.parent, []).append(pid)
        unexplored = list(members)
        while unexplored:
            new_members = set(children.get(unexplored.pop(), ())) - members
            members |= new_members
            unexplored += new_members

    def _sums(self, processes: Sequence[Process]) -> dict[str, float]:
        tree_sums = {
            "tree_cpu_s": sum(process.cpu_s for process in processes),
            "tree_minor_faults": float(sum(process.minor_faults for process in processes)),
            "tree_major_faults": float(sum(process.major_faults for process in processes)),
        }
        for counter, tree_sum in tree_sums.items():
            # The usage of a process that ended unreaped is lost from the sums, but a counter must not fall.
            self._offset[counter] += max(0.0, self._last[counter] - tree_sum)
            self._last[counter] = tree_sum
            tree_sums[counter] = tree_sum + self._offset[counter]
        return {
            **tree_sums,
            "tree_memory_mib": sum(process.memory_mib for process in processes),
            "tree_threads": float(sum(process.threads for process in processes)),
            "tree_processes": float(len(processes)),
        }


def _all_pids() -> set[int]:
    try:
        return {int(entry) for entry in os.listdir("/proc") if entry.isdigit()}  # noqa: PTH208 - many times as fast
    except OSError:
        return set(psutil.pids())


def _process_in_proc(pid: int) -> Process | None:
    try:
        with open(f"/proc/{pid}/stat", "rb", buffering=0) as file:  # noqa: PTH123 - once for each process
            return parse_stat(file.read(1024))
    except (OSError, ValueError, IndexError):
        return None


TICKS_PER_S = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100
PAGE_MIB = (os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096) / MIB


def parse_stat(stat_line: bytes) -> Process:
    """Parse a line of /proc/pid/stat; the name is in brackets and may itself contain brackets."""
    stat_cells = stat_line.rpartition(b")")[2].split()
    return Process(
        parent=int(stat_cells[1]),
        started=float(stat_cells[19]),
        cpu_s=sum(map(int, stat_cells[11:15])) / TICKS_PER_S,
        memory_mib=int(stat_cells[21]) * PAGE_MIB,
        threads=int(stat_cells[17]),
        minor_faults=int(stat_cells[7]) + int(stat_cells[8]),
        major_faults=int(stat_cells[9]) + int(stat_cells[10]),
    )


def _process_by_psutil(pid: int) -> Process | None:
    """Examine one process on a system without /proc; page faults are unknown there."""
    try:
        process = psutil.Process(pid)
        with process.oneshot():
            times = process.cpu_times()
            return Process(
                parent=process.ppid(),
                started=process.create_time(),
                cpu_s=times.user + times.system,
                memory_mib=process.memory_info().rss / MIB,
                threads=process.num_threads(),
                minor_faults=0,
                major_faults=0,
            )
    except psutil.Error:
        return None
