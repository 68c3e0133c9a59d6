"""The options of a watched training, as given to `Probe`, `window` and `steps`, or made by `gpuprobe watch --trace`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gpuprobe.keras.watch_phases import WINDOW_S

if TYPE_CHECKING:
    import os


@dataclass(frozen=True)
class ProbeOptions:
    """The user's options: name and folder of the recording, calls to trace, seconds to time.

    `trace_at` counts calls of the train function from 1; None is right after the timed window, 0 never.
    """

    name: str
    out: str | os.PathLike[str] = "reports"
    trace_steps: int = 5
    trace_at: int | None = None
    window_s: float = WINDOW_S
