"""What a start of several GPUs or workers needs, on machines that are none."""

from __future__ import annotations

import json
import socket

import msgspec
import pytest

from gpuprobe.doctor.cluster import cluster_facts
from tests.helpers.machines import GPU, HEALTHY, made, no_gpu, result


def config(workers: list[str], index: int = 0, **others: list[str]) -> dict[str, str]:
    task = {"type": "worker", "index": index}
    return {"TF_CONFIG": json.dumps({"cluster": {"worker": workers, **others}, "task": task})}


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("", 0))
        return int(one.getsockname()[1])


def checked(environment: dict[str, str]) -> tuple[str, str]:
    found = result(msgspec.structs.replace(HEALTHY, cluster=cluster_facts(environment)), "several_workers")
    return found.status, found.says


@pytest.mark.parametrize(
    ("environment", "status", "says"),
    [
        ({}, "pass", "not set"),
        ({"TF_CONFIG": "{"}, "fail", "cannot be read"),
        ({"TF_CONFIG": "[]"}, "fail", "cannot be read"),
        ({"TF_CONFIG": '{"cluster": {"worker": ["a:1"]}}'}, "fail", "cannot be read (KeyError"),
        (config(["a:1", "a:1"]), "fail", "gives a:1 to two tasks"),
        (config(["a:1", "b:1"], index=2), "fail", "has no worker 2"),
    ],
)
def test_a_cluster_that_cannot_start(environment: dict[str, str], status: str, says: str) -> None:
    found = checked(environment)
    assert found[0] == status
    assert says in found[1]


def test_fit_of_several_workers_is_warned_of() -> None:
    own = f"localhost:{free_port()}"
    assert checked(config([own]))[0] == "pass"
    assert checked(config([own, "other:1"], ps=["ps:1"]))[0] == "pass"
    status, says = checked(config(["other:1", own], index=1))
    assert status == "warn"
    assert f"worker 1 at {own}, 2 workers" in says
    assert "keras#20585" in says


def test_a_port_that_is_taken() -> None:
    with socket.socket() as other:
        other.bind(("", 0))
        other.listen()
        status, says = checked(config([f"localhost:{other.getsockname()[1]}", "other:1"]))
    assert (status, "is taken here" in says) == ("fail", True)


def test_several_gpus() -> None:
    two = (GPU, msgspec.structs.replace(GPU, index=1))
    unlike = (GPU, msgspec.structs.replace(GPU, index=1, name="another card"))
    enough = {"affinity": 8, "cpu_quota": None}
    assert result(no_gpu(), "several_gpus").status == "skip"
    assert result(made(driver={"gpus": two}, system=enough), "several_gpus").status == "pass"
    found = result(made(driver={"gpus": unlike}, system=enough), "several_gpus")
    assert (found.status, "slowest" in found.says) == ("warn", True)
    for few in ({"affinity": 1, "cpu_quota": None}, {"affinity": 8, "cpu_quota": 1.5}):
        assert "cores" in result(made(driver={"gpus": two}, system=few), "several_gpus").says
    assert result(made(driver={"gpus": two}, system={"affinity": 8, "cpu_quota": 2.0}), "several_gpus").status == "pass"
