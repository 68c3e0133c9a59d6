"""The ways to drive Keras's train function: `fit`, a loop of `train_on_batch`, or a custom loop."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import keras

from gpuprobe.backends.backend import current

if TYPE_CHECKING:
    from gpuprobe.strategies.plan import Plan
    from gpuprobe.workloads.workload import Workload

# So many epochs that training ends only when the measuring is done.
ENDLESS = 1_000_000


def _nothing() -> None:
    """The default of `Feed.warm`: nothing to do before the first step."""


@dataclass(frozen=True, kw_only=True)
class Feed:
    """A way to train: `warm` does once what only a first epoch needs; `train` trains epochs `first` up to `last`.

    Training ends earlier once `model.stop_training` is set. `adapt` changes the model's train step to take what is fed.
    If `train` is called for one epoch at a time, the order of its samples depends only on the seed and the epoch.
    `epoch_calls` is the number of calls of the train function in an epoch.
    """

    train: Callable[[keras.Model, int, int, list[keras.callbacks.Callback]], None]
    warm: Callable[[], None] = _nothing
    adapt: Callable[[keras.Model], None] = lambda _model: None
    notes: tuple[str, ...] = ()
    epoch_calls: int | None = None


def loop(workload: Workload, batches: Callable[[int], Iterator[tuple[Any, ...]]], parts: int) -> Feed:
    """Return a loop of `train_on_batch` over batches of so many parts: x; x and y; or x, y and sample weights."""

    def adapt(model: keras.Model) -> None:
        step = model.train_step

        def step_on_what_there_is(*args: Any) -> Any:
            # `train_on_batch` always passes three parts, but a custom train step expects those of `fit`.
            *state, data = args
            return step(*state, data[0] if parts == 1 and not isinstance(data[0], tuple) else data[:parts])

        model.train_step = step_on_what_there_is

    def train(model: keras.Model, first: int, last: int, callbacks: list[keras.callbacks.Callback]) -> None:
        watching = keras.callbacks.CallbackList(callbacks, model=model)
        model.stop_training = False
        for epoch in range(first, last):
            if workload.learning_rate:
                model.optimizer.learning_rate.assign(workload.learning_rate(epoch))
            watching.on_epoch_begin(epoch)
            sums: dict[str, float] = {}
            count = 0
            for batch in _marked(batches(epoch)):
                logs = model.train_on_batch(*batch, return_dict=True)
                if model.stop_training:
                    return
                # Keras resets the means in each of these calls.
                count += 1
                sums = {name: sums.get(name, 0.0) + value for name, value in logs.items()}
            watching.on_epoch_end(epoch, {name: total / count for name, total in sums.items()})

    return Feed(train=train, adapt=adapt)


def own_loop(
    workload: Workload, batches: Callable[[int], Any], steps: int, warm: Callable[[], None] = _nothing
) -> Feed:
    """Return a loop that calls the train function with an endless iterator over batches, so many times an epoch.

    All workers make equally many calls in an epoch: one that ended early would leave the others waiting.
    """

    def train(model: keras.Model, first: int, last: int, callbacks: list[keras.callbacks.Callback]) -> None:
        iterator = iter(batches(first).repeat())
        watching = keras.callbacks.CallbackList(callbacks, model=model)
        model.stop_training = False
        for epoch in range(first, last):
            if workload.learning_rate:
                model.optimizer.learning_rate.assign(workload.learning_rate(epoch))
            watching.on_epoch_begin(epoch)
            # Run in a replica, where each worker resets its own variables; outside, each would be read from all workers
            # too.
            model.distribute_strategy.run(model.reset_metrics)
            for _ in range(steps):
                model.train_function(iterator)
                if model.stop_training:
                    return
            watching.on_epoch_end(epoch)

    return Feed(train=train, warm=warm)


def _marked(batches: Iterator[tuple[Any, ...]]) -> Iterator[tuple[Any, ...]]:
    """Mark the making of the next batch in a trace; without a trace this costs about a microsecond for each step."""
    named = current().named
    while True:
        with named("NextBatch"):
            batch = next(batches, None)
        if batch is None:
            return
        yield batch


def fit(
    workload: Workload,
    data: Callable[[int], Any],
    *,
    warm: Callable[[], None] = _nothing,
    adapt: Callable[[keras.Model], None] = lambda _model: None,
    **options: Any,
) -> Feed:
    """Return `fit` on what `data` returns for the first epoch that is asked for; `options` go to `fit`."""
    # `fit` shuffles only arrays; for all else it would log a warning.
    options = {"shuffle": False, **options}

    def train(model: keras.Model, first: int, last: int, callbacks: list[keras.callbacks.Callback]) -> None:
        if workload.learning_rate:
            # The scheduler has no batch methods, so it does not slow the steps.
            callbacks = [keras.callbacks.LearningRateScheduler(workload.learning_rate), *callbacks]
        model.fit(data(first), initial_epoch=first, epochs=last, verbose=0, callbacks=callbacks, **options)

    return Feed(train=train, warm=warm, adapt=adapt)


def driven(plan: Plan, workload: Workload, batches: Callable[[int], Any], steps: int, warm: Callable[[], None]) -> Feed:
    """Return the plan's way to train on a pipeline of tf.data: `fit`, or a custom loop of `steps` an epoch."""
    return own_loop(workload, batches, steps, warm) if plan.own_loop else fit(workload, batches, warm=warm)
