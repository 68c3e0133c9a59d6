"""Workers of several hosts: each finds its place by TF_CONFIG, and all carry out the same runs in one order."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from gpuprobe.errors import UsageError
from gpuprobe.measure.hosts import JobHost, host_of, in_order_of_hosts
from gpuprobe.records import Request, Study
from gpuprobe.strategies.scaling import scaled
from gpuprobe.traces.find import find
from tests.helpers.studies import SimulatedStrategy, simulate_study

if TYPE_CHECKING:
    from pathlib import Path

REQUEST = Request(rounds=1, budget_s=60.0, batch_size=8, seed=0, workers=(2,), worker_index=1)


def config(*workers: str) -> dict[str, str]:
    return {"TF_CONFIG": json.dumps({"cluster": {"worker": workers}})}


def test_a_host_finds_its_place() -> None:
    host = host_of(REQUEST, config("a:2222", "b:2223"))
    assert host == JobHost(("a:2222", "b:2223"), 1)
    assert not host.leads
    assert host_of(msgspec.structs.replace(REQUEST, worker_index=None), {}) is None


def test_each_run_has_ports_of_its_own() -> None:
    job = JobHost(("a:2222", "b:3333"), 1).job(2)
    assert (job.workers, job.index, job.gpu) == (("a:2224", "b:3335"), 1, 0)


@pytest.mark.parametrize(
    ("environ", "request_", "why"),
    [
        ({}, {}, "TF_CONFIG does not name the workers"),
        ({"TF_CONFIG": "{"}, {}, "TF_CONFIG: cannot be read"),
        (config("a:1"), {}, "TF_CONFIG names 1 workers"),
        (config("a:1", "b:x"), {}, "'b:x' is not an address"),
        (config("a:1", "b:2"), {"worker_index": 2}, "the workers are 0 to 1"),
        (config("a:1", "b:2"), {"workers": (1, 2)}, "give one number to --workers"),
        (config("a:1", "b:2"), {"data_service": 1}, "no --data-service"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(environ: dict[str, str], request_: dict[str, Any], why: str) -> None:
    with pytest.raises(UsageError, match=why) as raised:
        host_of(msgspec.structs.replace(REQUEST, **request_), environ)
    assert "\n" not in str(raised.value)


def test_the_runs_of_several_workers_come_first_on_all_hosts(tmp_path: Path) -> None:
    study: Study = simulate_study(tmp_path, [SimulatedStrategy(name="numpy", step_ms=50.0)])
    infos = tuple(strategy.info for strategy in scaled((2,), weak=False, over="workers"))
    study = msgspec.structs.replace(study, strategies=infos, request=REQUEST)
    names = [planned.strategy for planned in in_order_of_hosts(study, {"worker_packs_2"})]
    changes = ["worker_larger_global_batch_2", "worker_fp16_gradients_2"]
    assert names[:4] == ["multi_worker_2", "workers_apart_2", *changes]
    assert sorted(set(names[4:])) == ["own_loop", "own_loop_xla", "worker_share_2"]


def test_the_newest_traces_of_copied_studies_are_read_as_one(tmp_path: Path) -> None:
    for worker, newest in (("worker-0", "2026_01_31_23_59_58"), ("worker-1", "2026_01_31_23_59_59")):
        for run, taken in (("1-multi_worker_2", "2026_01_31_23_50_00"), ("2-multi_worker_2", newest)):
            session = tmp_path / worker / "study" / "runs" / run / "trace" / "plugins" / "profile" / taken
            session.mkdir(parents=True)
            (session / f"{worker}.xplane.pb").write_bytes(b"")
    files, _ = find(tmp_path)
    assert [file.parent.name for file in files] == ["2026_01_31_23_59_58", "2026_01_31_23_59_59"]
