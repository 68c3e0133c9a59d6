"""What a trace shows, whether or not a step is found in it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


class ShownGpu(NamedTuple):
    """A GPU of a trace, with how much of its work is there."""

    name: str
    kernels: int
    copies: int


@dataclass(frozen=True)
class Shown:
    """What a trace shows, whether or not a step is found in it: its GPUs, the devices that are not read, whether
    anything happened on a host, and how often work was launched that no device shows.
    """

    gpus: tuple[ShownGpu, ...]
    others: tuple[str, ...]
    events: bool
    launched: int

    @property
    def worked(self) -> bool:
        """Whether a GPU did anything."""
        return any(gpu.kernels or gpu.copies for gpu in self.gpus)
