"""Measures how long a custom loop waits for batches of tf.data, by timing the iterators of its datasets."""

from __future__ import annotations

import functools
import time
from typing import TYPE_CHECKING, Any

from gpuprobe.units import NS_PER_S

if TYPE_CHECKING:
    from gpuprobe.keras.phases import Phases


class Waits:
    """The time that the loop has waited for batches since its steps were last counted."""

    def __init__(self, process: Phases) -> None:
        self._process = process
        self._took_ns, self._times, self._squares_s2 = 0, 0, 0.0

    def hook(self) -> None:
        """Begin to time each batch that Python takes from a dataset; `fit` takes its batches within a graph."""
        import tensorflow as tf

        begin, timed = tf.data.Dataset.__iter__, set[type]()

        @functools.wraps(begin)
        def iterating(dataset: Any) -> Any:
            iterator = begin(dataset)
            kind = type(iterator)
            if kind not in timed:
                timed.add(kind)
                self._time(kind)
            return iterator

        tf.data.Dataset.__iter__ = iterating

    def settle(self) -> None:
        """Subtract the waits from the loop's steps; call it after the steps were counted."""
        took_ns, times, squares = self._took_ns, self._times, self._squares_s2
        self._took_ns, self._times, self._squares_s2 = 0, 0, 0.0
        if times:
            self._process.clock.move("steps", "input", took_ns=took_ns, times=times, squares_s2=squares)

    def _time(self, kind: Any) -> None:
        following, process, clock = kind.__next__, self._process, time.time_ns

        @functools.wraps(following)
        def waited(iterator: Any) -> Any:
            began_ns = clock()
            batch = following(iterator)
            if process.loops:
                took_ns = clock() - began_ns
                self._took_ns += took_ns
                self._times += 1
                self._squares_s2 += (took_ns / NS_PER_S) ** 2
            return batch

        kind.__next__ = waited
