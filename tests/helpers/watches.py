"""What the tests of watching share: recordings that are made, and the program that is started."""

from __future__ import annotations

import sys
from pathlib import Path

from gpuprobe.recording import TELEMETRY_FILE, WATCH_FILE
from gpuprobe.records import Environment, GpuInfo, Outcome, ThreadUse, Watch, save

S = 1_000_000_000
WATCH = (sys.executable, "-m", "gpuprobe.cli", "watch")
# Says each signal that it gets, until it has so many, and all of them at its end.
COUNTER = """
import signal, sys, time
got = []
def note(number, frame):
    got.append(signal.Signals(number).name)
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGQUIT):
    signal.signal(number, note)
print("ready", flush=True)
said = 0
while said < int(sys.argv[1]):
    time.sleep(0.02)
    for said, name in enumerate(got[said:], said + 1):
        print("got", name, flush=True)
# One that came twice would come now.
time.sleep(0.3)
print(" ".join(got), flush=True)
sys.exit(9)
"""


# Prints the seconds that a column of a recording spans so far; the column's place may change with each new header.
SPAN = """
$1 == "t_ns" { for (place = 1; place <= NF; place++) if ($place == wanted) column = place }
/^[0-9]/ && column && $column != "" { first = first ? first : $1; last = $1 }
END { exit (last - first) / 1e9 < seconds }
"""


def until_recorded(out: Path, seconds: float, column: str = "memory_available_mib") -> tuple[str, ...]:
    """Return a command that goes on until its recording in `out` holds so many seconds of the column."""
    holds = f"awk -F, -v wanted={column} -v seconds={seconds} '{SPAN}' {out / TELEMETRY_FILE} 2>/dev/null"
    return "sh", "-c", f"until {holds}; do sleep 0.1; done"


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
