"""The sampler process: `python -m gpuprobe.telemetry FILE PID [PARENT]` samples until its stdin closes or PARENT ends.

`--hz` is the rate of the fast fields (20 by default); slow fields and the host are read at a twentieth of it.
`--crashed SIGNAL` samples the host only, after the driver's library has crashed an earlier sampler.
"""

from __future__ import annotations

import argparse
import os
import select
import sys
import threading
import time
from pathlib import Path

from gpuprobe.telemetry import nvml
from gpuprobe.telemetry.gpu import Gpu
from gpuprobe.telemetry.host import HostReader
from gpuprobe.telemetry.loop import HUNG_AFTER_S, LATE_AFTER_S, Loop, Pace
from gpuprobe.telemetry.paced_reader import PacedReader, feeds
from gpuprobe.telemetry.states import parse, say
from gpuprobe.telemetry.writer import Writer

FAST_HZ = 20.0
SLOW_EVERY = 20
# The host's clock counts as set, not merely slewed, if it jumps by more than this within one slow tick.
CLOCK_STEP_S = 0.1
STOP_S = 1.0
HOST_ONLY = "only the host is sampled"


class Sampler:
    """Samples the host in the main thread and the GPUs in others, into one file."""

    def __init__(self, path: Path, pid: int, hz: float, crashed: str = "") -> None:
        self._host = HostReader(pid)
        self._writer = Writer(path, self._host.columns)
        self._writer.facts("host", self._host.facts())
        self._period_s = SLOW_EVERY / hz
        self._opened: tuple[list[Gpu], str, dict[str, str]] | None = None
        self._unusable = ""
        self._loops: list[Loop] = []
        self._said: list[str] = []
        self._clock_s = time.time() - time.monotonic()
        if crashed:
            self._said.append(say("driver", "driver_crashed", f"{crashed} in a call into the driver, {HOST_ONLY}"))
            return
        self._start_to_open().join(HUNG_AFTER_S)
        if self._opened is None:
            words = f"the driver has not answered for {HUNG_AFTER_S:.0f} s, {HOST_ONLY} until it does"
            self._unusable = say("driver", "driver_hung", words)
            self._said.append(self._unusable)

    def run(self, parent: int) -> None:
        """Sample until stdin closes or the process `parent` ends; then take a last reading of everything."""
        pace, wait_s = Pace(self._period_s), 0.0
        while True:
            if wait_s <= 0:
                self._take_in_gpus()
                self._sample_host()
                wait_s = pace.next_in_s()
            for loop in self._loops:
                loop.watch()
            if _told_to_stop(min(wait_s, LATE_AFTER_S), parent):
                break
            wait_s -= LATE_AFTER_S
        for loop in self._loops:
            loop.stop(STOP_S)
        self._sample_host()
        self._writer.close()

    def _start_to_open(self) -> threading.Thread:
        opener = threading.Thread(target=self._open, daemon=True)
        opener.start()
        return opener

    def _open(self) -> None:
        try:
            count = nvml.start()
        except nvml.NvmlError as error:
            self._opened = [], say("driver", error.state, f"no GPU: {error}"), {}
            return
        driver, cuda = nvml.versions()
        self._opened = [Gpu(index) for index in range(count)], "", {"driver": driver, "cuda": cuda}

    def _take_in_gpus(self) -> None:
        if self._opened is None:
            return
        (gpus, unusable, versions), self._opened = self._opened, None
        if not gpus:
            if unusable != self._unusable:
                self._said.append(unusable)
            self._unusable = unusable
            # An unusable driver may be loading or updating, so it is tried again; a missing one is not.
            if parse(0, unusable)[0].state != "no_driver":
                self._start_to_open()
            return
        if self._unusable:
            self._said.append(say("driver", "back", "the driver answers again"))
        paired = [feeds(gpu, self._host.tree) for gpu in gpus]
        fast, slow = [pair[0] for pair in paired], [pair[1] for pair in paired]
        # Fast fields come first: a row ends at its last value, so the frequent rows are short.
        self._writer.name_columns([*_columns(fast), *self._host.columns, *_columns(slow)])
        self._writer.facts("driver", versions)
        for gpu in gpus:
            self._writer.facts(gpu.where, gpu.facts)
            self._said += gpu.said
        self._host.tree.scan()
        self._loops = [
            Loop(fast, self._period_s / SLOW_EVERY, self._writer),
            Loop(slow, self._period_s, self._writer),
        ]

    def _sample_host(self) -> None:
        clock_s = time.time() - time.monotonic()
        if abs(clock_s - self._clock_s) > CLOCK_STEP_S:
            self._said.append(say("host", "clock_stepped", f"by {clock_s - self._clock_s:.3f} s"))
        self._clock_s = clock_s
        t_ns, values = time.time_ns(), self._host.sample()
        notices, self._said = [*self._said, *self._host.said], []
        self._host.said.clear()
        self._writer.row(t_ns, values, "; ".join(notices))


def _columns(group: list[PacedReader]) -> list[str]:
    return [name for feed in group for name in feed.columns]


def _told_to_stop(wait_s: float, parent: int) -> bool:
    """Wait for the next tick; return whether stdin was closed or the parent has ended.

    The parent is checked too, since its forked children may keep the pipe open.
    """
    readable, _, _ = select.select([sys.stdin], [], [], wait_s)
    return (bool(readable) and not os.read(sys.stdin.fileno(), 1)) or os.getppid() != parent


def main() -> None:
    """Run the sampler with the options of the command line."""
    parser = argparse.ArgumentParser(prog="python -m gpuprobe.telemetry")
    parser.add_argument("path", type=Path)
    parser.add_argument("pid", type=int)
    parser.add_argument("parent", type=int, nargs="?", default=os.getppid())
    parser.add_argument("--hz", type=float, default=FAST_HZ)
    parser.add_argument("--crashed", default="")
    asked = parser.parse_args()
    Sampler(asked.path, asked.pid, asked.hz, asked.crashed).run(asked.parent)
    # Exit even if a thread hangs in the driver.
    os._exit(0)


if __name__ == "__main__":
    main()
