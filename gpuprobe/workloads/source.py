"""The data of a workload behind one interface: arrays with one row for each sample, or ready-made batches."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from gpuprobe import wording
from gpuprobe.errors import InputError
from gpuprobe.workloads.other_data import GRAIN, LOADER, kind_of
from gpuprobe.workloads.tensorflow_data import is_dataset, is_uneven, tensorflow

if TYPE_CHECKING:
    from gpuprobe.workloads.workload import Workload

# Samples per call: large enough to make the call's overhead small, small enough to need little memory.
BLOCK = 1000
# The parts of a batch by their number, as in Keras: x; x and y; x, y and the weight of each sample.
MOST_PARTS = 3


@dataclass(frozen=True, kw_only=True)
class ArraySource:
    """Arrays in memory: a tuple of one to three structures, each leaf with one row for each sample."""

    parts: tuple[Any, ...]

    kind = "arrays"

    @property
    def samples(self) -> int:
        """The number of rows."""
        return len(keras.tree.flatten(self.parts)[0])

    @property
    def has_strings(self) -> bool:
        """Whether a leaf holds text, which neither Keras's array feed nor a GPU takes."""
        return any(np.asarray(leaf[:1]).dtype.kind in "SUO" for leaf in keras.tree.flatten(self.parts))

    def first(self, used: int) -> tuple[Any, ...]:
        """Return the parts with the first `count` rows, repeated from the start if there are fewer."""
        return self.rows(slice(0, used) if used <= self.samples else np.arange(used) % self.samples)

    def rows(self, chosen: Any) -> tuple[Any, ...]:
        """Return the parts with only the chosen rows, a slice or indices."""
        taken: tuple[Any, ...] = keras.tree.map_structure(lambda leaf: leaf[chosen], self.parts)
        return taken


@dataclass(frozen=True)
class Rows:
    """The rows of arrays one by one, as Grain and PyTorch's DataLoader ask for them."""

    parts: tuple[Any, ...]

    def __len__(self) -> int:
        return len(keras.tree.flatten(self.parts)[0])

    def __getitem__(self, index: int) -> tuple[Any, ...]:
        row: tuple[Any, ...] = keras.tree.map_structure(lambda leaf: leaf[index], self.parts)
        return row


@dataclass(frozen=True, kw_only=True)
class BatchSource:
    """Ready-made batches: `given` is the argument for `fit`, `kind` its name; an epoch has so many `steps`."""

    kind: str
    given: Callable[[], Any]
    steps: int

    def items(self) -> Iterator[tuple[Any, ...]]:
        """Yield the batches of one epoch in Python, each as a tuple."""
        given = self.given()
        made = (given[index] for index in range(len(given))) if self.kind == "a PyDataset" else given
        for _, item in zip(range(self.steps), made, strict=False):
            if self.kind == LOADER:
                # Its own way to join samples makes a list of tensors, which other backends do not take.
                yield _tuple(keras.tree.map_structure(np.asarray, tuple(item) if isinstance(item, list) else item))
            else:
                yield _tuple(item)

    @property
    def is_uneven(self) -> bool:
        """Whether batches are ragged or sparse, so no plain arrays."""
        leaves = keras.tree.flatten(next(self.items()))
        return any(map(is_uneven, leaves))

    @property
    def are_alike(self) -> bool:
        """Whether the last batch is known to be as large as the others."""
        given = self.given() if self.kind == "a tf.data dataset" else None
        shape = keras.tree.flatten(given.element_spec)[0].shape if given is not None else None
        return shape is not None and shape.rank is not None and shape.rank > 0 and shape[0] is not None

    def dataset(self) -> Any:
        """Return one epoch as a tf.data dataset of batches, without prefetching beyond the user's own."""
        if self.kind == "a tf.data dataset":
            return self.given().take(self.steps)
        tf = tensorflow()
        first = next(self.items())
        signature = keras.tree.map_structure(_open_spec, first)
        made = tf.data.Dataset.from_generator(self.items, output_signature=signature)
        return made.apply(tf.data.experimental.assert_cardinality(self.steps))

    def endless(self) -> Any:
        """Return the data for endless epochs of `fit`: a generator that stops is restarted."""
        if self.kind not in {"a generator", GRAIN}:
            return self.given()
        return (item for _ in itertools.count() for item in self.given())


Source = ArraySource | BatchSource


def source(workload: Workload) -> Source:
    """Return the data of a workload. Raises InputError where gpuprobe cannot train on it, saying what it is."""
    given = workload.data() if callable(workload.data) and not _is_batches(workload.data) else workload.data
    if is_dataset(given):
        steps = _steps(workload, int(given.cardinality()))
        return BatchSource(kind="a tf.data dataset", given=lambda: given, steps=steps)
    if isinstance(given, keras.utils.PyDataset):
        steps = _steps(workload, given.num_batches or -1)
        return BatchSource(kind="a PyDataset", given=lambda: given, steps=steps)
    other = kind_of(given)
    if other:
        steps = _steps(workload, len(given) if hasattr(given, "__len__") else -1)
        return BatchSource(kind=other, given=lambda: given, steps=steps)
    if isinstance(given, Iterator):
        if not callable(workload.data):
            raise InputError(
                "the workload's data is a generator, which runs only once; give the function that makes it"
            )
        return BatchSource(kind="a generator", given=workload.data, steps=_steps(workload, -1))
    return _arrays(given)


def mapped(workload: Workload, arrays: ArraySource) -> ArraySource:
    """Return the arrays with the workload's map applied to every sample, ahead of training."""
    if workload.map is None:
        return arrays
    if workload.map_takes_batches:
        starts = range(0, arrays.samples, BLOCK)
        blocks = [workload.map(*arrays.rows(slice(start, start + BLOCK))) for start in starts]
    else:
        tf = tensorflow()
        samples = tf.data.Dataset.from_tensor_slices(arrays.parts).map(workload.map, tf.data.AUTOTUNE)
        blocks = list(samples.batch(BLOCK))
    joined = keras.tree.map_structure(lambda *leaves: np.concatenate(leaves), *[_tuple(block) for block in blocks])
    return ArraySource(parts=joined)


def collected(batches: BatchSource) -> ArraySource:
    """Return one epoch of batches as arrays."""
    items = [keras.tree.map_structure(np.asarray, item) for item in batches.items()]
    return ArraySource(parts=keras.tree.map_structure(lambda *leaves: np.concatenate(leaves), *items))


def _arrays(data: Any) -> ArraySource:
    parts = data if isinstance(data, tuple) else (data,)
    leaves = keras.tree.flatten(parts)
    strange = [leaf for leaf in leaves if not _is_array(leaf)]
    if not leaves or len(parts) > MOST_PARTS or strange or isinstance(data, str | Mapping):
        inside = f" with a {type(strange[0]).__name__} in it" if strange and isinstance(data, tuple) else ""
        raise InputError(
            f"the workload's data is a {type(data).__name__}{inside}; it has to be a tuple of arrays (x, y) with as "
            "many rows each, a tf.data dataset, a PyDataset, a DataLoader of PyTorch, a Grain pipeline, a generator "
            "function, or a function that returns one of these"
        )
    rows = [len(leaf) for leaf in leaves]
    if len(set(rows)) > 1:
        raise InputError(f"the arrays of the workload's data have {wording.listing([str(n) for n in rows])} rows")
    if not rows[0]:
        raise InputError("the workload's data is empty")
    # tf.data converts a list to one array, so use a tuple, which Keras accepts too.
    parts = tuple(tuple(part) if isinstance(part, list) else part for part in parts)
    return ArraySource(parts=keras.tree.map_structure(np.asarray, parts))


def _is_array(leaf: Any) -> bool:
    return bool(getattr(leaf, "shape", ())) and not is_uneven(leaf)


def _steps(workload: Workload, known: int) -> int:
    if known == 0:
        raise InputError("the workload's data is empty: it has no batches")
    steps = workload.steps_per_epoch or known
    if steps <= 0:
        raise InputError("where an epoch of the workload's batches ends is not known; give it steps_per_epoch=...")
    return steps


def _is_batches(data: Any) -> bool:
    return is_dataset(data) or isinstance(data, keras.utils.PyDataset) or bool(kind_of(data))


def batch_size(item: Any) -> int:
    """Return how many samples a batch holds, given the batch or its x, ragged and sparse ones included."""
    return int(keras.tree.flatten(item)[0].shape[0])


def _open_spec(leaf: Any) -> Any:
    leaf = np.asarray(leaf)
    return tensorflow().TensorSpec((None, *leaf.shape[1:]), leaf.dtype)


def _tuple(block: Any) -> tuple[Any, ...]:
    return block if isinstance(block, tuple) else (block,)
