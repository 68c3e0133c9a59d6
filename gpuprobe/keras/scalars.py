"""TensorBoard scalars of the Probe's figures, in a run of their own beside the user's."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

RUN = "gpuprobe"


class Scalars:
    """Writes figures as scalars `gpuprobe/NAME` by TensorBoard's writer; TensorFlow 2.21 does not install it."""

    def __init__(self, logs: str | os.PathLike[str]) -> None:
        from tensorboard.summary import Writer

        self._writer = Writer(str(Path(logs) / RUN))

    def write(self, figures: Mapping[str, float], epoch: int) -> None:
        """Write the figures of an epoch, counted from 0."""
        for name, figure in figures.items():
            self._writer.add_scalar(f"{RUN}/{name}", figure, epoch, wall_time=time.time())
        self._writer.flush()
