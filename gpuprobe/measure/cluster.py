"""Connects the workers of a run, and makes their common train step (worker only).

Use it before TensorFlow makes a tensor: each worker starts its server when it makes the distribution strategy, which
waits for all others without a message.
"""

from __future__ import annotations

import json
import os
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

from gpuprobe.errors import InputError
from gpuprobe.tf_config import VARIABLE
from gpuprobe.units import KIB

if TYPE_CHECKING:
    import keras

    from gpuprobe.records import Job
    from gpuprobe.strategies.plan import Plan

# TensorFlow's error for a port in use.
NO_SERVER = "Could not start gRPC server"


def join(job: Job, pack_kib: int) -> Any:
    """Return the distribution strategy of the job's workers, once all have connected.

    A workload's factory may read `TF_CONFIG` too, as in TensorFlow's guides. Raises InputError where the worker's port
    is in use.
    """
    import tensorflow as tf

    task = {"type": "worker", "index": job.index}
    os.environ[VARIABLE] = json.dumps({"cluster": {"worker": list(job.workers)}, "task": task})
    if gpus := tf.config.list_physical_devices("GPU"):
        # A worker has one device, so each batch has one part for each worker.
        tf.config.set_visible_devices(gpus[job.gpu], "GPU")
    options = tf.distribute.experimental.CommunicationOptions(bytes_per_pack=pack_kib * KIB)
    try:
        return tf.distribute.MultiWorkerMirroredStrategy(communication_options=options)
    except tf.errors.UnknownError as error:
        if NO_SERVER not in str(error):
            raise
        raise InputError(f"the port of this worker, {job.workers[job.index]}, is taken; give it another") from error


def scope(strategy: Any, plan: Plan) -> AbstractContextManager[Any]:
    """Return the context in which to build a model: without an exchange of gradients, that of a single device."""
    return strategy.scope() if strategy is not None and plan.exchange else nullcontext()


class OwnStep:
    """The train function of a custom loop: the model's `train_step` on the next batch of an iterator.

    In each step the workers add up two numbers: their losses, and the message (`says`) of the first one. All receive it
    (`heard`) as that step ends, so they need no other connection.
    """

    def __init__(self, model: keras.Model, plan: Plan, strategy: Any = None) -> None:
        import tensorflow as tf

        self.says = 0
        self._iterator: Any = None
        self._heard: Any = None
        self._has_loss = True
        self._strategy, self._workers, self._exchange = strategy, plan.workers, plan.exchange
        # As in Keras: XLA has no kernel for an iterator, so it compiles only the step.
        self._train_step = tf.function(model.train_step, jit_compile=True) if plan.jit_compile else model.train_step
        self._call = tf.function(self._alone if strategy is None else self._together)

    def __call__(self, iterator: Any) -> dict[str, Any]:
        """Train on one batch, and return the same as Keras's train function, with the loss of all workers."""
        if self._strategy is None:
            return self._call(iterator)  # type: ignore[no-any-return]
        import tensorflow as tf

        self._iterator = iterator
        answer, self._heard = self._call(iterator, tf.constant(float(self.says)))
        return answer  # type: ignore[no-any-return]

    def once_more(self) -> None:
        """Take one more step, on the next batch of the last step's iterator."""
        self(self._iterator)

    def heard(self) -> int:
        """Return the first worker's message in the last step, once that is over."""
        return round(float(self._heard.numpy()))

    def _alone(self, iterator: Any) -> dict[str, Any]:
        return self._train_step(next(iterator))  # type: ignore[no-any-return]

    def _together(self, iterator: Any, says: Any) -> tuple[dict[str, Any], Any]:
        import tensorflow as tf

        batch = next(iterator)
        if self._exchange:
            summed = self._strategy.run(lambda data, word: self._add_up(self._train_step(data), word), (batch, says))
        else:
            summed = self._strategy.run(self._add_up, (self._train_step(batch), says))
        losses, word = tf.unstack(self._strategy.experimental_local_results(summed)[0])
        return ({"loss": losses / self._workers} if self._has_loss else {}), word

    def _add_up(self, logs: dict[str, Any], says: Any) -> Any:
        """Return the sums of the workers' losses and messages (called in a replica)."""
        import tensorflow as tf

        # A custom train step may return only other metrics.
        self._has_loss = "loss" in logs
        pair = tf.stack([tf.cast(logs.get("loss", 0.0), tf.float32), says])
        return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, pair)
