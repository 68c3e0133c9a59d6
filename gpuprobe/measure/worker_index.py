"""Where this process stands among the workers of a job, by what started it: an operator, Slurm, Kubernetes, or a hand.

- `TF_CONFIG` names this process's task: operators of Kubernetes write it, such as Kubeflow's.
- Slurm: `srun` numbers the tasks of a step (`SLURM_PROCID`); with one task on each node its list of nodes gives the
  addresses too. The batch script itself is numbered as well, but is no task of a step.
- An indexed job of Kubernetes numbers its pods (`JOB_COMPLETION_INDEX`).
- This machine's name is that of one address in `TF_CONFIG`, such as a pod's of a StatefulSet.

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

RANK, TASKS, NODE, NODES = "SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "SLURM_NODEID", "SLURM_STEP_NODELIST"
POD = "JOB_COMPLETION_INDEX"
# The port of the workers where only their hosts are known, as in TensorFlow's guides.
PORT = 2222


@dataclass(frozen=True)
class WorkerIndex:
    """The index of this process's worker, and what says so."""

    index: int
    source: str


def find_index(workers: int, environ: Mapping[str, str], machine: str) -> WorkerIndex | None:
    """Return this process's place in a job of so many workers, None where nothing says that it is one of them.

    `machine` is this machine's name. Raises UsageError where two sources disagree, and where `TF_CONFIG` cannot be read
    or says that this process does not train.
    """
    named = addresses(environ)
    if workers < 2 or len(named) != workers:
        return None
    found = [
        WorkerIndex(index, source)
        for source, index in (
            (tf_config.VARIABLE, _by_task(environ)),
            (RANK, _by_slurm(workers, environ)),
            (POD, _number(environ, POD)),
            (f"this machine's name in {tf_config.VARIABLE}", _by_name(named, machine)),
        )
        if index is not None
    ]
    if len({place.index for place in found}) > 1:
        indices = " and ".join(f"{place.index} ({place.source})" for place in found)
        raise UsageError(f"--worker-index: it may be {indices}; name it")
    return found[0] if found else None


def addresses(environ: Mapping[str, str]) -> tuple[str, ...]:
    """Return the addresses of all workers by `TF_CONFIG`, else by Slurm; empty where neither names them.

    Raises UsageError where `TF_CONFIG` cannot be read.
    """
    text = environ.get(tf_config.VARIABLE, "")
    if not text:
        return tuple(f"{host}:{PORT}" for host in _nodes(environ))
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
    return _number(environ, RANK) if _number(environ, TASKS) == workers else None


def _by_name(named: tuple[str, ...], machine: str) -> int | None:
    hosts = [address.rpartition(":")[0] for address in named]
    own = [place for place, host in enumerate(hosts) if host in {machine, machine.partition(".")[0]}]
    own = own or [place for place, host in enumerate(hosts) if host.partition(".")[0] == machine.partition(".")[0]]
    return own[0] if len(own) == 1 else None


def _nodes(environ: Mapping[str, str]) -> tuple[str, ...]:
    """Return the hosts of a Slurm step with one task on each node in their order, empty for any other."""
    hosts = expanded(environ.get(NODES, ""))
    tasks, rank = _number(environ, TASKS), _number(environ, RANK)
    return hosts if len(hosts) == tasks and rank is not None and rank == _number(environ, NODE) else ()


def expanded(nodes: str) -> tuple[str, ...]:
    """Return the hosts of Slurm's list: `gpu[01-03,7],login` are gpu01, gpu02, gpu03, gpu7 and login."""
    hosts: list[str] = []
    for group in re.findall(r"(?:[^,\[\]]|\[[^\]]*\])+", nodes):
        made = [""]
        for plain, numbers in re.findall(r"([^\[\]]+)|\[([^\]]*)\]", group):
            made = [begun + more for begun in made for more in ([plain] if plain else _numbers(numbers))]
        hosts.extend(made)
    return tuple(hosts)


def _numbers(ranges: str) -> list[str]:
    found: list[str] = []
    for first, _, last in (part.partition("-") for part in ranges.split(",")):
        if not first.isdecimal() or not (last or first).isdecimal():
            return []
        found += [f"{number:0{len(first)}}" for number in range(int(first), int(last or first) + 1)]
    return found


def _number(environ: Mapping[str, str], name: str) -> int | None:
    text = environ.get(name, "")
    return int(text) if text.isdecimal() else None
