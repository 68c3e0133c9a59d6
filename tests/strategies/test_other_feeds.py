"""Grain and PyTorch's DataLoader: as feeds of arrays and as data of the user's; skipped where not installed."""

from __future__ import annotations

import itertools
from typing import Any

import keras
import numpy as np
import pytest

from gpuprobe.backends import known
from gpuprobe.backends.known import lacking
from gpuprobe.strategies import feeds, registry
from gpuprobe.strategies.feasible import cannot
from gpuprobe.strategies.plan import Plan
from gpuprobe.workloads.source import BatchSource, Rows, source
from gpuprobe.workloads.workload import Workload

SAMPLES, BATCH = 22, 4
X = np.arange(3 * SAMPLES, dtype="float32").reshape(SAMPLES, 3)
ARRAYS = (X, np.arange(SAMPLES))


def workload(data: Any) -> Workload:
    return Workload(model=keras.Sequential, data=data, loss="mse", batch_size=BATCH)


class Taker:
    """Stands for a model: takes what `fit` is given."""

    def fit(self, data: Any, **options: Any) -> None:
        self.data, self.options = data, options


@pytest.mark.parametrize(("name", "package"), [("grain", "grain"), ("data_loader", "torch")])
def test_an_epoch_has_each_sample_once_and_each_epoch_its_own_order(name: str, package: str) -> None:
    pytest.importorskip(package)
    feed = feeds.make(Plan(feed=name, batch_size=BATCH), workload(ARRAYS), seed=3)
    taker = Taker()
    feed.train(taker, 0, 1, [])
    assert feed.epoch_calls == SAMPLES // BATCH
    epochs = [list(itertools.islice(taker.data, feed.epoch_calls)) for _ in range(2)] if package == "torch" else None
    if epochs is None:
        batches = list(itertools.islice(taker.data, 2 * feed.epoch_calls))
        epochs = [batches[: feed.epoch_calls], batches[feed.epoch_calls :]]
    orders = [[int(one) for batch in epoch for one in batch[1]] for epoch in epochs]
    assert [sorted(order) for order in orders] == [list(range(20))] * 2
    assert orders[0] != orders[1]
    x, y = epochs[0][0]
    assert np.array_equal(np.asarray(x), X[np.asarray(y)])
    again = Taker()
    feeds.make(Plan(feed=name, batch_size=BATCH), workload(ARRAYS), seed=3).train(again, 0, 1, [])
    assert [int(one) for one in next(iter(again.data))[1]] == orders[0][:BATCH]


def loader() -> Any:
    torch = pytest.importorskip("torch")
    return torch.utils.data.DataLoader(Rows(ARRAYS), batch_size=BATCH, drop_last=True)


def grains() -> Any:
    grain = pytest.importorskip("grain")
    return grain.MapDataset.source(Rows(ARRAYS)).batch(BATCH, drop_remainder=True)


@pytest.mark.parametrize("make", [loader, grains])
def test_what_the_user_made_is_taken_as_it_is(make: Any) -> None:
    made = make()
    given = source(workload(made))
    assert isinstance(given, BatchSource)
    assert given.steps == SAMPLES // BATCH
    x, y = next(given.items())
    assert isinstance(x, np.ndarray)
    assert (x.shape, list(y)) == ((BATCH, 3), [0, 1, 2, 3])
    assert cannot(Plan(feed="slices", batch_size=BATCH), workload(made), given) is None
    assert "cannot be fed as numpy arrays" in (
        cannot(Plan(feed="grain", batch_size=BATCH), workload(made), given) or ""
    )


def test_a_feed_that_few_have_is_missed_by_name_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "is_installed", lambda name: name == known.TENSORFLOW)
    assert not {"grain", "data_loader"} & {one.name for one in registry.select("all")}
    assert [one.name for one in registry.select("grain")] == ["grain"]
    assert (
        registry.strategies()["grain"].lacks("tensorflow")
        == lacking("grain")
        == ("Grain is not installed: pip install grain")
    )
