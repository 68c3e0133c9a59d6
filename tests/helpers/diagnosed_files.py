"""Writes a file of every kind that `gpuprobe diagnose` reads, of simulated sessions."""

from __future__ import annotations

import gzip
import json
import random
from pathlib import Path
from typing import Any

from gpuprobe.simulate import xplane
from gpuprobe.simulate.engine import simulate
from gpuprobe.simulate.sessions import write_session
from gpuprobe.simulate.spec import Card, Collective, Host, Input, Recording, Spec
from tests.helpers.simulated import SMALL

SESSIONS = (
    Spec(kernels=SMALL, steps=3),
    Spec(kernels=SMALL, steps=3, recording=Recording(style="2020")),
    Spec(kernels=SMALL, steps=3, host=Host(eager=True, compile_every=2, compile_ms=5.0), card=Card(on_gpu=False)),
)
MORE_SESSIONS = (
    Spec(kernels=SMALL, steps=4, collective=Collective(gpus=2, allreduce_ms=1.0), host=Host(sync_every=1)),
    Spec(kernels=SMALL, steps=4, input=Input(feed="tf_data", map_ms=4.0, prefetch=1)),
)
DMON = "# gpu pwr gtemp sm mem fb\n# Idx W C % % MB\n"
DCGM = "#Entity GPUTL POWER SMACT\nID\n"


def files(folder: Path) -> list[Path]:
    """Write the files into a folder."""
    made = [xplane_file(folder / f"{number}", spec) for number, spec in enumerate((*SESSIONS, *MORE_SESSIONS))]
    made += _logs(folder)
    session = folder / "session"
    write_session(SESSIONS[0], session)
    return [*made, *sorted(session.rglob("telemetry.csv"))[:1], *_chrome(folder)]


def xplane_file(folder: Path, spec: Spec) -> Path:
    """Write the trace of a session."""
    written = xplane.write(simulate(spec), folder, 10**18)
    return next(written.rglob("*.xplane.pb")) if written.is_dir() else written


def kineto(chance: random.Random) -> list[dict[str, Any]]:
    """Return the events of four steps as PyTorch's profiler writes them: launches, kernels and copies."""
    events: list[dict[str, Any]] = []
    for step in range(4):
        at = 1000.0 * step
        events.append({"ph": "X", "name": f"ProfilerStep#{step}", "pid": 1, "tid": 1, "ts": at, "dur": 1000.0})
        for number in range(5):
            id_ = {"correlation": 10 * step + number}
            launch, run = at + 20 * number, at + 100 + 100 * number
            events.append({"ph": "X", "cat": "cuda_runtime", "name": "cudaLaunchKernel", "pid": 1, "tid": 1} | {
                "ts": launch, "dur": 5.0, "args": id_})  # fmt: skip
            work = id_ | {"device": 0, "stream": 7, "grid": [8, 1, 1], "block": [64, 1, 1], "bytes": 100}
            kind = chance.choice((("kernel", "gemm"), ("gpu_memcpy", "Memcpy HtoD (Pageable -> Device)")))
            events.append({"ph": "X", "cat": kind[0], "name": kind[1], "pid": 0, "tid": 7} | {
                "ts": run, "dur": 80.0, "args": work})  # fmt: skip
    return events


def _chrome(folder: Path) -> list[Path]:
    card = {"id": 0, "name": "Card", "numSms": 80, "computeMajor": 7, "computeMinor": 0, "totalGlobalMem": 2**34}
    document = {"deviceProperties": [card], "baseTimeNanoseconds": 10**18, "traceEvents": kineto(random.Random(0))}
    plain, packed = folder / "torch.pt.trace.json", folder / "torch.trace.json.gz"
    plain.write_text(json.dumps(document))
    packed.write_bytes(gzip.compress(json.dumps(document).encode()))
    return [plain, packed]


def _logs(folder: Path) -> list[Path]:
    """Write a log of every program: readings twice a minute of two GPUs that are busy in turns."""
    query = ["timestamp, index, name, utilization.gpu [%], power.draw [W], memory.used [MiB], pstate"]
    dmon, dcgm = [DMON.rstrip("\n")], [DCGM.rstrip("\n")]
    for second in range(60):
        stamp = f"2025/05/25 00:{second // 60:02d}:{second % 60:02d}.084"
        for gpu in range(2):
            busy = 90 if (second // 10 + gpu) % 2 else 7
            query.append(f"{stamp}, {gpu}, NVIDIA A40, {busy} %, {50 + busy}.25 W, {1000 + busy} MiB, P{gpu}")
            dmon.append(f"{gpu} {50 + busy} 40 {busy} 5 {1000 + busy}")
            dcgm.append(f"GPU {gpu}  {busy}  {50 + busy}.5  0.{busy:02d}")
    made = [folder / "query.csv", folder / "dmon.txt", folder / "dcgm.log"]
    for path, lines in zip(made, (query, dmon, dcgm), strict=True):
        path.write_text("\n".join(lines) + "\n")
    return made
