"""How the first of several workers directs the others in each step (worker only).

The first worker is measured like a single run. It may pause anywhere: the others then wait for it in their next step.
"""

from __future__ import annotations

import time
from contextlib import AbstractContextManager, nullcontext
from enum import IntEnum
from typing import TYPE_CHECKING, Any

from gpuprobe.backends.with_tensorflow import TensorFlow
from gpuprobe.errors import in_short
from gpuprobe.records import TraceInfo

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import keras

    from gpuprobe.measure.cluster import OwnStep
    from gpuprobe.measure.event_log import EventLog


# The others wait this long at the end: the last exchange ends a moment later for the first worker.
LINGER_S = 2.0
# How often a follower reports that it still runs; its own host checks this.
TELL_EVERY_S = 1.0


class Word(IntEnum):
    """The first worker's messages; none in most steps.

    A step that carries one is taken for it alone, and is not part of an epoch.
    """

    NOTHING = 0
    TRACE = 1
    STOP = 2
    END = 3


class Leading(TensorFlow):
    """The TensorFlow backend of the first worker: when it begins a trace, the others do too.

    The others get a message as a step ends. Its own trace begins after that step, too. It also holds the step that
    carries the message to stop, so that all traces hold the same steps. Make it before the cluster, while the GPUs can
    still be queried.
    """

    def __init__(self) -> None:
        super().__init__()
        self._capability = super().compute_capability()
        self._step: OwnStep | None = None
        self._marked = 0

    def marker(self, step: int) -> AbstractContextManager[Any]:
        """Mark a step as TensorFlow does."""
        self._marked = step
        return super().marker(step)

    def lead(self, step: OwnStep) -> None:
        """Send messages through this step from now on."""
        self._step = step

    def compute_capability(self) -> float | None:
        """Return the compute capability of the first GPU, read before the cluster was made."""
        return self._capability

    def wait(self, answer: Any) -> None:
        """Wait for this worker's device; `sync_devices` would also ask the other workers, and fails."""
        assert self._step is not None
        self._step.heard()

    def start_trace(self, folder: Path, give_way: Callable[[], None]) -> None:
        """Start the profiler here, and have the others start theirs."""
        self._tell(Word.TRACE)
        super().start_trace(folder, give_way)

    def stop_trace(self) -> None:
        """Write the trace, and have the others write theirs."""
        with self.marker(self._marked + 1):
            self._tell(Word.STOP)
        super().stop_trace()

    def end(self) -> None:
        """Have the others end too."""
        self._tell(Word.END)

    def _tell(self, word: Word) -> None:
        assert self._step is not None
        self._step.says = word
        self._step.once_more()
        self._step.heard()
        self._step.says = Word.NOTHING


class Follower:
    """The part of a worker other than the first: it trains, and follows the first one's messages."""

    def __init__(self, step: OwnStep, trace_folder: Path, log: EventLog) -> None:
        self._step, self._trace_folder, self._log = step, trace_folder, log
        self._told_s = 0.0
        self._backend = TensorFlow()
        self._tracing = False
        self._calls = 0

    def attach(self, model: keras.Model) -> None:
        """Replace the model's train function; training ends by a message of the first worker."""

        def follow(iterator: Any) -> dict[str, Any]:
            answer, word = self._take(iterator)
            while word in {Word.TRACE, Word.STOP}:
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
        self._calls += word == Word.NOTHING
        if time.monotonic() - self._told_s >= TELL_EVERY_S:
            self._told_s = time.monotonic()
            self._log.write("alive", steps=self._calls)
        if word == Word.TRACE:
            self._tracing = self._carry_out("did not start", self._start_trace)
        elif word != Word.NOTHING and self._tracing:
            self._tracing = False
            self._carry_out("saved nothing", self._backend.stop_trace)
        return answer, word

    def _start_trace(self) -> None:
        self._backend.start_trace(self._trace_folder, lambda: None)

    def _carry_out(self, failing: str, work: Callable[[], None]) -> bool:
        """Start or stop the profiler; if that fails, write why: it must not end the run of all workers."""
        try:
            work()
        except Exception as error:  # noqa: BLE001 - the profiler has many errors, of a full disk too
            self._log.write("trace", trace=TraceInfo(path=None, missing=f"the profiler {failing}: {in_short(error)}"))
            return False
        return True

    def _marker(self) -> AbstractContextManager[Any]:
        return self._backend.marker(self._calls) if self._tracing else nullcontext()
