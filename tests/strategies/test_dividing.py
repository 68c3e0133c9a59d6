"""A data set divided among workers, or prepared by tf.data service: the same samples, each once an epoch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from gpuprobe.records import Job
from gpuprobe.strategies.dividing import calls_python, part_of, served
from gpuprobe.strategies.feasible import cannot
from gpuprobe.strategies.feeds import make
from gpuprobe.strategies.plan import Plan
from gpuprobe.workloads.source import source
from gpuprobe.workloads.workload import Workload

if TYPE_CHECKING:
    from collections.abc import Iterator

tf: Any = pytest.importorskip("tensorflow")
SAMPLES, BATCH, WORKERS = 48, 12, 3
ADDRESSES = tuple(f"localhost:{port}" for port in range(1, WORKERS + 1))


class Heard:
    """Stands in for a model in a loop: its train function takes note of each batch."""

    def __init__(self, batches: int) -> None:
        self.batches, self.stop_training = list[Any](), False
        self._most = batches
        self.distribute_strategy = tf.distribute.get_strategy()

    def reset_metrics(self) -> None:
        return

    def train_function(self, iterator: Any) -> None:
        self.batches.append(np.sort(next(iterator)[0].numpy()[:, 0]))
        self.stop_training = len(self.batches) == self._most


def heard(plan: Plan, job: Job | None, data: Any, batches: int = 2 * SAMPLES // BATCH) -> list[Any]:
    feed = make(plan, Workload(model=lambda: None, data=data, batch_size=BATCH), seed=3, job=job)
    tf.random.set_seed(0)
    model = Heard(batches)
    feed.train(model, 0, 1000, [])
    return model.batches


def arrays() -> Any:
    x = np.arange(SAMPLES, dtype="float32")[:, None]
    return x, x


def dataset() -> Any:
    return tf.data.Dataset.from_tensor_slices(arrays()).shuffle(SAMPLES).batch(BATCH, drop_remainder=True)


@pytest.mark.parametrize("data", [arrays, dataset])
def test_the_parts_of_a_step_are_the_batch_of_one_worker(data: Any) -> None:
    plan = Plan(feed="pipeline", batch_size=BATCH, own_loop=True, prefetch=2)
    alone = heard(plan, None, data)
    shared = Plan(feed="pipeline", batch_size=BATCH, own_loop=True, prefetch=2, workers=WORKERS)
    parts = [heard(shared, Job(workers=ADDRESSES, index=index), data) for index in range(WORKERS)]
    assert len(alone) == 8
    for step, whole in enumerate(alone):
        assert {len(part[step]) for part in parts} == {BATCH // WORKERS}
        assert sorted(np.concatenate([part[step] for part in parts])) == list(whole)
    # Another order in the second epoch.
    assert list(alone[0]) != list(alone[4])


def test_a_worker_that_servers_feed_takes_what_they_hand_out() -> None:
    given = tf.data.Dataset.range(6)
    job = Job(workers=ADDRESSES, index=1, service="localhost:9")
    assert part_of(given, job) is given
    assert part_of(given, None) is given
    assert list(part_of(given, Job(workers=ADDRESSES, index=1)).as_numpy_iterator()) == [1, 4]


@pytest.fixture
def service() -> Iterator[str]:
    of = tf.data.experimental.service
    dispatcher = of.DispatchServer()
    address = dispatcher.target.partition("://")[2]
    servers = [of.WorkerServer(of.WorkerConfig(address, heartbeat_interval_ms=50)) for _ in range(2)]
    yield address
    for server in servers:
        server._stop()
    dispatcher._stop()


def test_servers_hand_out_each_sample_once_an_epoch(service: str) -> None:
    # Seven does not divide what each server has.
    prepared = served(tf.data.Dataset.range(42).shuffle(42).batch(7), 7, Job(service=service))
    for _epoch in range(2):
        batches = list(prepared.as_numpy_iterator())
        assert [len(batch) for batch in batches] == [7] * 6
        assert sorted(np.concatenate(batches)) == list(range(42))


def test_what_calls_python_cannot_be_served() -> None:
    def plain(x: Any, y: Any) -> Any:
        return x / 255, y

    def python(x: Any, y: Any) -> Any:
        return tf.numpy_function(lambda given: given, [x], tf.float32), y

    rows = (np.ones((1, 2), "float32"), np.ones((1,), "int64"))
    assert not calls_python(plain, rows)
    assert calls_python(python, rows)
    plan = Plan(feed="pipeline", batch_size=4, servers=1)
    for change, why in ((plain, None), (python, "its map calls Python")):
        workload = Workload(model=lambda: None, data=rows, map=change)
        found = cannot(plan, workload, source(workload))
        assert found is None if why is None else (found or "").startswith(why)
    workload = Workload(model=lambda: None, data=lambda: iter([rows]), steps_per_epoch=1)
    assert "made by Python" in (cannot(plan, workload, source(workload)) or "")
