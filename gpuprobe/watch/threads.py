"""Measures the CPU time of each thread of a process tree: one that holds Python's lock (GIL) takes a full core."""

from __future__ import annotations

import time
from pathlib import Path

import psutil

from gpuprobe.records import ThreadUse

# Reading takes some microseconds for each thread; a tree of thousands is read less often, to use at most this share of
# one core.
COST_SHARE = 0.005
EVERY_S = 1.0
KEPT = 5


class Threads:
    """Adds up the CPU seconds of each thread of a tree, at most once a second."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._first: dict[tuple[int, int], tuple[float, float]] = {}
        self._last: dict[tuple[int, int], tuple[float, float]] = {}
        self._names: dict[tuple[int, int], str] = {}
        self._next_s = 0.0

    def look(self) -> None:
        """Read the tree if it is due; processes that have just ended are skipped."""
        now_s, began_s = time.monotonic(), time.thread_time()
        if now_s < self._next_s:
            return
        try:
            root = psutil.Process(self._pid)
            processes = [root, *root.children(recursive=True)]
        except psutil.Error:
            return
        for process in processes:
            try:
                self._add(process, now_s)
            except psutil.Error:
                continue
        self._next_s = now_s + max(EVERY_S, (time.thread_time() - began_s) / COST_SHARE)

    def busiest(self) -> tuple[ThreadUse, ...]:
        """Return the threads with the most CPU time between the first and the last reading, five at most."""
        uses = [
            ThreadUse(
                pid=key[0],
                tid=key[1],
                name=self._names[key],
                cpu_s=self._last[key][1] - cpu_s,
                seen_s=self._last[key][0] - seen_s,
            )
            for key, (seen_s, cpu_s) in self._first.items()
            if self._last[key][0] > seen_s
        ]
        return tuple(sorted(uses, key=lambda use: -use.cpu_s)[:KEPT])

    def _add(self, process: psutil.Process, now_s: float) -> None:
        for thread in process.threads():
            key = (process.pid, thread.id)
            seen = (now_s, thread.user_time + thread.system_time)
            if key not in self._first:
                self._first[key] = seen
                self._names[key] = _thread_name(*key)
            self._last[key] = seen


def _thread_name(pid: int, tid: int) -> str:
    try:
        return Path(f"/proc/{pid}/task/{tid}/comm").read_text(errors="replace").strip()
    except OSError:
        return ""
