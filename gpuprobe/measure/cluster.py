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
PORT_IN_USE = "Could not start gRPC server"


def join(job: Job, pack_kib: int) -> Any:
    """Set `TF_CONFIG`, and return the distribution strategy of the job's workers, once all have connected.

    A workload's factory may read `TF_CONFIG` too, as in TensorFlow's guides. Gradients are exchanged in packs of
    `pack_kib` KiB. Raises InputError where the worker's port is in use.
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
        if PORT_IN_USE not in str(error):
            raise
        raise InputError(f"the port of this worker, {job.workers[job.index]}, is in use; give it another") from error


def scope(strategy: Any, plan: Plan) -> AbstractContextManager[Any]:
    """Return the context in which to build a model: without an exchange of gradients, that of a single device."""
    return strategy.scope() if strategy is not None and plan.exchange else nullcontext()


class CustomTrainFunction:
    """The train function of a custom loop: the model's `train_step` on the next batch of an iterator.

    In each step the workers add up two numbers: their losses, and the `message` of the first worker. All of them have
    it (`received_message`) when that step ends, so they need no other connection.
    """

    def __init__(self, model: keras.Model, plan: Plan, strategy: Any = None) -> None:
        import tensorflow as tf

        self.message = 0
        self._iterator: Any = None
        self._received: Any = None
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
        answer, self._received = self._call(iterator, tf.constant(float(self.message)))
        return answer  # type: ignore[no-any-return]

    def extra_step(self) -> None:
        """Take one more step, on the next batch of the last step's iterator."""
        self(self._iterator)

    def received_message(self) -> int:
        """Wait for the last step, and return the message that the first worker sent in it."""
        return round(float(self._received.numpy()))

    def _alone(self, iterator: Any) -> dict[str, Any]:
        return self._train_step(next(iterator))  # type: ignore[no-any-return]

    def _together(self, iterator: Any, message: Any) -> tuple[dict[str, Any], Any]:
        import tensorflow as tf

        batch = next(iterator)
        if self._exchange:
            sums = self._strategy.run(lambda data, sent: self._add_up(self._train_step(data), sent), (batch, message))
        else:
            sums = self._strategy.run(self._add_up, (self._train_step(batch), message))
        losses, received = tf.unstack(self._strategy.experimental_local_results(sums)[0])
        return ({"loss": losses / self._workers} if self._has_loss else {}), received

    def _add_up(self, logs: dict[str, Any], message: Any) -> Any:
        """Return the sums of the workers' losses and messages (called in a replica)."""
        import tensorflow as tf

        # A custom train step may return only other metrics.
        self._has_loss = "loss" in logs
        loss_and_message = tf.stack([tf.cast(logs.get("loss", 0.0), tf.float32), message])
        return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, loss_and_message)
