"""The names of tf.data's stages and threads; like `names.py`, the one place that knows them.

tf.data names an iterator by its path from the consumer down, `Iterator::Root::Prefetch::MemoryCache::Map`, and its
threads `tf_data...`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

SEPARATOR: Final = "::"
# The threads of the input pipeline.
THREADS: Final = "tf_data"
# The threads that hand a batch over; the others make the next batches meanwhile.
HANDING_OVER: Final = "tf_data_iterator_get_next"
# gpuprobe's name for Python that gathers a batch and makes tensors of it, in place of tf.data.
PYTHON_STAGE: Final = "Python"
# The outermost stages, which the consumer calls.
OUTERMOST: Final = "Iterator"
ROOTS: Final = ("Root", "Model")
PREFETCH: Final = "Prefetch"
# Settings that appear in the path like stages.
SETTINGS: Final = ("MaxIntraOpParallelism", "PrivateThreadPool")
# Stages that hand on ready batches: time in them is a wait for the stages below.
HANDS_ON: Final = (PREFETCH, *ROOTS)
# Stages with threads of their own, which work while the training computes.
MAPS_AHEAD: Final = ("ParallelMap", "MapAndBatch")
INTERLEAVES_AHEAD: Final = "ParallelInterleave"
AHEAD: Final = (PREFETCH, *MAPS_AHEAD, INTERLEAVES_AHEAD, "ParallelBatch", "Model")
# Stages that keep batches ready: time in them is a wait for the stage below.
BUFFERS: Final = (*AHEAD, "Root")
FROM_PYTHON: Final = ("Generator", PYTHON_STAGE)
CACHES: Final = ("MemoryCache", "FileCache", "Cache")
READERS: Final = (
    "TFRecord",
    "TextLine",
    "FixedLengthRecord",
    "Interleave",
    INTERLEAVES_AHEAD,
    "SSTable",
    "Snapshot",
)
SHARD: Final = "Shard"
SHUFFLES: Final = ("Shuffle",)
MAP: Final = "Map"
# Stages that make batches of samples.
BATCHING: Final = ("Batch", "ParallelBatch", "PaddedBatch", "MapAndBatch")
_NUMBER_OF_INPUT, _PART_OF_CACHE = re.compile(r"\[\d+\]$"), "Impl"


def last(name: str) -> str:
    """Return the stage alone, without the path above it."""
    return name.rpartition(SEPARATOR)[2]


def path(name: str) -> list[str]:
    """Return the stages of the path, from the consumer down to this stage."""
    return name.split(SEPARATOR)


def above(name: str) -> str:
    """Return the name of the caller of a stage, which need not be a stage itself; empty at the top.

    A stage with several inputs numbers them in the names below it (`FlatMap[0]::Generator`), and a cache calls an
    implementation of its own (`MemoryCache` calls `MemoryCacheImpl`).
    """
    if name.endswith(_PART_OF_CACHE):
        return name.removesuffix(_PART_OF_CACHE)
    return _NUMBER_OF_INPUT.sub("", name.rpartition(SEPARATOR)[0])


def is_buffer(name: str) -> bool:
    """Tell whether a stage only hands on batches that its own threads make ready."""
    return last(name).startswith(BUFFERS)


def is_mapped_after_cache(name: str) -> bool:
    """Tell whether a stage is a cache below a map: the map works on what the cache keeps."""
    stages = path(name)
    return stages[-1].startswith(CACHES) and any(stage.startswith((MAP, *MAPS_AHEAD)) for stage in stages[:-1])


def shuffled(names: Iterable[str]) -> str:
    """Return what the pipeline's shuffle buffer holds: `sources`, from which a map makes samples later, or `samples`.

    Empty where no shuffle was seen. Where no map was seen above the shuffle, what it holds may be costly: samples.
    """
    holding = [stages for stages in map(path, names) if stages[-1].startswith(SHUFFLES)]
    if not holding:
        return ""
    before = all(any(stage.startswith((MAP, *MAPS_AHEAD)) for stage in stages[:-1]) for stages in holding)
    return "sources" if before else "samples"


def maps_samples(name: str) -> bool:
    """Tell whether a stage is a map of single samples: of which a stage above it, or itself, makes batches."""
    stages = path(name)
    mapping = stages[-1].startswith((MAP, *MAPS_AHEAD))
    return mapping and any(stage.startswith(BATCHING) for stage in stages)
