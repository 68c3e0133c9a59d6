"""What the tests of watching share: recordings that are made, and the program that is started."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

from gpuprobe.recording import TELEMETRY_FILE, WATCH_FILE
from gpuprobe.records import Environment, GpuInfo, Outcome, ThreadUse, Watch, save

S = 1_000_000_000
WATCH = (sys.executable, "-m", "gpuprobe.cli", "watch")
LIMIT_S = 60.0
# Notes the signals that it gets, until it has so many.
COUNTER = """
import signal, sys, time
got = []
def note(number, frame):
    got.append(signal.Signals(number).name)
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGQUIT):
    signal.signal(number, note)
print("ready", flush=True)
end = time.monotonic() + 30
while len(got) < int(sys.argv[1]) and time.monotonic() < end:
    time.sleep(0.02)
time.sleep(0.3)
print(" ".join(got), flush=True)
sys.exit(9)
"""


def until(holds: Callable[[], object], limit_s: float = LIMIT_S) -> None:
    """Wait until something holds."""
    end = time.monotonic() + limit_s
    while not holds():
        assert time.monotonic() < end, "it did not come to pass in time"
        time.sleep(0.02)


def record(
    folder: Path,
    gpu: list[float],
    *,
    cores: float = 1.0,
    iowait: float = 0.0,
    others: float = 0.0,
    thread: float | None = None,
    memory: list[float] | None = None,
    extra: dict[str, float] | None = None,
    seconds: int | None = None,
) -> Watch:
    """Write a recording of four readings a second: utilization by second, and what the host did all along."""
    length = seconds or len(gpu) or 20
    extra = extra or {}
    names = ["tree_cpu_s", "iowait_s", "core0_busy_s", "core1_busy_s", "core2_busy_s", "core3_busy_s"]
    names += (
        ["gpu0_utilization_percent", "gpu0_memory_utilization_percent", "gpu0_memory_used_mib", *extra] if gpu else []
    )
    lines = ["t_ns,said," + ",".join(names)]
    for tick in range(length * 4 + 1):
        now = tick / 4
        values = [cores * now, iowait * now, *[(cores + others) / 4 * now] * 4]
        if gpu:
            used = (memory or [900.0] * length)[min(int(now), length - 1)]
            values += [gpu[min(int(now), length - 1)], 5.0, used, *extra.values()]
        lines.append(f"{int(now * S)},," + ",".join(f"{value:.6f}" for value in values))
    (folder / TELEMETRY_FILE).write_text("\n".join(lines) + "\n")
    gpus = (GpuInfo(index=0, name="Card", memory_mib=3072.0),) if gpu else ()
    uses = () if thread is None else (ThreadUse(pid=1, tid=1, name="python", cpu_s=thread * 10, seen_s=10.0),)
    made = Watch(
        name=folder.name,
        command=("python", "train.py"),
        started_ns=0,
        ended_ns=length * S,
        outcome=Outcome(state="done", exit_code=0),
        environment=Environment(
            system="Linux", python="3.12", cpu="CPU", cores=4, memory_mib=8000.0, versions={}, gpus=gpus, no_gpu=None
        ),
        cpu_limit=4.0,
        threads=uses,
    )
    save(made, folder / WATCH_FILE)
    return made
