"""What a training on several GPUs or by several workers needs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpuprobe import wording
from gpuprobe.doctor.check import NO_GPU, CheckResult, check, failed, passed, skipped, warned
from gpuprobe.known_bugs import FIT_UNDER_MULTI_WORKER
from gpuprobe.tf_config import VARIABLE

if TYPE_CHECKING:
    from gpuprobe.doctor.facts import Facts

ORDER = 65
SEVERAL = 2
# The least cores for each GPU: one for the thread that launches its kernels; the input needs more.
CORES_A_GPU = 1


@check("several GPUs")
def several_gpus(facts: Facts) -> CheckResult:
    """Replicas wait for the slowest of them, and all are fed by one host."""
    gpus = facts.driver.gpus
    if not gpus:
        return skipped(NO_GPU)
    if len(gpus) < SEVERAL:
        return passed("one GPU, which waits for no other")
    names = tuple(dict.fromkeys(gpu.name for gpu in gpus))
    measure = f"gpuprobe run --devices 1,{len(gpus)}"
    if len(names) > 1:
        return warned(
            f"the {len(gpus)} GPUs are not alike: in each step all wait for the slowest",
            "choose those that are alike with CUDA_VISIBLE_DEVICES",
            *names,
        )
    quota = facts.system.cpu_quota
    cores = facts.system.affinity if quota is None else min(facts.system.affinity, quota)
    if cores < CORES_A_GPU * len(gpus):
        return warned(
            f"{wording.cores(cores)} launch the kernels of {len(gpus)} GPUs and prepare their input",
            "give the process more cores, one a GPU at least",
        )
    return passed(
        f"{len(gpus)} of {names[0]}; under tf.distribute Keras switches XLA off: {measure} tells how they scale"
    )


@check("several workers")
def several_workers(facts: Facts) -> CheckResult:
    """A worker that is missing or has no port makes the others wait for minutes without a word."""
    cluster = facts.cluster
    if not cluster.given:
        return passed(f"{VARIABLE} is not set: this process trains alone")
    if cluster.wrong:
        return failed(
            f"{VARIABLE} {cluster.wrong}",
            f'export {VARIABLE}=\'{{"cluster": {{"worker": ["host0:port", "host1:port"]}}, '
            '"task": {"type": "worker", "index": 0}}\', with an index of its own in each worker',
        )
    if cluster.port_taken:
        return failed(
            f"the port of this worker, {cluster.address}, is taken here",
            f"end what listens there, or give it another port in the {VARIABLE} of every worker",
        )
    workers = sum(len(cluster.tasks.get(kind, ())) for kind in ("chief", "worker"))
    where = f"{cluster.kind} {cluster.index} at {cluster.address}, {wording.count(workers, 'worker')}"
    if workers < SEVERAL or cluster.tasks.get("ps"):
        return passed(where)
    return warned(
        f"{where}: {FIT_UNDER_MULTI_WORKER.says}",
        FIT_UNDER_MULTI_WORKER.instead,
    )
