"""Finds the index of this process's worker in a job, by what started it.

- `TF_CONFIG` may name this process's task: operators of Kubernetes write it, such as Kubeflow's.
- Slurm: `srun` numbers the tasks of a step (`SLURM_PROCID`); with one task on each node its list of nodes gives the
  addresses too. The batch script itself is numbered as well, but is no task of a step.
- An indexed job of Kubernetes numbers its pods (`JOB_COMPLETION_INDEX`).
- One address in `TF_CONFIG` may be this machine's name, as in a StatefulSet of Kubernetes, whose pods keep their names.

Sources: Slurm's srun(1), "OUTPUT ENVIRONMENT VARIABLES"; Kubernetes, "Indexed Job".
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gpuprobe import tf_config
from gpuprobe.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

SLURM_RANK, SLURM_TASKS = "SLURM_PROCID", "SLURM_STEP_NUM_TASKS"
SLURM_NODE, SLURM_NODES = "SLURM_NODEID", "SLURM_STEP_NODELIST"
POD_INDEX = "JOB_COMPLETION_INDEX"
# The port of the workers where only their hosts are known, as in TensorFlow's guides.
DEFAULT_PORT = 2222


@dataclass(frozen=True)
class WorkerIndex:
    """The index of this process's worker, and the source that gives it, such as a variable."""

    index: int
    source: str


def find_index(workers: int, environ: Mapping[str, str], machine: str) -> WorkerIndex | None:
    """Return the index of this process in a job of so many workers, None where no source gives one.

    `machine` is this machine's name. Raises UsageError where two sources disagree, and where `TF_CONFIG` cannot be read
    or says that this process does not train.
    """
    worker_addresses = addresses(environ)
    if workers < 2 or len(worker_addresses) != workers:
        return None
    found_indices = [
        WorkerIndex(index, source)
        for source, index in (
            (tf_config.VARIABLE, _by_task(environ)),
            (SLURM_RANK, _by_slurm(workers, environ)),
            (POD_INDEX, _number(environ, POD_INDEX)),
            (f"this machine's name in {tf_config.VARIABLE}", _by_name(worker_addresses, machine)),
        )
        if index is not None
    ]
    if len({worker_index.index for worker_index in found_indices}) > 1:
        indices = " and ".join(f"{worker_index.index} ({worker_index.source})" for worker_index in found_indices)
        raise UsageError(f"--worker-index: it may be {indices}; name it")
    return found_indices[0] if found_indices else None


def addresses(environ: Mapping[str, str]) -> tuple[str, ...]:
    """Return the addresses of all workers by `TF_CONFIG`, else by Slurm; empty where neither names them.

    Raises UsageError where `TF_CONFIG` cannot be read.
    """
    text = environ.get(tf_config.VARIABLE, "")
    if not text:
        return tuple(f"{host}:{DEFAULT_PORT}" for host in _nodes(environ))
    try:
        return tf_config.training(tf_config.cluster(text))
    except ValueError as error:
        raise UsageError(f"{tf_config.VARIABLE}: {error}") from error


def _by_task(environ: Mapping[str, str]) -> int | None:
    try:
        tasks = tf_config.parse(environ.get(tf_config.VARIABLE, ""))
    except ValueError:
        # It names the workers alone.
        return None
    if tasks.rank is None:
        raise UsageError(f"{tf_config.VARIABLE}: this process is {tasks.name}; only the chief and the workers train")
    return tasks.rank


def _by_slurm(workers: int, environ: Mapping[str, str]) -> int | None:
    return _number(environ, SLURM_RANK) if _number(environ, SLURM_TASKS) == workers else None


def _by_name(worker_addresses: tuple[str, ...], machine: str) -> int | None:
    hosts = [address.rpartition(":")[0] for address in worker_addresses]
    short_name = machine.partition(".")[0]
    matching = [index for index, host in enumerate(hosts) if host in {machine, short_name}]
    matching = matching or [index for index, host in enumerate(hosts) if host.partition(".")[0] == short_name]
    return matching[0] if len(matching) == 1 else None


def _nodes(environ: Mapping[str, str]) -> tuple[str, ...]:
    """Return the hosts of a Slurm step with one task on each node in their order, empty for any other."""
    hosts = expanded(environ.get(SLURM_NODES, ""))
    tasks, rank = _number(environ, SLURM_TASKS), _number(environ, SLURM_RANK)
    return hosts if len(hosts) == tasks and rank is not None and rank == _number(environ, SLURM_NODE) else ()


def expanded(nodes: str) -> tuple[str, ...]:
    """Return the hosts of Slurm's list: `gpu[01-03,7],login` are gpu01, gpu02, gpu03, gpu7 and login."""
    hosts: list[str] = []
    for group in re.findall(r"(?:[^,\[\]]|\[[^\]]*\])+", nodes):
        host_names = [""]
        for plain_text, numbers in re.findall(r"([^\[\]]+)|\[([^\]]*)\]", group):
            suffixes = [plain_text] if plain_text else _numbers(numbers)
            host_names = [prefix + suffix for prefix in host_names for suffix in suffixes]
        hosts.extend(host_names)
    return tuple(hosts)


def _numbers(ranges: str) -> list[str]:
    numbers: list[str] = []
    for first, _, last in (part.partition("-") for part in ranges.split(",")):
        if not first.isdecimal() or not (last or first).isdecimal():
            return []
        numbers += [f"{number:0{len(first)}}" for number in range(int(first), int(last or first) + 1)]
    return numbers


def _number(environ: Mapping[str, str], name: str) -> int | None:
    text = environ.get(name, "")
    return int(text) if text.isdecimal() else None
