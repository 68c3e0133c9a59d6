"""What the first worker of several tells the others in each step, and what these do then (worker only).

The first is measured as a run by itself is. It stops where it likes: the others wait for it in their next step.
"""

from __future__ import annotations

import time
from contextlib import AbstractContextManager, nullcontext
from enum import IntEnum
from typing import TYPE_CHECKING, Any

from gpuprobe.backends.with_tensorflow import TensorFlow

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import keras

    from gpuprobe.measure.cluster import OwnStep


# The last exchange is over for the first worker a moment after it is for the others, which must be there until then.
LINGER_S = 2.0


class Word(IntEnum):
    """What the first worker says; nothing in most steps. A step `aside` only says so, and is none of an epoch's."""

    NOTHING = 0
    TRACE = 1
    ASIDE = 2
    END = 3


class Leading(TensorFlow):
    """TensorFlow as the first worker has it: what it begins, the others begin too.

    They hear of it as a step ends, so that their trace begins a step later, and ends with one that only tells them so.
    It is made before the cluster is, while the GPUs may still be asked.
    """

    def __init__(self) -> None:
        super().__init__()
        self._capability = super().compute_capability()
        self._step: OwnStep | None = None

    def lead(self, step: OwnStep) -> None:
        """Speak through this step from now on."""
        self._step = step

    def compute_capability(self) -> float | None:
        """Return what the first GPU answered."""
        return self._capability

    def wait(self, answer: Any) -> None:
        """Wait for this worker's device; `sync_devices` asks the others too, and fails there."""
        assert self._step is not None
        self._step.heard()

    def start_trace(self, folder: Path, give_way: Callable[[], None]) -> None:
        """Start the profiler here, and tell the others to."""
        assert self._step is not None
        self._step.says = Word.TRACE
        super().start_trace(folder, give_way)

    def stop_trace(self) -> None:
        """Write the trace, and let the others write theirs."""
        super().stop_trace()
        self._tell(Word.ASIDE)

    def end(self) -> None:
        """Let the others end too."""
        self._tell(Word.END)

    def _tell(self, word: Word) -> None:
        assert self._step is not None
        self._step.says = word
        self._step.once_more()
        self._step.heard()
        self._step.says = Word.NOTHING


class Follower:
    """Another worker's part: it trains along, and does what it is told."""

    def __init__(self, step: OwnStep, trace_folder: Path) -> None:
        self._step, self._trace_folder = step, trace_folder
        self._backend = TensorFlow()
        self._tracing = False
        self._calls = 0

    def attach(self, model: keras.Model) -> None:
        """Take the place of the model's train function; training ends when the first worker says so."""

        def follow(iterator: Any) -> dict[str, Any]:
            answer, word = self._take(iterator)
            while word == Word.ASIDE:
                answer, word = self._take(iterator)
            if word == Word.END:
                model.stop_training = True
                time.sleep(LINGER_S)
            return answer

        model.train_function = follow

    def _take(self, iterator: Any) -> tuple[dict[str, Any], int]:
        with self._marker():
            answer = self._step(iterator)
            word = self._step.heard()
        self._calls += 1
        self._trace(wanted=word == Word.TRACE)
        return answer, word

    def _marker(self) -> AbstractContextManager[Any]:
        return self._backend.marker(self._calls) if self._tracing else nullcontext()

    def _trace(self, *, wanted: bool) -> None:
        if wanted and not self._tracing:
            self._backend.start_trace(self._trace_folder, lambda: None)
        elif self._tracing and not wanted:
            self._backend.stop_trace()
        self._tracing = wanted
