"""How the first of several workers tells the others in each step what to do (worker only).

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

    from gpuprobe.measure.cluster import CustomTrainFunction
    from gpuprobe.measure.event_log import EventLog


# So long the others stay alive after the last step, whose exchange ends a moment later for the first worker.
LAST_EXCHANGE_S = 2.0
# How often a follower writes that it still runs: on its own host a silent process would be killed.
ALIVE_EVERY_S = 1.0


class LeaderMessage(IntEnum):
    """What the first worker tells the others; in most steps nothing.

    A step with a message is an extra one: it is taken only to send the message, and is not part of an epoch.
    """

    NOTHING = 0
    TRACE = 1
    STOP = 2
    END = 3


class LeaderBackend(TensorFlow):
    """The TensorFlow backend of the first worker: when it begins or ends a trace, the others do too.

    They get the message as an extra step ends, and begin their traces after it; so does this worker. The extra step
    that sends the message to stop is in all traces: in those of the others because the message ends it, in this one by
    a marker of its own. So all traces hold the same steps. Make this object before the cluster, while the GPUs can
    still be queried.
    """

    def __init__(self) -> None:
        super().__init__()
        self._capability = super().compute_capability()
        self._train_function: CustomTrainFunction | None = None
        self._marked_step = 0

    def marker(self, step: int) -> AbstractContextManager[Any]:
        """Mark a step as TensorFlow does."""
        self._marked_step = step
        return super().marker(step)

    def lead(self, train_function: CustomTrainFunction) -> None:
        """Send messages through this train function from now on."""
        self._train_function = train_function

    def compute_capability(self) -> float | None:
        """Return the compute capability of the first GPU, read before the cluster was made."""
        return self._capability

    def wait(self, answer: Any) -> None:
        """Wait for this worker's device; `sync_devices` would also ask the other workers, and fails."""
        assert self._train_function is not None
        self._train_function.received_message()

    def start_trace(self, folder: Path, give_way: Callable[[], None]) -> None:
        """Start the profiler here, and have the others start theirs."""
        self._send(LeaderMessage.TRACE)
        super().start_trace(folder, give_way)

    def stop_trace(self) -> None:
        """Write the trace, and have the others write theirs."""
        with self.marker(self._marked_step + 1):
            self._send(LeaderMessage.STOP)
        super().stop_trace()

    def end(self) -> None:
        """Have the others end too."""
        self._send(LeaderMessage.END)

    def _send(self, message: LeaderMessage) -> None:
        assert self._train_function is not None
        self._train_function.message = message
        self._train_function.extra_step()
        self._train_function.received_message()
        self._train_function.message = LeaderMessage.NOTHING


class Follower:
    """The part of a worker other than the first: it trains, and follows the first one's messages."""

    def __init__(self, train_function: CustomTrainFunction, trace_folder: Path, log: EventLog) -> None:
        self._train_function, self._trace_folder, self._log = train_function, trace_folder, log
        self._alive_written_s = 0.0
        self._backend = TensorFlow()
        self._tracing = False
        self._calls = 0

    def attach(self, model: keras.Model) -> None:
        """Replace the model's train function; the first worker's message ends the training."""

        def following_train_function(iterator: Any) -> dict[str, Any]:
            answer, message = self._train_step(iterator)
            while message in {LeaderMessage.TRACE, LeaderMessage.STOP}:
                answer, message = self._train_step(iterator)
            if message == LeaderMessage.END:
                model.stop_training = True
                time.sleep(LAST_EXCHANGE_S)
            return answer

        model.train_function = following_train_function

    def _train_step(self, iterator: Any) -> tuple[dict[str, Any], int]:
        with self._marker():
            answer = self._train_function(iterator)
            message = self._train_function.received_message()
        self._calls += message == LeaderMessage.NOTHING
        if time.monotonic() - self._alive_written_s >= ALIVE_EVERY_S:
            self._alive_written_s = time.monotonic()
            self._log.write("alive", steps=self._calls)
        if message == LeaderMessage.TRACE:
            self._tracing = self._carry_out("did not start", self._start_trace)
        elif message != LeaderMessage.NOTHING and self._tracing:
            self._tracing = False
            self._carry_out("saved nothing", self._backend.stop_trace)
        return answer, message

    def _start_trace(self) -> None:
        self._backend.start_trace(self._trace_folder, lambda: None)

    def _carry_out(self, what_failed: str, profiler_call: Callable[[], None]) -> bool:
        """Start or stop the profiler; where that fails, write why: the error must not end the run of all workers."""
        try:
            profiler_call()
        except Exception as error:  # noqa: BLE001 - the profiler has many errors, of a full disk too
            self._log.write(
                "trace", trace=TraceInfo(path=None, missing=f"the profiler {what_failed}: {in_short(error)}")
            )
            return False
        return True

    def _marker(self) -> AbstractContextManager[Any]:
        return self._backend.marker(self._calls) if self._tracing else nullcontext()
