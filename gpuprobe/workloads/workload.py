"""The `Workload`: everything that is trained, without how it is fed or compiled."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gpuprobe.errors import InputError

if TYPE_CHECKING:
    import keras
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True)
class Workload:
    """A model, its data and its training: what `gpuprobe run` trains under every strategy.

    `model` is a function that returns a Keras model, or a model. A compiled one keeps its loss, optimizer and metrics;
    another is compiled with `loss`, `optimizer` (a name, or a function that returns one) and `metrics`.

    `data` is a tuple of arrays `(x, y)` or `(x, y, sample_weight)`, each with one row a sample and nested as the model
    takes it (a `class_weight` of `fit` is here the weight of each sample); or batches: a `tf.data.Dataset`, a
    `keras.utils.PyDataset`, a DataLoader of PyTorch, a Grain pipeline, or a generator function. A function that returns
    one of these is called in each run.
    `steps_per_epoch` is needed where the batches have no known end.

    `map` is for arrays: TensorFlow operations on one sample, as `tf.data.Dataset.map` takes them; where it works on a
    whole batch as well, `map_takes_batches` says so: then it may run on the device, or on all samples before training.
    `augment` changes a numpy batch of x at random. `learning_rate` gives the rate of an epoch, from 0. `batch_size`
    concerns arrays.
    """

    model: Callable[[], keras.Model] | keras.Model
    data: Any
    batch_size: int = 32
    name: str = ""
    map: Callable[..., Any] | None = None
    map_takes_batches: bool = False
    augment: Callable[[NDArray[Any], np.random.Generator], NDArray[Any]] | None = None
    loss: Any = None
    optimizer: Any = "adam"
    metrics: Sequence[Any] = ()
    learning_rate: Callable[[int], float] | None = None
    steps_per_epoch: int | None = None

    @property
    def built_before(self) -> bool:
        """Whether the model was built before, so that a dtype policy no longer affects it."""
        import keras

        return isinstance(self.model, keras.Model)

    @property
    def pipeline_map(self) -> Callable[..., Any] | None:
        """The map that a tf.data pipeline runs: `map`, or one with an injected fault."""
        return self.map

    def build(self) -> keras.Model:
        """Return the model, uncompiled or as its factory compiled it. Raises InputError where it is none."""
        import keras

        model = self.model if self.built_before else self.model()
        if not isinstance(model, keras.Model):
            raise InputError(f"the workload's model is a {type(model).__name__}, not a Keras model")
        return model

    def compile(self, model: keras.Model, *, jit_compile: bool, steps_per_execution: int) -> None:
        """Compile the model for a run; of a model compiled by its factory only these two settings change.

        Raises InputError where neither the model nor the workload names a loss.
        """
        if not model.compiled:
            if self.loss is None:
                raise InputError("the model is not compiled, and the workload names no loss; give it loss=...")
            optimizer = self.optimizer() if callable(self.optimizer) else self.optimizer
            model.compile(optimizer=optimizer, loss=self.loss, metrics=list(self.metrics) or None, jit_compile=False)
        model.jit_compile = jit_compile
        model.steps_per_execution = steps_per_execution
        model.train_function = None
