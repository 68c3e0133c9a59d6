"""The stages of tf.data in a trace: which of them delays the training, and how they follow each other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpuprobe.ledger.stages import (
    AHEAD,
    CACHES,
    FROM_PYTHON,
    HANDS_ON,
    INTERLEAVES_AHEAD,
    OUTERMOST,
    READERS,
    SEPARATOR,
    SHUFFLES,
    above,
    is_mapped_after_cache,
    last,
    maps_samples,
    path,
    shuffled,
)
from gpuprobe.records import Signal
from gpuprobe.thresholds import fixed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gpuprobe.ledger.records import IteratorFacts


def input_stage(stages: Sequence[IteratorFacts], wait_share: float) -> str | None:
    """Return which part of the input costs most time, by its id in the catalogue (`slow_map`, `shuffle_fill`, ...).

    None where no stage was seen at work. `wait_share` is the share of the step in which the training waits for its
    input (0 to 1).
    """
    working = [
        stage for stage in stages if stage.blocking_ms > 0 and not last(stage.name).startswith((OUTERMOST, *HANDS_ON))
    ]
    slowest = _slowest(working)
    if slowest is None:
        return None
    stage, callers = last(slowest.name), path(slowest.name)[:-1]
    if stage.startswith(FROM_PYTHON):
        return "python_feed"
    if stage.startswith(SHUFFLES):
        return "shuffle_fill"
    if stage.startswith(READERS) or any(caller.startswith(CACHES) for caller in callers):
        return "cold_cache"
    if _fills_a_shuffle(slowest, stages):
        return "shuffle_fill"
    runs_ahead = any(name.startswith(AHEAD) for name in (*callers, stage))
    return "slow_map" if runs_ahead or wait_share > fixed.HIDEABLE_SHARE else "no_prefetch"


def _slowest(working: Sequence[IteratorFacts]) -> IteratorFacts | None:
    """Return the stage that costs most time; for an interleave in parallel, the stage of its files that works.

    Such an interleave waits for its own threads, which read and map one file each. None where no stage works.
    """
    slowest = max(working, key=lambda stage: stage.blocking_ms, default=None)
    if slowest is None or not last(slowest.name).startswith(INTERLEAVES_AHEAD):
        return slowest
    least_ms = fixed.STAGE_AT_WORK * slowest.blocking_ms
    of_files = [
        stage for stage in working if above(stage.name).startswith(slowest.name) and stage.blocking_ms >= least_ms
    ]
    return max(of_files, key=lambda stage: stage.blocking_ms, default=slowest)


def _fills_a_shuffle(slowest: IteratorFacts, stages: Sequence[IteratorFacts]) -> bool:
    """Whether a stage works for a shuffle that takes in far more samples than it hands on: its buffer is filling."""
    for shuffle in stages:
        if last(shuffle.name).startswith(SHUFFLES) and slowest.name.startswith(shuffle.name + SEPARATOR):
            taken = max((stage.count for stage in stages if above(stage.name) == shuffle.name), default=0)
            if taken >= fixed.SHUFFLE_FILLS * shuffle.count:
                return True
    return False


def pipeline_signals(stages: Sequence[IteratorFacts]) -> list[Signal]:
    """Return as signals what the stages tell of the pipeline: their kinds, and what maps, caches and shuffles work on.

    `mapped_after_cache`: a map works on what a cache keeps, and so runs again in each epoch. `maps_samples`: a map
    works on single samples, before batches are made of them. `shuffled`: what the shuffle buffer holds, `sources` or
    `samples`, `nothing` where there is none.
    """
    names = [stage.name for stage in stages]
    # Where the pipeline rested, only the stages that hand batches over were seen.
    at_work = any(not last(name).startswith((OUTERMOST, *HANDS_ON)) for name in names)
    values: dict[str, str | bool | None] = {
        "pipeline_stages": ", ".join(filter(None, dict.fromkeys(map(last, names)))) or None,
        "mapped_after_cache": any(map(is_mapped_after_cache, names)),
        "maps_samples": any(map(maps_samples, names)),
        "shuffled": shuffled(names) or "nothing" if at_work else None,
    }
    return [
        Signal(
            name=name,
            unit="",
            source="trace",
            value=value,
            missing=None if value is not None else "no stage of tf.data was seen",
        )
        for name, value in values.items()
    ]
