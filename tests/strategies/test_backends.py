"""Keras's backends as strategies: which there are, what lacks, and what is computed with TensorFlow alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from gpuprobe.backends import known
from gpuprobe.errors import InputError, MissingError, UsageError
from gpuprobe.strategies import registry
from gpuprobe.strategies.plan import Machine
from gpuprobe.strategies.under import under

MACHINE = Machine(compute_capability=None, cpu_has_bfloat16=False, largest_batch=lambda: 1024)


@pytest.fixture
def only(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[None]:
    """Pretend that the backends which the test names are all that is installed."""
    monkeypatch.setattr(known, "is_installed", lambda name: name in request.param)
    monkeypatch.setattr(registry, "is_installed", lambda name: name in request.param)
    monkeypatch.setattr("gpuprobe.strategies.under.is_installed", lambda name: name in request.param)
    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    registry.changes.cache_clear()
    registry.strategies.cache_clear()
    yield
    registry.changes.cache_clear()
    registry.strategies.cache_clear()


@pytest.mark.usefixtures("only")
@pytest.mark.parametrize("only", [{"tensorflow", "jax"}], indirect=True)
def test_all_compares_the_backends_under_one_strategy() -> None:
    chosen, backend = under("all", "tfdata")
    assert ([one.name for one in chosen], backend) == (["tfdata", "jax", "torch"], "tensorflow")
    assert [one.against for one in chosen[1:]] == ["tfdata", "tfdata"]
    assert [one.lacks(backend) for one in chosen[:2]] == ["", ""]
    assert "PyTorch is not installed: pip install torch" in chosen[2].lacks(backend)
    with pytest.raises(UsageError, match="name one strategy"):
        under("all", "numpy,xla")
    assert [under("all", named)[0][0].instead for named in (None, "numpy")] == ["tfdata", ""]


@pytest.mark.usefixtures("only")
@pytest.mark.parametrize("only", [{"torch", "tensorflow"}], indirect=True)
def test_what_compiles_the_step_is_named_by_its_backend() -> None:
    changes = {backend: under(backend, "xla")[0][0].changes for backend in ("torch", "tensorflow")}
    assert changes["torch"] == "torch.compile compiles the train step"
    assert changes["tensorflow"] == "XLA compiles the train step"


@pytest.mark.usefixtures("only")
@pytest.mark.parametrize("only", [{"jax"}], indirect=True)
def test_without_tensorflow_the_others_are_compared_with_plain_arrays() -> None:
    chosen, backend = under(None, None)
    assert backend == "jax"
    left = {one.name: one.against for one in chosen if not one.lacks(backend)}
    assert left.keys() >= {"python_feed", "numpy", "device_resident", "mixed_precision", "large_batch"}
    assert {left[name] for name in ("device_resident", "mixed_precision", "large_batch")} == {"numpy"}
    assert "TensorFlow is not installed" in registry.strategies()["tfdata"].lacks(backend)
    assert "already" in registry.strategies()["xla"].lacks(backend)
    planned = registry.plan("mixed_precision", 32, MACHINE, backend="jax")
    assert (planned.feed, planned.backend, planned.jit_compile) == ("arrays", "jax", True)


@pytest.mark.usefixtures("only")
@pytest.mark.parametrize("only", [set()], indirect=True)
def test_no_backend_at_all_is_one_clear_line() -> None:
    with pytest.raises(MissingError, match="pip install tensorflow"):
        known.usual()


def test_a_backend_starts_from_the_strategy_that_is_named() -> None:
    planned = registry.plan("torch", 32, MACHINE, start="tfdata_prefetch", backend="torch")
    assert (planned.backend, planned.feed, planned.prefetch, planned.jit_compile) == ("torch", "pipeline", -1, False)
    assert registry.plan("jax", 32, MACHINE, backend="jax").jit_compile


def test_who_has_chosen_how_threads_wait_keeps_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in known.WAITING:
        monkeypatch.delenv(name, raising=False)
    assert known.environment("torch") == {"GOMP_SPINCOUNT": "1000", "KERAS_BACKEND": "torch"}
    monkeypatch.setenv("OMP_WAIT_POLICY", "ACTIVE")
    assert known.environment("torch") == {"KERAS_BACKEND": "torch"}


WITH_TENSORFLOW = """
import keras
import tensorflow as tf

class Doubled(keras.layers.Layer):
    def call(self, x):
        # tf.shape is only named here
        return tf.math.multiply(x, 2.0)

def in_a_layer():
    return keras.Sequential([keras.Input((2,)), Doubled()])

def in_the_factory():
    tf.reshape(None, "no shape")

def in_keras_alone():
    return keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
"""


def test_operations_of_tensorflow_are_named_with_their_line(tmp_path: Path) -> None:
    from gpuprobe.workloads.keras_alone import refuse_tensorflow_in, under
    from gpuprobe.workloads.resolve import _import

    (tmp_path / "mine.py").write_text(WITH_TENSORFLOW)
    mine = _import(str(tmp_path / "mine.py"))
    with pytest.raises(InputError, match=r"which JAX cannot: mine.py, line 8: return tf.math.multiply\(x, 2.0\)"):
        refuse_tensorflow_in(mine.in_a_layer(), "jax")
    with pytest.raises(InputError, match=r"which PyTorch cannot: mine.py, line 14: tf.reshape"):
        under("torch", mine.in_the_factory)
    refuse_tensorflow_in(mine.in_a_layer(), "tensorflow")
    refuse_tensorflow_in(mine.in_keras_alone(), "jax")
    with pytest.raises(Exception, match="unsupported") as raised:
        under("tensorflow", mine.in_the_factory)
    assert not isinstance(raised.value, InputError)


def test_who_comes_first_gives_all_the_first_weights(tmp_path: Path) -> None:
    import keras

    from gpuprobe.measure.first_weights import share_weights

    def model() -> keras.Model:
        return keras.Sequential([keras.Input((2,)), keras.layers.Dense(3)])

    first, second = model(), model()
    assert not np.array_equal(first.get_weights()[0], second.get_weights()[0])
    assert share_weights(first, "") == ()
    for each in (first, second):
        assert share_weights(each, str(tmp_path / "first.npz")) == ()
    assert all(map(np.array_equal, first.get_weights(), second.get_weights()))
    assert [path.name for path in tmp_path.iterdir()] == ["first.npz"]
    assert share_weights(keras.Sequential([keras.layers.Dense(3)]), str(tmp_path / "other.npz")) != ()
