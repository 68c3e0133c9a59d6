"""What NVML is read as beside what nvidia-smi prints, at rest and at work; and what the reading costs."""

from __future__ import annotations

import shutil
import statistics
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from gpuprobe import telemetry

# By the name of our column, what nvidia-smi calls the same.
BOTH = {
    "utilization_percent": "utilization.gpu",
    "power_w": "power.draw",
    "sm_clock_mhz": "clocks.sm",
    "temperature_c": "temperature.gpu",
}
SECONDS, START_S, EVERY_MS = 6.0, 3.0, 200
Load = Callable[[float], "subprocess.Popen[bytes]"]


def card(work: Path, load: Load) -> dict[str, Any]:
    """Read the first card at rest and under load, both ways at once, and return the means."""
    if not telemetry.inventory().gpus:
        return {"done": True, "missing": telemetry.inventory().missing or "there is no GPU"}
    found: dict[str, Any] = {"done": True, "at_rest": _read(work / "rest.csv", None)}
    busy = load(SECONDS + 4 * START_S)
    try:
        # A framework takes some seconds to start.
        time.sleep(START_S * 2)
        found["at_work"] = _read(work / "work.csv", busy.pid)
    finally:
        busy.kill()
        busy.wait()
    return found


def sampler(work: Path, load: Load) -> dict[str, Any]:
    """Return the sampler's own CPU time as a share of one core, and how punctual its readings are."""
    busy = load(SECONDS + 3 * START_S)
    path = work / "cost.csv"
    try:
        with telemetry.sampling(path, busy.pid) as own:
            process = psutil.Process(own.pid)
            time.sleep(START_S)
            before, began_s = sum(process.cpu_times()[:2]), time.monotonic()
            time.sleep(SECONDS)
            cpu_s, wall_s = sum(process.cpu_times()[:2]) - before, time.monotonic() - began_s
    finally:
        busy.kill()
        busy.wait()
    recording = telemetry.read(path)
    times = recording.t_ns
    off_ms = np.abs(np.diff(times[:-1]) - np.median(np.diff(times[:-1]))) / 1e6 if len(times) > 3 else np.array([])
    return {
        "done": True,
        "core_share": cpu_s / wall_s,
        "readings": len(times),
        "interval_off_ms_p50": float(np.percentile(off_ms, 50)) if len(off_ms) else None,
        "interval_off_ms_p99": float(np.percentile(off_ms, 99)) if len(off_ms) else None,
    }


def _read(path: Path, pid: int | None) -> dict[str, Any]:
    smi = _smi()
    with telemetry.sampling(path, pid or psutil.Process().pid):
        time.sleep(SECONDS)
    printed = _printed(smi)
    recording = telemetry.read(path)
    return {
        ours: {"nvml": _mean(recording.series(f"gpu0_{ours}")[1]), "nvidia_smi": _mean(printed.get(theirs, ()))}
        for ours, theirs in BOTH.items()
    }


def _smi() -> subprocess.Popen[str] | None:
    program = shutil.which("nvidia-smi")
    if program is None:
        return None
    query = [
        f"--query-gpu={','.join(BOTH.values())}",
        "--format=csv,noheader,nounits",
        "-i",
        "0",
        "-lms",
        str(EVERY_MS),
    ]
    return subprocess.Popen([program, *query], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)


def _printed(smi: subprocess.Popen[str] | None) -> dict[str, list[float]]:
    if smi is None:
        return {}
    smi.terminate()
    lines = [line.split(",") for line in smi.communicate()[0].splitlines()]
    columns: dict[str, list[float]] = {name: [] for name in BOTH.values()}
    for cells in lines:
        for name, cell in zip(columns, cells, strict=False):
            try:
                columns[name].append(float(cell))
            except ValueError:
                # A card without this reading prints [N/A].
                continue
    return columns


def _mean(values: Sequence[float]) -> float | None:
    return statistics.fmean(values) if len(values) else None
