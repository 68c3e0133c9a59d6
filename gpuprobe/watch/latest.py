"""The newest values of a recording that is being written, for the live view and for scrapers."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from gpuprobe.telemetry.follow import STALE_AFTER_NS, Follower

if TYPE_CHECKING:
    from pathlib import Path


class Latest:
    """Follows a recording; a value that has not been read for some seconds is left out."""

    def __init__(self, path: Path) -> None:
        self._follower = Follower(path)
        self._follower.skip_to_tail()

    def look(self) -> None:
        """Take in what was written since the last look."""
        self._follower.look()

    @property
    def t_ns(self) -> int | None:
        """When the newest value was read, or None where none was."""
        return max((t_ns for t_ns, _ in self._follower.latest.values()), default=None)

    @property
    def values(self) -> dict[str, float]:
        """The values of all columns that were read in the last seconds of the recording."""
        newest = self.t_ns or 0
        return {name: value for name, (t_ns, value) in self._follower.latest.items() if newest - t_ns <= STALE_AFTER_NS}

    @property
    def gpus(self) -> tuple[int, ...]:
        """The numbers of the GPUs with a recent value."""
        return tuple(sorted({int(match[1]) for name in self.values if (match := re.match(r"gpu(\d+)_", name))}))

    def rate(self, name: str) -> float | None:
        """Return how fast a counter grew between its last two readings, per second."""
        return self._follower.rate(name)
