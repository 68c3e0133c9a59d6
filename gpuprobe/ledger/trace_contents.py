"""What a trace shows apart from its steps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


class GpuContents(NamedTuple):
    """A GPU of a trace, with the number of its kernels and copies."""

    name: str
    kernels: int
    copies: int


@dataclass(frozen=True)
class TraceContents:
    """What a trace shows, whether or not it has a step.

    These are its GPUs, the names of `others` (devices that are not read), whether a host has `events`, and how often
    work was `launched` that no device shows.
    """

    gpus: tuple[GpuContents, ...]
    others: tuple[str, ...]
    events: bool
    launched: int

    @property
    def worked(self) -> bool:
        """Whether a GPU did anything."""
        return any(gpu.kernels or gpu.copies for gpu in self.gpus)
