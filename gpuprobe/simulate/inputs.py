"""The input pipeline:

workers prepare batches in order, ahead up to the prefetch buffer's size, and the training takes them.
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
