"""Measures how long a custom loop waits for batches of tf.data, by timing the iterators of its datasets."""

from __future__ import annotations

import functools
import time
from typing import TYPE_CHECKING, Any

from gpuprobe.units import NS_PER_S

if TYPE_CHECKING:
    from gpuprobe.keras.process_wall import ProcessWall


class InputWaits:
    """The time that the loop has waited for batches since its steps were last counted."""

    def __init__(self, wall: ProcessWall) -> None:
        self._wall = wall
        self._waited_ns, self._times, self._squares_s2 = 0, 0, 0.0

    def hook(self) -> None:
        """Begin to time each batch that Python code takes from a dataset; `fit` takes its batches within a graph."""
        import tensorflow as tf

        make_iterator, timed_types = tf.data.Dataset.__iter__, set[type]()

        @functools.wraps(make_iterator)
        def iterating(dataset: Any) -> Any:
            iterator = make_iterator(dataset)
            iterator_type = type(iterator)
            if iterator_type not in timed_types:
                timed_types.add(iterator_type)
                self._time_batches(iterator_type)
            return iterator

        tf.data.Dataset.__iter__ = iterating

    def settle(self) -> None:
        """Subtract the waits from the loop's steps; call it after the steps were counted."""
        waited_ns, times, squares_s2 = self._waited_ns, self._times, self._squares_s2
        self._waited_ns, self._times, self._squares_s2 = 0, 0, 0.0
        if times:
            self._wall.clock.move("steps", "input", took_ns=waited_ns, times=times, squares_s2=squares_s2)

    def _time_batches(self, iterator_type: Any) -> None:
        take_batch, wall, clock = iterator_type.__next__, self._wall, time.time_ns

        @functools.wraps(take_batch)
        def timed_next(iterator: Any) -> Any:
            began_ns = clock()
            batch = take_batch(iterator)
            if wall.in_loop_steps:
                took_ns = clock() - began_ns
                self._waited_ns += took_ns
                self._times += 1
                self._squares_s2 += (took_ns / NS_PER_S) ** 2
            return batch

        iterator_type.__next__ = timed_next
