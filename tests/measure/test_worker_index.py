"""A worker finds its index by what started it: an operator, Slurm, Kubernetes, or its machine's name; or by nothing."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from gpuprobe.errors import UsageError
from gpuprobe.measure.hosts import host_of, with_index
from gpuprobe.measure.worker_index import expanded
from gpuprobe.records import Request

REQUEST = Request(rounds=1, budget_s=60.0, batch_size=8, seed=0, workers=(2,))
CLUSTER = {"worker": ["job-0.job:2222", "job-1.job:2222"]}
STEP = {"SLURM_STEP_NUM_TASKS": "2", "SLURM_PROCID": "1", "SLURM_NODEID": "1", "SLURM_STEP_NODELIST": "gpu[07-08]"}


def config(**more: Any) -> dict[str, str]:
    return {"TF_CONFIG": json.dumps({"cluster": CLUSTER, **more})}


@pytest.mark.parametrize(
    ("environ", "machine", "source"),
    [
        (config(task={"type": "worker", "index": 1}), "box", "TF_CONFIG"),
        (
            config(cluster={"chief": ["a:1"], "worker": ["b:1"]}, task={"type": "worker", "index": "0"}),
            "b",
            "TF_CONFIG",
        ),
        ({**config(), "SLURM_STEP_NUM_TASKS": "2", "SLURM_PROCID": "1"}, "box", "SLURM_PROCID"),
        (STEP, "gpu08", "SLURM_PROCID"),
        ({**config(), "JOB_COMPLETION_INDEX": "1"}, "box", "JOB_COMPLETION_INDEX"),
        (config(), "job-1", "this machine's name in TF_CONFIG"),
    ],
)
def test_what_started_it_tells_its_place(environ: dict[str, str], machine: str, source: str) -> None:
    request, said = with_index(REQUEST, environ, machine)
    assert request.worker_index == 1
    assert said == f"worker 1 of 2, by {source}; --worker-index names another"
    assert host_of(request, environ, ["multi_worker_2"]) is not None


@pytest.mark.parametrize(
    "environ",
    [
        {},
        # In the batch script, which is no task of a step, and in a pod that is a job of its own.
        {"SLURM_PROCID": "0", "SLURM_NTASKS": "2", "SLURM_JOB_NODELIST": "gpu[07-08]"},
        {"JOB_COMPLETION_INDEX": "0"},
        # Another number of tasks, or several on one node, whose ports nothing names.
        {**config(), **STEP, "SLURM_STEP_NUM_TASKS": "4"},
        {**STEP, "SLURM_STEP_NODELIST": "gpu07"},
        {**STEP, "SLURM_NODEID": "0"},
        {"TF_CONFIG": json.dumps({"cluster": {"worker": ["box:1", "box:2"]}})},
    ],
)
def test_what_is_not_told_for_sure_is_not_taken(environ: dict[str, str]) -> None:
    assert with_index(REQUEST, environ, "box") == (REQUEST, "")


@pytest.mark.parametrize(
    "more", [{"worker_index": 0}, {"workers": (1, 2)}, {"workers": ()}, {"data_service": 1}], ids=str
)
def test_what_is_named_or_started_here_stays(more: dict[str, Any]) -> None:
    request = msgspec.structs.replace(REQUEST, **more)
    assert with_index(request, config(task={"type": "worker", "index": 1}), "box") == (request, "")


@pytest.mark.parametrize(
    ("environ", "why"),
    [
        ({**config(task={"type": "worker", "index": 0}), "JOB_COMPLETION_INDEX": "1"}, "may be 0 .* and 1 .*; name it"),
        (config(task={"type": "ps", "index": 0}), "this process is ps; only the chief and the workers train"),
        ({"TF_CONFIG": "{"}, "TF_CONFIG: cannot be read"),
    ],
)
def test_what_cannot_be_is_said_in_one_line(environ: dict[str, str], why: str) -> None:
    with pytest.raises(UsageError, match=why) as raised:
        with_index(REQUEST, environ, "box")
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("nodes", "hosts"),
    [
        ("", ()),
        ("login", ("login",)),
        ("gpu[08-10,2],login-1", ("gpu08", "gpu09", "gpu10", "gpu2", "login-1")),
        ("r[1-2]n[0-1].x", ("r1n0.x", "r1n1.x", "r2n0.x", "r2n1.x")),
        ("gpu[a-b]", ()),
    ],
)
def test_a_list_of_nodes_is_taken_apart_as_slurm_writes_it(nodes: str, hosts: tuple[str, ...]) -> None:
    assert expanded(nodes) == hosts
