"""Which stage of the input holds the training up, from the stages of tf.data that were at work while it waited."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gpuprobe.ledger.records import IteratorFacts

# tf.data names an iterator by its path from the consumer down, `Iterator::Root::Prefetch::MemoryCache::Map`.
SEPARATOR = "::"
# They hand on what threads of their own have made ready: what they take is a wait for the stages below.
HANDS_ON = ("Iterator", "Root", "Model", "Prefetch")
# Stages with threads of their own, which work while the training computes.
AHEAD = ("Prefetch", "ParallelMap", "ParallelInterleave", "ParallelBatch", "MapAndBatch", "Model")
PYTHON = ("Generator", "Python")
CACHES = ("MemoryCache", "FileCache", "Cache")
READERS = ("TFRecord", "TextLine", "FixedLengthRecord", "Interleave", "ParallelInterleave", "SSTable", "Snapshot")
SHUFFLES = ("Shuffle",)
# Where waiting takes no more of the step than this, the work would fit beside the rest of it.
HIDEABLE_SHARE = 0.5


def input_stage(stages: Sequence[IteratorFacts], wait_share: float) -> str | None:
    """Return the design's name of the stage that costs most, None where none was seen at work.

    `wait_share` is the share of the step that the training waits for its input (0 to 1).
    """
    working = [stage for stage in stages if stage.blocking_ms > 0 and not _last(stage.name).startswith(HANDS_ON)]
    slowest = max(working, key=lambda stage: stage.blocking_ms, default=None)
    if slowest is None:
        return None
    parts = slowest.name.split(SEPARATOR)
    if _last(slowest.name).startswith(PYTHON):
        return "python_feed"
    if _last(slowest.name).startswith(SHUFFLES):
        return "shuffle_fill"
    if _last(slowest.name).startswith(READERS) or any(part.startswith(CACHES) for part in parts[:-1]):
        return "cold_cache"
    ahead = any(part.startswith(AHEAD) for part in parts)
    return "slow_map" if ahead or wait_share > HIDEABLE_SHARE else "no_prefetch"


def _last(name: str) -> str:
    return name.rpartition(SEPARATOR)[2]
