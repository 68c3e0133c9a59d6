"""The strategies of several devices: each changes one thing, and what cannot work is refused with the reason."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np
import pytest

from gpuprobe.errors import UsageError
from gpuprobe.records import Scale
from gpuprobe.strategies import registry
from gpuprobe.strategies.feasible import cannot
from gpuprobe.strategies.plan import Machine, Plan
from gpuprobe.strategies.scaling import cannot_spread, chosen_of, scaled
from gpuprobe.workloads.source import ArraySource
from gpuprobe.workloads.workload import Workload

MACHINE = Machine(compute_capability=None, cpu_has_bfloat16=True, largest_batch=lambda: 100_000)
BOTH = [*scaled((2, 4), weak=False), *scaled((2, 4), weak=True)]
BOTH += [*scaled((2, 3), weak=False, over="workers"), *scaled((2, 3), weak=True, over="workers")]


@pytest.mark.parametrize("name", sorted({strategy.name for strategy in BOTH if strategy.name != "tfdata_prefetch"}))
def test_each_changes_one_thing(name: str) -> None:
    strategy = registry.changes()[name]
    assert strategy.against is not None
    own, base = (asdict(registry.plan(which, 32, MACHINE)) for which in (name, strategy.against))
    changed = {field for field in own if own[field] != base[field]}
    weak = {"workers" if "worker" in name else "replicas", "batch_size", "rate_times"}
    assert changed == (weak if name.startswith(("mirrored_weak", "multi_worker_weak")) else changed)
    assert len(changed) == 1 or changed == weak


def test_a_study_of_the_catalogue_has_none_of_them() -> None:
    assert not [strategy.name for strategy in registry.strategies().values() if strategy.scale is not None]


@pytest.mark.parametrize(
    ("name", "batch", "gpus", "why"),
    [
        ("mirrored_4", 32, 0, None),
        ("mirrored_4", 32, 4, None),
        ("mirrored_4", 32, 2, "this machine has 2 GPUs"),
        ("share_4", 32, 1, None),
        ("mirrored_4", 30, 0, "a batch of 30 cannot be divided by 4"),
        ("share_4", 30, 0, "a batch of 30 cannot be divided by 4"),
        ("mirrored_weak_4", 30, 0, None),
        ("mirrored_xla_4", 32, 0, "XLA cannot compile a step of several replicas"),
        ("multi_worker_3", 32, 0, "a batch of 32 cannot be divided by 3"),
        ("multi_worker_2", 32, 1, "this machine has 1 GPU"),
        ("multi_worker_2", 32, 0, None),
        ("worker_packs_2", 32, 2, None),
        ("larger_global_batch_4", 32, 0, None),
        ("fp16_gradients_2", 32, 1, "this machine has 1 GPU"),
    ],
)
def test_what_cannot_work_is_refused_with_the_reason(name: str, batch: int, gpus: int, why: str | None) -> None:
    strategy = registry.changes()[name]
    assert strategy.scale is not None
    found = cannot_spread(strategy.scale, registry.plan(name, batch, MACHINE), batch, gpus)
    assert found is None if why is None else (found or "").startswith(why)


@pytest.mark.parametrize("name", ["larger_global_batch_4", "worker_larger_global_batch_4"])
@pytest.mark.parametrize(("holds", "batch"), [(16, 64), (15, 32)])
def test_the_global_batch_grows_where_each_device_holds_its_part(name: str, holds: int, batch: int) -> None:
    machine = Machine(compute_capability=8.0, cpu_has_bfloat16=True, largest_batch=lambda: holds)
    plan = registry.plan(name, 32, machine)
    assert plan.batch_size == batch
    assert any("memory" in note for note in plan.notes) is (batch == 32)
    assert registry.changes()[name].part == "batch"


def test_a_batch_that_no_epoch_fills_is_refused() -> None:
    some = ArraySource(parts=(np.ones((60, 4), "float32"), np.ones((60, 1), "float32")))
    own = Workload(model=lambda: None, data=(some.parts[0], some.parts[1]), batch_size=32)
    larger = registry.plan("larger_global_batch_2", 32, MACHINE)
    assert cannot(larger, own, some) == "its data has 60 samples, fewer than a batch of 64"
    assert cannot(registry.plan("mirrored_2", 32, MACHINE), own, some) is None


def test_a_feed_that_nobody_divides_gives_each_replica_the_whole_batch() -> None:
    plan = Plan(feed="slices", batch_size=32, replicas=2)
    assert cannot_spread(Scale(devices=2, role="spread"), plan, 32, 0) == (
        "every replica would train on the whole batch"
    )


@pytest.mark.parametrize("devices", [(), (1,), (2, 17), (0, 2)])
def test_numbers_of_devices_that_no_host_has(devices: tuple[int, ...]) -> None:
    with pytest.raises(UsageError, match="--devices"):
        scaled(devices, weak=False)


def test_workers_have_strategies_of_their_own() -> None:
    names = [strategy.name for strategy in scaled((1, 3), weak=False, over="workers")]
    assert names[:2] == ["own_loop", "own_loop_xla"]
    changes = ["worker_packs_3", "worker_larger_global_batch_3", "worker_fp16_gradients_3"]
    assert names[2:] == ["worker_share_3", "multi_worker_3", "workers_apart_3", *changes]
    weak = [strategy.name for strategy in scaled((3,), weak=True, over="workers")]
    assert weak == ["own_loop", "own_loop_xla", "multi_worker_weak_3", "workers_apart_weak_3"]
    with pytest.raises(UsageError, match="--workers"):
        scaled((1,), weak=False, over="workers")


def test_devices_and_workers_are_asked_for_one_at_a_time() -> None:
    with pytest.raises(UsageError, match="exclude each other"):
        chosen_of((2,), None, None, weak=False, workers=(2,))
    with pytest.raises(UsageError, match="--workers has strategies of its own"):
        chosen_of((), None, "xla", weak=False, workers=(2,))
    with pytest.raises(UsageError, match="leave --backend out"):
        chosen_of((), "jax", None, weak=False, workers=(2,))


def test_a_data_service_changes_the_last_of_the_others() -> None:
    alone, backend = chosen_of((), None, None, weak=False, servers=2)
    assert [(one.name, one.against) for one in alone][1:] == [("data_service_2", "tfdata_prefetch")]
    assert backend == "tensorflow"
    with_workers, _ = chosen_of((), None, None, weak=False, workers=(2, 3), servers=1)
    assert (with_workers[-1].name, with_workers[-1].against) == ("data_service_1", "multi_worker_3")
    own, base = (
        asdict(registry.plan(name, 32, MACHINE, start=start))
        for name, start in (("data_service_1", "multi_worker_3"), ("multi_worker_3", ""))
    )
    assert {field for field in own if own[field] != base[field]} == {"servers"}
    with pytest.raises(UsageError, match="--devices and --data-service"):
        chosen_of((2,), None, None, weak=False, servers=1)
    with pytest.raises(UsageError, match="up to 16"):
        chosen_of((), None, None, weak=False, servers=17)
