"""The sampler process: `python -m gpuprobe.telemetry FILE PID [PARENT]`.

It samples until its stdin holds a byte or is closed, or until PARENT ends.

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
from gpuprobe.telemetry.paced_reader import PacedReader, paced_readers
from gpuprobe.telemetry.states import parse, say
from gpuprobe.telemetry.writer import Writer

FAST_HZ = 20.0
TICKS_PER_SLOW_READING = 20
# Where the host's clock jumps by more than this within one slow tick, it was set; a smaller jump is slewing.
CLOCK_SET_ABOVE_S = 0.1
STOP_WAIT_S = 1.0
HOST_ONLY = "only the host is sampled"


class Sampler:
    """Samples the host in the main thread and the GPUs in others, into one file."""

    def __init__(self, path: Path, pid: int, hz: float, crashed: str = "") -> None:
        self._host = HostReader(pid)
        self._writer = Writer(path, self._host.columns)
        self._writer.facts("host", self._host.facts())
        self._period_s = TICKS_PER_SLOW_READING / hz
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
            hung_words = f"the driver has not answered for {HUNG_AFTER_S:.0f} s, {HOST_ONLY} until it does"
            self._unusable = say("driver", "driver_hung", hung_words)
            self._said.append(self._unusable)

    def run(self, parent: int) -> None:
        """Sample until it is asked to stop or the process `parent` ends; then take a last reading of everything."""
        pace, wait_s = Pace(self._period_s), 0.0
        while True:
            if wait_s <= 0:
                self._take_in_gpus()
                self._sample_host()
                wait_s = pace.next_in_s()
            for loop in self._loops:
                loop.watch()
            if _stop_requested(min(wait_s, LATE_AFTER_S), parent):
                break
            wait_s -= LATE_AFTER_S
        for loop in self._loops:
            loop.stop(STOP_WAIT_S)
        self._sample_host()
        self._writer.close()

    def _start_to_open(self) -> threading.Thread:
        opener = threading.Thread(target=self._open, daemon=True)
        opener.start()
        return opener

    def _open(self) -> None:
        try:
            gpu_count = nvml.start()
        except nvml.NvmlError as error:
            self._opened = [], say("driver", error.state, f"no GPU: {error}"), {}
            return
        driver_version, cuda_version = nvml.versions()
        self._opened = [Gpu(index) for index in range(gpu_count)], "", {"driver": driver_version, "cuda": cuda_version}

    def _take_in_gpus(self) -> None:
        if self._opened is None:
            return
        (gpus, unusable_notice, versions), self._opened = self._opened, None
        if not gpus:
            if unusable_notice != self._unusable:
                self._said.append(unusable_notice)
            self._unusable = unusable_notice
            # An unusable driver may be loading or updating, so it is tried again; a missing one is not.
            if parse(0, unusable_notice)[0].state != "no_driver":
                self._start_to_open()
            return
        if self._unusable:
            self._said.append(say("driver", "back", "the driver answers again"))
        reader_pairs = [paced_readers(gpu, self._host.tree) for gpu in gpus]
        fast_readers, slow_readers = (
            [reader_pair[0] for reader_pair in reader_pairs],
            [reader_pair[1] for reader_pair in reader_pairs],
        )
        # Fast fields come first: a row ends at its last value, so the frequent rows are short.
        self._writer.name_columns([*_columns(fast_readers), *self._host.columns, *_columns(slow_readers)])
        self._writer.facts("driver", versions)
        for gpu in gpus:
            self._writer.facts(gpu.where, gpu.facts)
            self._said += gpu.said
        self._host.tree.scan()
        self._loops = [
            Loop(fast_readers, self._period_s / TICKS_PER_SLOW_READING, self._writer),
            Loop(slow_readers, self._period_s, self._writer),
        ]

    def _sample_host(self) -> None:
        clock_s = time.time() - time.monotonic()
        if abs(clock_s - self._clock_s) > CLOCK_SET_ABOVE_S:
            self._said.append(say("host", "clock_stepped", f"by {clock_s - self._clock_s:.3f} s"))
        self._clock_s = clock_s
        t_ns, host_values = time.time_ns(), self._host.sample()
        notices, self._said = [*self._said, *self._host.said], []
        self._host.said.clear()
        self._writer.row(t_ns, host_values, "; ".join(notices))


def _columns(readers: list[PacedReader]) -> list[str]:
    return [name for reader in readers for name in reader.columns]


def _stop_requested(wait_s: float, parent: int) -> bool:
    """Wait for the next tick; return whether stdin holds a byte or was closed, or the parent has ended.

    The parent is checked too, since its forked children may keep the pipe open.
    """
    readable, _, _ = select.select([sys.stdin], [], [], wait_s)
    return bool(readable) or os.getppid() != parent


def main() -> None:
    """Run the sampler with the options of the command line."""
    parser = argparse.ArgumentParser(prog="python -m gpuprobe.telemetry")
    parser.add_argument("path", type=Path)
    parser.add_argument("pid", type=int)
    parser.add_argument("parent", type=int, nargs="?", default=os.getppid())
    parser.add_argument("--hz", type=float, default=FAST_HZ)
    parser.add_argument("--crashed", default="")
    options = parser.parse_args()
    Sampler(options.path, options.pid, options.hz, options.crashed).run(options.parent)
    # Exit even if a thread hangs in the driver.
    os._exit(0)


if __name__ == "__main__":
    main()
