"""How fast and how large reading and diagnosing a trace is, against XProf and HolisticTraceAnalysis.

    python benchmarks/diagnose.py [--repeats 3] [--hta PYTHON]

Makes its own traces: ResNet20 trained eagerly on the CPU for 7 and 40 steps, a simulated GPU whose kernels carry
correlation ids, and a Chrome trace of 590,000 events. Every figure is of a whole process, start to end: wall time,
processor time (user and system), and peak memory as the system reports them of the child. On a machine that does
other work too, the processor time says more than the wall time. The subjects take turns, each run on a fresh
copy, since XProf keeps its answers beside the trace. `--hta` names the Python of an environment with
HolisticTraceAnalysis; without it that comparison is left out.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import multiprocessing
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

Result = TypeVar("Result")

EAGER = """
import sys, keras, numpy as np, tensorflow as tf
from gpuprobe.models.resnet20 import resnet_v1
model = resnet_v1(20)
model.compile(optimizer="adam", loss="sparse_categorical_crossentropy", run_eagerly=True, jit_compile=False)
x, y = np.random.rand(8, 32, 32, 3).astype("float32"), np.zeros(8, "int32")
model.train_on_batch(x, y)
tf.profiler.experimental.start(sys.argv[1])
for number in range(int(sys.argv[2])):
    with tf.profiler.experimental.Trace("train", step_num=number, _r=1):
        model.train_on_batch(x, y)
tf.profiler.experimental.stop()
"""
READ = "import sys; from pathlib import Path; from gpuprobe.traces.read import read; read(Path(sys.argv[1]))"
XPROF = """
import sys; from xprof.convert.raw_to_tool_data import xspace_to_tool_data
assert xspace_to_tool_data([sys.argv[1]], "overview_page", {})[0]
"""
HTA = """
import sys; from pathlib import Path; from hta.trace_analysis import TraceAnalysis
TraceAnalysis(trace_files={0: sys.argv[1]}, trace_dir=str(Path(sys.argv[1]).parent)).get_idle_time_breakdown(
    ranks=[0], visualize=False)
"""


@dataclass(frozen=True)
class Cost:
    """What one process took: seconds of wall and processor time, and MiB at its peak."""

    wall_s: float
    processor_s: float
    peak_mib: float


def measure(command: list[str]) -> Cost:
    """Run a process to its end."""
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "-1", "TF_CPP_MIN_LOG_LEVEL": "3", "OMP_NUM_THREADS": "2"}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    begin = time.perf_counter()
    with tempfile.TemporaryFile() as log:
        child = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        wall_s = time.perf_counter() - begin
        if child.returncode:
            log.seek(0)
            raise SystemExit(f"{command[0]} failed:\n{log.read().decode(errors='replace')[-2000:]}")
    return Cost(wall_s, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def eager_trace(folder: Path, steps: int) -> Path:
    measure([sys.executable, "-c", EAGER, str(folder), str(steps)])
    return next(folder.rglob("*.xplane.pb"))


def gpu_trace(folder: Path, kernels: int) -> Path:
    """Write a simulated GPU trace: each kernel, its launch on the host, and the stats that TensorFlow gives both."""
    from gpuprobe.traces.xplane_pb2 import XPlane, XSpace

    stats = ("correlation_id", "context_id", "kernel_details", "tf_op", "theoretical_occupancy_pct", "step_num", "_r")
    details = "regs:32 static_shared:0 dynamic_shared:0 grid:64,1,1 block:128,1,1 occ_pct:100"
    host, device = XPlane(name="/host:CPU"), XPlane(name="/device:GPU:0")
    for plane, prefix in ((host, "launch of "), (device, "")):
        for number, text in enumerate((*stats, details, "net/conv:Conv2D"), 1):
            plane.stat_metadata[number].name = text
        for number in range(1, 201):
            plane.event_metadata[number].name = f"{prefix}kernel_{number}"
    thread = host.lines.add(id=1, name="tf_gpu_launch", timestamp_ns=1000)
    stream = device.lines.add(id=13, name="Stream #13(Compute)", timestamp_ns=1000)
    for plane in (host, device):
        plane.event_metadata[201].name = "train"
    for number in range(kernels):
        if number % 1000 == 0:
            step = thread.events.add(metadata_id=201, offset_ps=number * 10_000_000, duration_ps=9_999_000_000)
            step.stats.add(metadata_id=6, int64_value=number // 1000)
            step.stats.add(metadata_id=7, int64_value=1)
        for line, start_ps, length_ps in ((thread, 0, 3_000_000), (stream, 20_000_000, 8_000_000)):
            event = line.events.add(metadata_id=1 + number % 200, duration_ps=length_ps)
            event.offset_ps = number * 10_000_000 + start_ps
            event.stats.add(metadata_id=1, uint64_value=number)
            event.stats.add(metadata_id=2, str_value="$$1")
            event.stats.add(metadata_id=3, ref_value=8)
            if line is stream:
                event.stats.add(metadata_id=4, ref_value=9)
                event.stats.add(metadata_id=5, double_value=100.0)
    path = folder / "simulated.xplane.pb"
    path.write_bytes(XSpace(planes=[host, device], hostnames=["simulated"]).SerializeToString())
    return path


def chrome_trace(folder: Path, events: int) -> Path:
    """Write a Chrome trace as PyTorch's Kineto does, the same four events over and over."""
    launch = {"External id": 7, "cbid": 211}
    kernel = {"device": 0, "context": 1, "stream": 7, "registers per thread": 32, "shared memory": 0,
              "grid": [64, 1, 1], "block": [128, 1, 1], "est. achieved occupancy %": 40, "queued": 0}  # fmt: skip
    path = folder / "simulated.pt.trace.json"
    with path.open("w") as file:
        file.write(
            '{"schemaVersion": 1, "deviceProperties": [{"id": 0, "name": "card", "numSms": 80}], "traceEvents": [\n'
        )
        for number in range(events // 4):
            at = 1000 + 40 * number
            rows = (
                (
                    "cpu_op",
                    "aten::conv2d",
                    100,
                    100,
                    at,
                    30,
                    {"External id": number, "Input Dims": [[8, 3, 32, 32], []]},
                ),
                ("cpu_op", "aten::cudnn_convolution", 100, 100, at + 2, 25, {"External id": number}),
                ("cuda_runtime", "cudaLaunchKernel", 100, 100, at + 5, 8.5, launch | {"correlation": number}),
                ("kernel", f"kernel_{number % 200}", 0, 7, at + 20, 12.25, kernel | {"correlation": number}),
            )
            keys = ("cat", "name", "pid", "tid", "ts", "dur", "args")
            text = (json.dumps({"ph": "X", **dict(zip(keys, row, strict=True))}) for row in rows)
            file.write((",\n" if number else "") + ",\n".join(text))
        file.write("\n]}\n")
    return path


def count_events(path: Path) -> int:
    from gpuprobe.traces.read import read

    timeline = read(path)
    work = sum(len(device.kernels) + len(device.copies) for device in timeline.devices)
    return work + sum(len(thread.events) for thread in timeline.threads)


def compare(path: Path, subjects: dict[str, list[str]], repeats: int) -> dict[str, Cost]:
    """Return each subject's median cost; they take turns, each on a copy of its own."""
    costs: dict[str, list[Cost]] = {name: [] for name in subjects}
    for _ in range(repeats):
        for name, command in subjects.items():
            with tempfile.TemporaryDirectory() as folder:
                copy = shutil.copy(path, folder)
                costs[name].append(measure([*command, str(copy)]))
    return {name: Cost(*(statistics.median(column) for column in zip(*map(vars_of, found), strict=True)))
            for name, found in costs.items()}  # fmt: skip


def apart(work: Callable[..., Result], *words: object) -> Result:
    """Do some work in a process of its own: what this one holds counts to the peak of the children it starts."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(work, *words).result()


def vars_of(cost: Cost) -> tuple[float, float, float]:
    return cost.wall_s, cost.processor_s, cost.peak_mib


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--repeats", type=int, default=3, help="runs of each subject on each trace")
    options.add_argument("--hta", help="the Python of an environment with HolisticTraceAnalysis")
    options.add_argument("--keep", type=Path, help="make the traces in this folder, or take those that are there")
    chosen = options.parse_args()
    ours = {"gpuprobe read": [sys.executable, "-c", READ]}
    if importlib.util.find_spec("gpuprobe.cli.diagnose"):
        ours["gpuprobe diagnose"] = [sys.executable, "-m", "gpuprobe.cli", "diagnose", "--json"]
    xprof = {"XProf overview": [sys.executable, "-c", XPROF]}
    hta = {"HTA idle time": [chosen.hta, "-c", HTA]} if chosen.hta else {}
    with tempfile.TemporaryDirectory() as made:
        folder = chosen.keep or Path(made)
        for title, make, size, theirs in (
            ("eager ResNet20 on the CPU, 7 steps", eager_trace, 7, xprof),
            ("eager ResNet20 on the CPU, 40 steps", eager_trace, 40, xprof),
            ("simulated GPU, 300,000 kernels and launches", gpu_trace, 150_000, xprof),
            ("simulated GPU, 1,600,000 kernels and launches", gpu_trace, 800_000, xprof),
            ("Chrome trace, 147,500 events", chrome_trace, 147_500, hta),
            ("Chrome trace, 590,000 events", chrome_trace, 590_000, hta),
        ):
            place = folder / title.replace(" ", "_").replace(",", "")
            place.mkdir(parents=True, exist_ok=True)
            path = next((file for file in place.rglob("*.*") if file.is_file()), None) or apart(make, place, size)
            show(title, path, compare(path, ours | theirs, chosen.repeats), set(theirs))


def show(title: str, path: Path, costs: dict[str, Cost], theirs: set[str]) -> None:
    events = apart(count_events, path)
    print(f"{title}: {events:,} events, {path.stat().st_size / 2**20:.1f} MiB")
    other = next((costs[name] for name in theirs), None)
    for name, cost in costs.items():
        line = f"  {name:18} {cost.wall_s:6.2f} s  {cost.processor_s:6.2f} s of processor  {cost.peak_mib:6.0f} MiB"
        line += f"  {1e6 * cost.wall_s / events:5.2f} us an event"
        if other is not None and name not in theirs:
            line += f"  {other.wall_s / cost.wall_s:.1f} times as fast"
            line += f" ({other.processor_s / cost.processor_s:.1f} by processor time)"
            line += f", {cost.peak_mib / other.peak_mib:.2f} of the memory"
        print(line, flush=True)


if __name__ == "__main__":
    main()
