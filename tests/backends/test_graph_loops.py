"""The loops in a step's graph: their iterations, the operations they start, and what an iteration needs."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from operator import attrgetter
from typing import Any

import pytest

from gpuprobe.records import GraphLoop

tf = pytest.importorskip("tensorflow")

TURNS = 24


def fading(x: Any) -> Any:
    """What the turn before left is scaled, and what is new added."""
    mean = tf.zeros_like(x[:, 0])
    kept = tf.TensorArray(tf.float32, TURNS)
    for t in tf.range(TURNS):
        mean = 0.9 * mean + 0.1 * x[:, t]
        kept = kept.write(t, mean)
    return tf.transpose(kept.stack(), [1, 0, 2])


def recurring(x: Any) -> Any:
    """A cell of one's own."""

    def turn(t: Any, state: Any) -> Any:
        return t + 1, tf.tanh(state + x[:, t])

    return tf.while_loop(lambda t, _: t < TURNS, turn, (0, tf.zeros_like(x[:, 0])))[1]


def mapped(x: Any) -> Any:
    """Each element by itself."""
    return tf.map_fn(lambda one: tf.tanh(one) * 2.0, tf.transpose(x, [1, 0, 2]))


def summed(x: Any) -> Any:
    """One total, to which each turn adds what is its own."""
    total = tf.zeros_like(x[:, 0])
    for t in tf.range(TURNS):
        total += tf.tanh(x[:, t])
    return total


def until_it_converges(x: Any) -> Any:
    """How many turns it takes depends on the data."""
    value = x
    while tf.reduce_max(value) > 0.1:
        value = value * 0.5
    return value


def stepped(model: Callable[[Any], Any], steps: int = 1) -> tuple[GraphLoop, ...]:
    """Return the loops of a step of one's own that trains one weight before such a model; several steps in a call."""
    from gpuprobe.backends.graph_function import Function
    from gpuprobe.backends.graph_loops import Graphs, loops_of
    from gpuprobe.backends.tensorflow_graphs import number

    weight = tf.Variable(1.0)
    data = iter(tf.data.Dataset.from_tensors(tf.ones((2, TURNS, 3))).repeat())

    def step() -> None:
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(model(next(data) * weight))
        weight.assign_sub(0.01 * tape.gradient(loss, weight))

    def several() -> None:
        for _ in tf.range(steps):
            step()

    concrete = tf.function(several if steps > 1 else step).get_concrete_function()
    called = attrgetter("library.function")(concrete.graph.as_graph_def())
    definitions = {**{one.signature.name: one for one in called}, concrete.name.decode(): concrete.function_def}
    return loops_of(Graphs({name: Function.of(one) for name, one in definitions.items()}, number))


@pytest.mark.parametrize(
    ("model", "turns", "serial", "linear"),
    [
        (fading, TURNS, True, True),
        (recurring, TURNS, True, False),
        (mapped, TURNS, False, False),
        (summed, TURNS, False, False),
        (until_it_converges, None, True, True),
    ],
)
def test_what_a_turn_needs(model: Callable[[Any], Any], turns: float | None, serial: bool, linear: bool) -> None:
    (loop,) = stepped(model)
    assert (loop.turns, loop.serial, loop.linear) == (turns, serial, linear)
    assert "while" in loop.path


def test_a_loop_starts_most_operations_of_the_step_that_holds_it() -> None:
    (loop,) = stepped(recurring)
    assert loop.started_fraction is not None
    assert 0.8 < loop.started_fraction < 1


def test_a_loop_over_steps_is_looked_through() -> None:
    (loop,) = stepped(recurring, steps=5)
    (alone,) = stepped(recurring)
    assert loop.turns == alone.turns == TURNS


def test_a_step_without_a_loop_has_none() -> None:
    assert stepped(tf.tanh) == ()


def test_the_functions_of_the_process_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    from tensorflow.python.eager.context import context

    from gpuprobe.backends.with_tensorflow import TensorFlow

    # One of them is gone by the time that it is read.
    listed = context().list_function_names
    monkeypatch.setattr(context(), "list_function_names", lambda: [b"collected", *listed()])
    weight = tf.Variable(1.0)

    def step(x: Any) -> None:
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(recurring(x * weight))
        weight.assign_sub(0.01 * tape.gradient(loss, weight))

    # While the function lives, so do its graphs.
    function = tf.function(step)
    function(tf.ones((2, TURNS, 3)))
    assert any(loop.serial and loop.turns == TURNS for loop in TensorFlow().loops() or ())


def test_a_tensorflow_that_does_not_show_its_functions_leaves_the_loops_unknown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from gpuprobe.backends import tensorflow_graphs

    monkeypatch.setattr(import_module("tensorflow.python.eager.context"), "context", lambda: None)
    assert tensorflow_graphs.loops() is None
