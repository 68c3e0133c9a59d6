"""The input pipeline of a simulated session.

Workers prepare batches in order, ahead up to the prefetch buffer's size, and the training takes them.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gpuprobe.simulate.noise import Noise, Source
from gpuprobe.simulate.session import HostEvent

if TYPE_CHECKING:
    from gpuprobe.simulate.spec import Spec

CONSUMER, PRODUCER = "tf_data_iterator_get_next", "tf_data_iterator_resource"
ROOT = "Iterator::Root"


@dataclass(frozen=True)
class StageCost:
    """One stage of the pipeline: its part of the iterator's name, and its own time for this batch in us."""

    name: str
    own_us: float


@dataclass(frozen=True)
class Taken:
    """A batch that the training has taken: when it was ready, and when the call that requested it returned (us)."""

    ready_us: float
    got_us: float


def stages(spec: Spec, batch: int, noise: Noise) -> list[StageCost]:
    """Return the stages of one batch, from the last to the first, each with its own time."""
    knobs = spec.input
    if knobs.feed in {"device", "python"}:
        return [StageCost("Range", 0.0)]
    factor = 1000 * noise.factor(Source.INPUT, batch)
    fills = batch % knobs.shuffle_fill_every == knobs.shuffle_fill_every // 2
    fill_ms = knobs.shuffle_fill_ms if fills else 0.0
    if knobs.feed == "generator":
        return [StageCost("Shuffle", fill_ms * factor), StageCost("FlatMap[0]::Generator", knobs.python_ms * factor)]
    costs = [StageCost("BatchV2", knobs.batch_ms * factor), StageCost("Shuffle", fill_ms * factor)]
    if knobs.cache != "none":
        costs.append(StageCost("MemoryCache", 0.0))
    if knobs.cache != "warm":
        parallel = min(knobs.parallel_calls, spec.host.cores)
        name = "ParallelMapV2" if knobs.parallel_calls > 1 else "Map"
        costs += [StageCost(name, knobs.map_ms / parallel * factor), StageCost("TFRecord", knobs.read_ms * factor)]
    return costs


class Pipeline:
    """The state of the pipeline; `events` are those of its threads, in nanoseconds."""

    def __init__(self, spec: Spec, noise: Noise) -> None:
        self._spec, self._noise = spec, noise
        self._taken_us: list[float] = []
        self._ready_us = 0.0
        self.events: list[HostEvent] = []

    def take(self, asked_us: float) -> Taken:
        """Take the next batch, requested at this time (us)."""
        batch, ahead = len(self._taken_us), self._spec.input.prefetch
        parts = stages(self._spec, batch, self._noise)
        service_us = sum(part.own_us for part in parts)
        if ahead:
            freed_us = self._taken_us[batch - ahead] if batch >= ahead else 0.0
            begin_us = max(self._ready_us, freed_us)
        else:
            begin_us = asked_us
        self._ready_us = begin_us + service_us
        got_us = max(asked_us, self._ready_us) + self._spec.input.get_next_us
        self._taken_us.append(got_us)
        self._tell(parts, begin_us, asked_us, got_us, batch)
        return Taken(self._ready_us, got_us)

    def _tell(self, parts: list[StageCost], begin_us: float, asked_us: float, got_us: float, batch: int) -> None:
        self._event(CONSUMER, "IteratorGetNextOp::DoCompute", asked_us, got_us, ("iter_num", batch))
        self._event(CONSUMER, ROOT, asked_us, got_us, ("id", _id(ROOT)))
        path, thread = ROOT, CONSUMER
        if self._spec.input.prefetch:
            path, thread = f"{ROOT}::Prefetch", PRODUCER
            self._event(CONSUMER, path, asked_us, got_us, ("id", _id(path)), ("parent_id", _id(ROOT)))
            self._event(CONSUMER, "PrefetchConsume", max(asked_us, self._ready_us), got_us, ("element_id", batch))
            self._event(PRODUCER, "PrefetchProduce", begin_us, self._ready_us, ("element_id", batch))
        left_us = self._ready_us - begin_us
        for part in parts:
            # A stage first calls the one before it, then does its own work.
            parent, path = path, f"{path}::{part.name}"
            self._event(thread, path, begin_us, begin_us + left_us, ("id", _id(path)), ("parent_id", _id(parent)))
            if part.name == "ParallelMapV2":
                self._workers(begin_us + left_us - part.own_us, begin_us + left_us)
            left_us -= part.own_us

    def _workers(self, begin_us: float, end_us: float) -> None:
        for worker in range(min(self._spec.input.parallel_calls, self._spec.host.cores)):
            thread = f"tf_data_private_threadpool_{worker}"
            self._event(thread, "InstantiatedCapturedFunction::RunAsync", begin_us, end_us)

    def _event(self, thread: str, name: str, begin_us: float, end_us: float, *stats: tuple[str, int]) -> None:
        if end_us > begin_us:
            self.events.append(HostEvent(thread, name, round(1000 * begin_us), round(1000 * end_us), stats))


def _id(path: str) -> int:
    """Return an iterator's id, the same in every simulation."""
    return zlib.crc32(path.encode()) + 1
