"""Measures the CPU time of each thread of a process tree: one that holds Python's lock (GIL) takes a full core."""

from __future__ import annotations

import time
from pathlib import Path

import psutil

from gpuprobe.records import ThreadUse

# At most this share of one core is used for reading. A thread takes some microseconds, so a tree of thousands is read
# less often.
MOST_OF_A_CORE = 0.005
READ_EVERY_S = 1.0
BUSIEST_KEPT = 5


class Threads:
    """Adds up the CPU seconds of each thread of a tree, at most once a second."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._first: dict[tuple[int, int], tuple[float, float]] = {}
        self._last: dict[tuple[int, int], tuple[float, float]] = {}
        self._names: dict[tuple[int, int], str] = {}
        self._next_s = 0.0

    def look(self) -> None:
        """Read the CPU time of all threads if it is due; processes that have just ended are skipped."""
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
        self._next_s = now_s + max(READ_EVERY_S, (time.thread_time() - began_s) / MOST_OF_A_CORE)

    def busiest(self) -> tuple[ThreadUse, ...]:
        """Return the threads with the most CPU time between the first and the last reading, five at most."""
        thread_uses = [
            ThreadUse(
                pid=thread_key[0],
                tid=thread_key[1],
                name=self._names[thread_key],
                cpu_s=self._last[thread_key][1] - cpu_s,
                seen_s=self._last[thread_key][0] - seen_s,
            )
            for thread_key, (seen_s, cpu_s) in self._first.items()
            if self._last[thread_key][0] > seen_s
        ]
        return tuple(sorted(thread_uses, key=lambda use: -use.cpu_s)[:BUSIEST_KEPT])

    def _add(self, process: psutil.Process, now_s: float) -> None:
        for thread in process.threads():
            thread_key = (process.pid, thread.id)
            cpu_reading = (now_s, thread.user_time + thread.system_time)
            if thread_key not in self._first:
                self._first[thread_key] = cpu_reading
                self._names[thread_key] = _thread_name(*thread_key)
            self._last[thread_key] = cpu_reading


def _thread_name(pid: int, tid: int) -> str:
    try:
        return Path(f"/proc/{pid}/task/{tid}/comm").read_text(errors="replace").strip()
    except OSError:
        return ""
