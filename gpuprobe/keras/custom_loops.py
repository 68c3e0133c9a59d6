"""Watches custom training loops in an unchanged script: each update by a Keras optimizer is a step.

Such a loop calls no callback. With TensorFlow each step ends with `optimizer.apply`. In an eager loop Python calls it
in each step. In a `tf.function` Python calls it only while the function is traced: a function that contains an update
is remembered then, and each later call of it is a step. With every backend a `train_on_batch` is a step. Nothing is
added to a graph.
"""

from __future__ import annotations

import functools
import os
import threading
import time
import weakref
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from gpuprobe.keras.input_waits import InputWaits
from gpuprobe.keras.process_wall import process_wall

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import ModuleType

    from gpuprobe.keras.custom import Steps
    from gpuprobe.keras.options import ProbeOptions

# After so many updates by others the first optimizer counts as stopped. In a WGAN the critic makes 5 updates between
# two of the generator.
HANDOVER = 16


class StepLeader:
    """Decides which update ends a step where several optimizers update in it, as in a GAN: the one seen first."""

    def __init__(self) -> None:
        self._leader: int | None = None
        self._others = 0

    def leads(self, updater: int) -> bool:
        """Count an update by `updater`; return whether it ends a step. Where the first has stopped, another leads."""
        if updater != self._leader:
            self._others += 1
            if self._leader is not None and self._others < HANDOVER:
                return False
            self._leader = updater
        self._others = 0
        return True


class CustomLoops:
    """The custom loops of one process: a recording begins with the first update, and ends before a `fit` or at exit.

    `options` returns the options of the next recording, None once there are enough. `say` gets the first error.
    """

    def __init__(self, options: Callable[[], ProbeOptions | None], say: Callable[[Exception], None]) -> None:
        self._options, self._say = options, say
        self._lock = threading.RLock()
        self._leader = StepLeader()
        self._steps: Steps | None = None
        self._ignoring = 0
        self._stopped = False
        self._input_waits = InputWaits(process_wall())
        # How many updates have been traced into graphs so far.
        self._traced_updates = 0
        # A forked child does not record: the recording is its parent's.
        os.register_at_fork(after_in_child=self._stop)

    def hook(self, keras: ModuleType) -> None:
        """Begin to watch for updates."""
        self._hook_train_on_batch(keras)
        if keras.backend.backend() == "tensorflow":
            self._hook_updates(keras)
            self._hook_functions()
            self._input_waits.hook()

    @contextmanager
    def without_steps(self) -> Iterator[None]:
        """Wrap a call recorded otherwise, such as `fit`: the loop ends before it, and its updates do not count."""
        self._guarded(self._end)
        with self._updates_ignored():
            yield

    def record_update(
        self,
        updater: object,
        model: Any = None,
        batch: Any = None,
        replica_number: Callable[[], int] | None = None,
        began_ns: int = 0,
    ) -> None:
        """Record an update by `updater`: an optimizer, a function, or a model with its batch. Never raises.

        `began_ns` is when its call began (Unix ns), 0 where that is not known. `replica_number` returns the number of
        the replica that updates; only the updates of replica 0 count.
        """
        if self._ignoring or self._stopped:
            return

        def record() -> None:
            if replica_number is not None and replica_number():
                return
            with self._lock:
                if self._leader.leads(id(updater)):
                    self._step(model, batch, began_ns)

        self._guarded(record)

    def _step(self, model: Any, batch: Any, began_ns: int) -> None:
        if self._steps is not None:
            self._steps.step()
            return
        from gpuprobe.keras.custom import Steps
        from gpuprobe.keras.watcher import Watcher

        if Watcher.active:
            # The script has a Probe or a `gpuprobe.window` of its own.
            return
        options = self._options()
        if options is None:
            self._stop()
            return
        watcher = Watcher(options, verbose=False, diagnoses=False)
        wall = process_wall()
        wall.record(lambda: wall.loop_began(began_ns))
        watcher.begin()
        watcher.ends_at_exit()
        self._steps = Steps(watcher, _batch_size(batch), model)
        # The loop's first call is over: from here on calls are counted.
        watcher.with_session(
            lambda session: wall.record(lambda: wall.loop_warm(session, self._input_waits.settle)), None
        )

    def _end(self) -> None:
        with self._lock:
            steps, self._steps, self._leader = self._steps, None, StepLeader()
            if steps is not None:
                steps.end()

    def _stop(self) -> None:
        self._stopped = True

    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            work()
        except Exception as error:  # noqa: BLE001 - nothing of ours may break a training
            if not self._stopped:
                self._say(error)
            self._stop()

    @contextmanager
    def _updates_ignored(self) -> Iterator[None]:
        """Ignore the updates inside the `with` block."""
        with self._lock:
            self._ignoring += 1
        try:
            yield
        finally:
            with self._lock:
                self._ignoring -= 1

    def _hook_train_on_batch(self, keras: ModuleType) -> None:
        train_on_batch = keras.Model.train_on_batch

        @functools.wraps(train_on_batch)
        def watched_train_on_batch(model: Any, *args: Any, **kwargs: Any) -> Any:
            began_ns = time.time_ns()
            with self._updates_ignored():
                answer = train_on_batch(model, *args, **kwargs)
            self.record_update(model, model, args[0] if args else kwargs.get("x"), began_ns=began_ns)
            return answer

        keras.Model.train_on_batch = watched_train_on_batch

    def _hook_updates(self, keras: ModuleType) -> None:
        from tensorflow import distribute, executing_eagerly

        optimizer_apply = keras.Optimizer.apply

        @functools.wraps(optimizer_apply)
        def watched_apply(optimizer: Any, *args: Any, **kwargs: Any) -> Any:
            answer = optimizer_apply(optimizer, *args, **kwargs)
            if executing_eagerly():
                # Each replica of a distribution strategy calls this, on a thread of its own.
                self.record_update(optimizer, replica_number=lambda: _replica(distribute))
            else:
                self._traced_updates += 1
            return answer

        keras.Optimizer.apply = watched_apply

    def _hook_functions(self) -> None:
        import tensorflow as tf

        updating_functions: weakref.WeakSet[Any] = weakref.WeakSet()
        executing_eagerly = tf.executing_eagerly
        function_type = type(tf.function(lambda: None))
        call_function = function_type.__call__

        @functools.wraps(call_function)
        def watched_call(function: Any, *args: Any, **kwargs: Any) -> Any:
            if not executing_eagerly():
                # A function traced before is called within another graph, and its body is not traced again.
                self._traced_updates += function in updating_functions
                return call_function(function, *args, **kwargs)
            traced_before, is_updating = self._traced_updates, function in updating_functions
            began_ns = 0 if is_updating else time.time_ns()
            answer = call_function(function, *args, **kwargs)
            if self._traced_updates != traced_before:
                updating_functions.add(function)
                wall = process_wall()
                wall.record(lambda: wall.graph_built(again=is_updating, began_ns=began_ns))
            elif not is_updating:
                return answer
            self.record_update(function, began_ns=began_ns)
            return answer

        function_type.__call__ = watched_call


def _replica(distribute: Any) -> int:
    """Return the number of the replica that runs in this thread; 0 without a distribution strategy."""
    context = distribute.get_replica_context() if distribute.has_strategy() else None
    return int(context.replica_id_in_sync_group) if context is not None else 0


def _batch_size(batch: Any) -> int:
    """Return how many samples a batch holds; 0 where its shape does not tell."""
    import keras

    leaves = keras.tree.flatten(batch)
    shape = getattr(leaves[0], "shape", None) if leaves else None
    return int(shape[0]) if shape is not None and len(shape) and shape[0] else 0
