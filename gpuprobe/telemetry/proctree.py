"""The observed process and all that it started: one pass over /proc tells who belongs to it and what it used.

Source of the fields: proc(5), /proc/pid/stat.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import psutil

MIB = 2**20
FIELDS = (
    "tree_cpu_s",
    "tree_memory_mib",
    "tree_threads",
    "tree_processes",
    "tree_major_faults",
    "tree_minor_faults",
)


class Process(NamedTuple):
    """One process: its parent, when it started (ticks since boot), and what it and its reaped children have used."""

    parent: int
    name: str
    started: float
    cpu_s: float
    memory_mib: float
    threads: int
    minor_faults: int
    major_faults: int


@dataclass(frozen=True)
class Tree:
    """The processes of the host by number and name, and which of them are the observed ones."""

    pids: frozenset[int] = frozenset()
    names: dict[int, str] = field(default_factory=dict)


class TreeScan:
    """Follows the process tree below a root. A process stays in it when its parent ends."""

    def __init__(self, root: int, proc: Path = Path("/proc")) -> None:
        self.tree = Tree()
        self._root, self._proc = root, proc
        self._members: dict[int, float] = {}
        self._last = dict.fromkeys(("tree_cpu_s", "tree_minor_faults", "tree_major_faults"), 0.0)
        self._offset = dict(self._last)

    def scan(self) -> dict[str, float]:
        """Look at all processes once; return the sums over the tree, nothing once all of it has ended."""
        found = _processes(self._proc)
        members = {pid for pid, started in self._members.items() if pid in found and found[pid].started == started}
        if self._root in found and (self._root not in self._members or self._root in members):
            members.add(self._root)
        children: dict[int, list[int]] = {}
        for pid, process in found.items():
            children.setdefault(process.parent, []).append(pid)
        waiting = list(members)
        while waiting:
            for pid in children.get(waiting.pop(), ()):
                if pid not in members:
                    members.add(pid)
                    waiting.append(pid)
        self._members |= {pid: found[pid].started for pid in members}
        self._members = {pid: start for pid, start in self._members.items() if pid in members or pid == self._root}
        self.tree = Tree(frozenset(members), {pid: process.name for pid, process in found.items()})
        return self._sums([found[pid] for pid in members]) if members else {}

    def _sums(self, processes: list[Process]) -> dict[str, float]:
        sums = {
            "tree_cpu_s": sum(process.cpu_s for process in processes),
            "tree_minor_faults": float(sum(process.minor_faults for process in processes)),
            "tree_major_faults": float(sum(process.major_faults for process in processes)),
        }
        for name, value in sums.items():
            # One that ended unreaped takes its count along; a counter must not fall.
            self._offset[name] += max(0.0, self._last[name] - value)
            self._last[name] = value
            sums[name] = value + self._offset[name]
        return {
            **sums,
            "tree_memory_mib": sum(process.memory_mib for process in processes),
            "tree_threads": float(sum(process.threads for process in processes)),
            "tree_processes": float(len(processes)),
        }


def _processes(proc: Path) -> dict[int, Process]:
    if not (proc / "self" / "stat").exists():
        return _processes_by_psutil()
    found = {}
    for entry in os.listdir(proc):  # noqa: PTH208 - many times as fast as a Path for each, once a second
        if entry.isdigit():
            try:
                with open(f"{proc}/{entry}/stat", "rb", buffering=0) as file:  # noqa: PTH123 - likewise
                    found[int(entry)] = parse_stat(file.read(1024))
            except (OSError, ValueError, IndexError):
                continue
    return found


TICKS_PER_S = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100
PAGE_MIB = (os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096) / MIB


def parse_stat(line: bytes) -> Process:
    """Read one line of /proc/pid/stat; the name stands in brackets and may hold anything, brackets too."""
    head, _, tail = line.rpartition(b")")
    cells = tail.split()
    return Process(
        parent=int(cells[1]),
        name=head.partition(b"(")[2].decode(errors="replace"),
        started=float(cells[19]),
        cpu_s=sum(map(int, cells[11:15])) / TICKS_PER_S,
        memory_mib=int(cells[21]) * PAGE_MIB,
        threads=int(cells[17]),
        minor_faults=int(cells[7]) + int(cells[8]),
        major_faults=int(cells[9]) + int(cells[10]),
    )


def _processes_by_psutil() -> dict[int, Process]:
    found = {}
    for process in psutil.process_iter():
        try:
            with process.oneshot():
                times = process.cpu_times()
                found[process.pid] = Process(
                    parent=process.ppid(),
                    name=process.name(),
                    started=process.create_time(),
                    cpu_s=times.user + times.system,
                    memory_mib=process.memory_info().rss / MIB,
                    threads=process.num_threads(),
                    minor_faults=0,
                    major_faults=0,
                )
        except psutil.Error:
            continue
    return found
