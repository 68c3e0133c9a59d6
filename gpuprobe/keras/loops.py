"""Watches custom training loops in an unchanged script: each update by a Keras optimizer is a step.

Such a loop calls no callback. With TensorFlow each step ends with `optimizer.apply`. An eager loop calls it from Python
each time. In a `tf.function` Python calls it only while the function is traced: functions that hold an update are
remembered then, and each later call of one is a step. With every backend a `train_on_batch` is a step. Nothing is added
to a graph.
"""

from __future__ import annotations

import functools
import os
import threading
import time
import weakref
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from gpuprobe.keras.iterating import Waits
from gpuprobe.keras.phases import phases

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import ModuleType

    from gpuprobe.keras.custom import Steps
    from gpuprobe.keras.session import ProbeOptions

# After so many updates by others the first optimizer counts as stopped; a WGAN's critic makes 5 between two of the
# generator.
HANDOVER = 16


class Leader:
    """Decides which update ends a step where several optimizers update in it, as in a GAN: the one seen first."""

    def __init__(self) -> None:
        self._leader: int | None = None
        self._others = 0

    def leads(self, who: int) -> bool:
        """Record an update by `who`; return whether it ends a step. Once the first has stopped, another takes over."""
        if who != self._leader:
            self._others += 1
            if self._leader is not None and self._others < HANDOVER:
                return False
            self._leader = who
        self._others = 0
        return True


class Loops:
    """The custom loops of one process: a recording begins with the first update, and ends before a `fit` or at exit.

    `options` returns the options of the next recording, None once there are enough. `say` gets the first error.
    """

    def __init__(self, options: Callable[[], ProbeOptions | None], say: Callable[[Exception], None]) -> None:
        self._options, self._say = options, say
        self._lock = threading.RLock()
        self._leader = Leader()
        self._steps: Steps | None = None
        self._within = 0
        self._over = False
        self._waits = Waits(phases())
        # How many updates have been traced into graphs so far.
        self._traced = 0
        # A forked child does not record: the recording is its parent's.
        os.register_at_fork(after_in_child=self._stop)

    def hook(self, keras: ModuleType) -> None:
        """Begin to watch for updates."""
        self._hook_train_on_batch(keras)
        if keras.backend.backend() == "tensorflow":
            self._hook_updates(keras)
            self._hook_functions()
            self._waits.hook()

    @contextmanager
    def apart(self) -> Iterator[None]:
        """Wrap a call that is watched otherwise, such as `fit`.

        It ends the loop before it, and its updates do not count.
        """
        self._guarded(self._end)
        with self._one():
            yield

    def updated(
        self,
        who: object,
        model: Any = None,
        batch: Any = None,
        of: Callable[[], int] | None = None,
        began_ns: int = 0,
    ) -> None:
        """Record an update by `who`: an optimizer, a function, or a model with its batch. Never raises.

        `began_ns` is when its call began (Unix ns), 0 where that is not known. `of` returns the number of the replica
        that updates; only the updates of replica 0 count.
        """
        if self._within or self._over:
            return

        def note() -> None:
            if of is not None and of():
                return
            with self._lock:
                if self._leader.leads(id(who)):
                    self._step(model, batch, began_ns)

        self._guarded(note)

    def _step(self, model: Any, batch: Any, began_ns: int) -> None:
        if self._steps is not None:
            self._steps.step()
            return
        from gpuprobe.keras.custom import Steps
        from gpuprobe.keras.watcher import Watcher

        if Watcher.live:
            # The script has a Probe or a `gpuprobe.window` of its own.
            return
        options = self._options()
        if options is None:
            self._stop()
            return
        watcher = Watcher(options, verbose=False, diagnoses=False)
        process = phases()
        process.told(lambda: process.loop_began(began_ns))
        watcher.begin()
        watcher.ends_at_exit()
        self._steps = Steps(watcher, _length(batch), model)
        # The loop's first call is over: from here on calls are counted.
        watcher.ask(lambda session: process.told(lambda: process.loop_warm(session, self._waits.settle)), None)

    def _end(self) -> None:
        with self._lock:
            steps, self._steps, self._leader = self._steps, None, Leader()
            if steps is not None:
                steps.end()

    def _stop(self) -> None:
        self._over = True

    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            work()
        except Exception as error:  # noqa: BLE001 - nothing of ours may break a training
            if not self._over:
                self._say(error)
            self._stop()

    @contextmanager
    def _one(self) -> Iterator[None]:
        """Ignore the updates inside the block."""
        with self._lock:
            self._within += 1
        try:
            yield
        finally:
            with self._lock:
                self._within -= 1

    def _hook_train_on_batch(self, keras: ModuleType) -> None:
        train = keras.Model.train_on_batch

        @functools.wraps(train)
        def train_watched(model: Any, *args: Any, **kwargs: Any) -> Any:
            began_ns = time.time_ns()
            with self._one():
                answer = train(model, *args, **kwargs)
            self.updated(model, model, args[0] if args else kwargs.get("x"), began_ns=began_ns)
            return answer

        keras.Model.train_on_batch = train_watched

    def _hook_updates(self, keras: ModuleType) -> None:
        from tensorflow import distribute, executing_eagerly

        apply = keras.Optimizer.apply

        @functools.wraps(apply)
        def apply_watched(optimizer: Any, *args: Any, **kwargs: Any) -> Any:
            answer = apply(optimizer, *args, **kwargs)
            if executing_eagerly():
                # Each replica of a distribution strategy calls this, on a thread of its own.
                self.updated(optimizer, of=lambda: _replica(distribute))
            else:
                self._traced += 1
            return answer

        keras.Optimizer.apply = apply_watched

    def _hook_functions(self) -> None:
        import tensorflow as tf

        updating: weakref.WeakSet[Any] = weakref.WeakSet()
        executing_eagerly = tf.executing_eagerly
        kind = type(tf.function(lambda: None))
        call = kind.__call__

        @functools.wraps(call)
        def call_watched(function: Any, *args: Any, **kwargs: Any) -> Any:
            if not executing_eagerly():
                # A function traced before is called within another graph, and its body is not traced again.
                self._traced += function in updating
                return call(function, *args, **kwargs)
            before, known = self._traced, function in updating
            began_ns = 0 if known else time.time_ns()
            answer = call(function, *args, **kwargs)
            if self._traced != before:
                updating.add(function)
                process = phases()
                process.told(lambda: process.graph_built(again=known, began_ns=began_ns))
            elif not known:
                return answer
            self.updated(function, began_ns=began_ns)
            return answer

        kind.__call__ = call_watched


def _replica(distribute: Any) -> int:
    """Return the number of the replica that runs in this thread; 0 without a distribution strategy."""
    context = distribute.get_replica_context() if distribute.has_strategy() else None
    return int(context.replica_id_in_sync_group) if context is not None else 0


def _length(batch: Any) -> int:
    """Return how many samples a batch holds; 0 where its shape does not tell."""
    import keras

    leaves = keras.tree.flatten(batch)
    shape = getattr(leaves[0], "shape", None) if leaves else None
    return int(shape[0]) if shape is not None and len(shape) and shape[0] else 0
