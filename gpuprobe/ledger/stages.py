"""What tf.data calls the stages of an input pipeline: like `names.py`, the one place that knows.

It names an iterator by its path from the consumer down, `Iterator::Root::Prefetch::MemoryCache::Map`, and its threads
after itself.
"""

from __future__ import annotations

import re
from typing import Final

SEPARATOR: Final = "::"
# The threads of the input pipeline.
THREADS: Final = "tf_data"
# Those on which it hands a batch over; the others make the next ones meanwhile.
HANDING_OVER: Final = "tf_data_iterator_get_next"
# What Python does itself, in place of tf.data: gather a batch, and make tensors of it. This name is gpuprobe's own.
PYTHON_STAGE: Final = "Python"
# The outermost ones, which the consumer calls.
OUTERMOST: Final = "Iterator"
ROOTS: Final = ("Root", "Model")
PREFETCH: Final = "Prefetch"
# Settings that stand in the path like stages.
SETTINGS: Final = ("MaxIntraOpParallelism", "PrivateThreadPool")
# They hand on what threads of their own have made ready: what they take is a wait for the stages below.
HANDS_ON: Final = (PREFETCH, *ROOTS)
# Stages with threads of their own, which work while the training computes.
MAPS_AHEAD: Final = ("ParallelMap", "MapAndBatch")
AHEAD: Final = (PREFETCH, *MAPS_AHEAD, "ParallelInterleave", "ParallelBatch", "Model")
# Those of them keep batches ready: time in them is a wait for the stage below.
BUFFERS: Final = (*AHEAD, "Root")
FROM_PYTHON: Final = ("Generator", PYTHON_STAGE)
CACHES: Final = ("MemoryCache", "FileCache", "Cache")
READERS: Final = (
    "TFRecord",
    "TextLine",
    "FixedLengthRecord",
    "Interleave",
    "ParallelInterleave",
    "SSTable",
    "Snapshot",
)
SHARD: Final = "Shard"
SHUFFLES: Final = ("Shuffle",)
MAP: Final = "Map"
# Those that make batches of samples.
BATCHING: Final = ("Batch", "ParallelBatch", "PaddedBatch", "MapAndBatch")
_NUMBER_OF_INPUT, _PART_OF_CACHE = re.compile(r"\[\d+\]$"), "Impl"


def last(name: str) -> str:
    """Return the stage itself, without those above it."""
    return name.rpartition(SEPARATOR)[2]


def path(name: str) -> list[str]:
    """Return the stages from the consumer down to this one."""
    return name.split(SEPARATOR)


def above(name: str) -> str:
    """Return the name of what calls a stage, which may be a part of one and no stage itself; empty at the top.

    A stage with several inputs numbers them in the names below it (`FlatMap[0]::Generator`), and a cache has a part
    of its own beside it (`MemoryCache` calls `MemoryCacheImpl`).
    """
    if name.endswith(_PART_OF_CACHE):
        return name.removesuffix(_PART_OF_CACHE)
    return _NUMBER_OF_INPUT.sub("", name.rpartition(SEPARATOR)[0])


def is_buffer(name: str) -> bool:
    """Tell whether a stage only hands on what threads of its own make ready."""
    return last(name).startswith(BUFFERS)
