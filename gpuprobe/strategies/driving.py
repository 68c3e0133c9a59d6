"""What drives Keras's train function: `fit`, a loop of `train_on_batch`, or one that calls it by itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import keras

from gpuprobe.backends.backend import current

if TYPE_CHECKING:
    from gpuprobe.workloads.workload import Workload

# Training ends when the measuring is done, never because the epochs ran out.
ENDLESS = 1_000_000


def _nothing() -> None:
    """Most feeds have nothing to do before the first step."""


@dataclass(frozen=True, kw_only=True)
class Feed:
    """`warm` does once what only a first epoch pays for; `train` trains the epochs from `first` up to `last`.

    Training ends earlier where something sets `model.stop_training`. The order of an epoch's samples depends on the
    seed and the epoch alone where `train` is called for one epoch at a time. `epoch_calls` is how often an epoch calls
    the train function.
    """

    train: Callable[[keras.Model, int, int, list[keras.callbacks.Callback]], None]
    warm: Callable[[], None] = _nothing
    adapt: Callable[[keras.Model], None] = lambda _model: None
    notes: tuple[str, ...] = ()
    epoch_calls: int | None = None


def loop(workload: Workload, batches: Callable[[int], Iterator[tuple[Any, ...]]], parts: int) -> Feed:
    """Return `train_on_batch` over the batches, each of so many parts: x; x and y; or with the samples' weights too."""

    def adapt(model: keras.Model) -> None:
        step = model.train_step

        def step_on_what_there_is(*given: Any) -> Any:
            # `train_on_batch` always hands over three parts; a train step of one's own is written for those of `fit`.
            *state, data = given
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
            for batch in _told(batches(epoch)):
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
    """Return a loop that hands the train function an endless iterator over batches, and calls so many steps an epoch.

    An epoch has as many in each of several workers: one that ended before the others would leave them waiting.
    """

    def train(model: keras.Model, first: int, last: int, callbacks: list[keras.callbacks.Callback]) -> None:
        iterator = iter(batches(first).repeat())
        watching = keras.callbacks.CallbackList(callbacks, model=model)
        model.stop_training = False
        for epoch in range(first, last):
            if workload.learning_rate:
                model.optimizer.learning_rate.assign(workload.learning_rate(epoch))
            watching.on_epoch_begin(epoch)
            # In a replica, where each worker resets its own; outside, each variable would be read of all of them too.
            model.distribute_strategy.run(model.reset_metrics)
            for _ in range(steps):
                model.train_function(iterator)
                if model.stop_training:
                    return
            watching.on_epoch_end(epoch)

    return Feed(train=train, warm=warm)


def _told(batches: Iterator[tuple[Any, ...]]) -> Iterator[tuple[Any, ...]]:
    """Let a trace see when Python makes the next batch; costs about a microsecond a step where none is taken."""
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
    """Return `fit` on what `data` gives for an epoch, with the options that its kind needs."""
    # Only arrays are for `fit` to shuffle; of all else it warns in each run's log that it cannot.
    options = {"shuffle": False, **options}

    def train(model: keras.Model, first: int, last: int, callbacks: list[keras.callbacks.Callback]) -> None:
        if workload.learning_rate:
            # The scheduler has no batch hooks, so it costs no step anything and forces no reading of the loss.
            callbacks = [keras.callbacks.LearningRateScheduler(workload.learning_rate), *callbacks]
        model.fit(data(first), initial_epoch=first, epochs=last, verbose=0, callbacks=callbacks, **options)

    return Feed(train=train, warm=warm, adapt=adapt)
