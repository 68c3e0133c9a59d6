"""Jobs of two and three workers whose culprit and kind are known, drawn by seed."""

from __future__ import annotations

import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from msgspec.structs import replace

from gpuprobe.diagnosis.diagnose import diagnose
from gpuprobe.diagnosis.recorded import recorded
from gpuprobe.evidence.breakdown import main_device
from gpuprobe.simulate.job import Job, write_job
from gpuprobe.simulate.spec import Collective, Host, Input, Kernels, Recording, Spec

Trouble = Literal["input", "compute", "host", "link", "none"]
# What the job's diagnosis has to lead with. A GPU that computes longer than the others shows as that alone.
LEADS: dict[Trouble, frozenset[str]] = {
    "input": frozenset({"input_bound"}),
    "compute": frozenset({"straggler"}),
    "host": frozenset({"launch_bound", "host_work"}),
    "link": frozenset({"collective_bound"}),
    "none": frozenset({"compute_bound"}),
}
TROUBLES: tuple[Trouble, ...] = get_args(Trouble)


@dataclass(frozen=True)
class Known:
    """A job, what is wrong with it, and whose fault it is; nobody's where the link is slow or nothing is wrong."""

    job: Job
    trouble: Trouble
    culprit: str | None


def drawn(seed: int) -> Known:
    """Draw a job: every trouble as often as the others, in jobs of all sizes, clocks and networks."""
    random = np.random.default_rng([16, seed])
    trouble = TROUBLES[seed % len(TROUBLES)]
    count = int(random.integers(2, 4))
    step_ms, kernels = float(random.uniform(8, 40)), int(random.integers(25, 60))
    plain = Spec(
        steps=6,
        noise=float(random.uniform(0.01, 0.05)),
        kernels=Kernels(count=kernels, mean_us=1000 * step_ms / kernels),
        collective=Collective(
            update_share=0.05, buckets=int(random.integers(1, 4)), overlap=bool(random.random() < 0.5)
        ),
        host=Host(sync_every=int(random.integers(0, 2)), queue_depth=128),
        recording=Recording(telemetry=False),
    )
    workers = [replace(plain, seed=100 * seed + number) for number in range(count)]
    place = int(random.integers(count))
    lost_ms = step_ms * float(random.uniform(0.3, 0.8))
    workers[place] = _troubled(workers[place], trouble, step_ms + lost_ms, lost_ms)
    gradients_mib = float(random.uniform(5, 200))
    # What a ring takes is a few percent of the step, or more than half of it.
    exchange_ms = step_ms * (
        float(random.uniform(0.7, 1.5)) if trouble == "link" else float(random.uniform(0.01, 0.04))
    )
    hops = 2 * (count - 1) / count
    job = Job(
        workers=tuple(workers),
        gradients_mib=gradients_mib,
        link_gb_per_s=hops * gradients_mib * 2**20 / 1e6 / exchange_ms,
        latency_us=float(random.uniform(1, 20)),
        offsets_ms=tuple(random.uniform(-20, 20, count).tolist()),
        drifts_ppm=tuple(random.uniform(-30, 30, count).tolist()),
    )
    return Known(job, trouble, f"worker{place}" if trouble in {"input", "compute", "host"} else None)


def _troubled(spec: Spec, trouble: Trouble, whole_ms: float, lost_ms: float) -> Spec:
    """Make a worker's step last `whole_ms`, of which so much is lost; a healthy one stays as it is."""
    kernels = spec.kernels
    if trouble == "input":
        return replace(spec, input=Input(map_ms=whole_ms, parallel_calls=1))
    if trouble == "compute":
        return replace(spec, kernels=replace(kernels, mean_us=1000 * whole_ms / kernels.count))
    if trouble == "host":
        if spec.seed % 2:
            return replace(spec, host=replace(spec.host, host_work_ms=whole_ms, host_work_pieces=1))
        each_us = 1000 * whole_ms / kernels.count
        return replace(spec, host=replace(spec.host, dispatch_us=0.8 * each_us, launch_us=0.2 * each_us))
    return spec


def told(known: Known, folder: Path) -> str:
    """Diagnose a job; say what of culprit and kind is wrong, empty where both are right."""
    write_job(known.job, folder)
    found = diagnose(recorded(folder, what_if=False))
    primary, judged = found.primary, main_device(found)
    named = judged.host if judged and any(one.cause == "straggler" for one in found.findings) else None
    wrong = []
    if named != known.culprit:
        wrong.append(f"named {named}, not {known.culprit}")
    if primary is None or primary.cause not in LEADS[known.trouble]:
        wrong.append(f"{known.trouble} is called {primary.cause if primary else None}")
    return "; ".join(wrong)


def main(first: int, count: int) -> None:
    """Grade so many jobs from a seed on, and print what is wrong."""
    wrong = 0
    for seed in range(first, first + count):
        with tempfile.TemporaryDirectory() as folder:
            known = drawn(seed)
            said = told(known, Path(folder))
        wrong += bool(said)
        if said:
            sys.stdout.write(f"{seed}: {len(known.job.workers)} workers: {said}\n")
    sys.stdout.write(f"{count - wrong} of {count} jobs right\n")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
