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
# The fewest cores for each GPU: one for the thread that launches its kernels; the input needs more.
CORES_A_GPU = 1


@check("several GPUs")
def several_gpus(facts: Facts) -> CheckResult:
    """Check that several GPUs are alike and have cores: replicas wait for the slowest, and one host feeds all."""
    gpus = facts.driver.gpus
    if not gpus:
        return skipped(NO_GPU)
    if len(gpus) < SEVERAL:
        return passed("one GPU, which does not wait for another")
    gpu_models = tuple(dict.fromkeys(gpu.name for gpu in gpus))
    scaling_command = f"gpuprobe run --devices 1,{len(gpus)}"
    if len(gpu_models) > 1:
        return warned(
            f"the {len(gpus)} GPUs are not alike: in each step all wait for the slowest",
            "choose those that are alike with CUDA_VISIBLE_DEVICES",
            *gpu_models,
        )
    cpu_quota = facts.system.cpu_quota
    cores = facts.system.affinity if cpu_quota is None else min(facts.system.affinity, cpu_quota)
    if cores < CORES_A_GPU * len(gpus):
        return warned(
            f"{wording.cores(cores)} launch the kernels of {len(gpus)} GPUs and prepare their input",
            "give the process more cores, one a GPU at least",
        )
    tells = f"{scaling_command} tells how they scale"
    return passed(f"{len(gpus)} of {gpu_models[0]}; under tf.distribute Keras switches XLA off: {tells}")


@check("several workers")
def several_workers(facts: Facts) -> CheckResult:
    """Check TF_CONFIG: a worker that is missing or has no free port makes the others wait for minutes silently."""
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
    task_words = f"{cluster.kind} {cluster.index} at {cluster.address}, {wording.count(workers, 'worker')}"
    if workers < SEVERAL or cluster.tasks.get("ps"):
        return passed(task_words)
    return warned(
        f"{task_words}: {FIT_UNDER_MULTI_WORKER.says}",
        FIT_UNDER_MULTI_WORKER.instead,
    )
