"""The records of what-if: predictions, how well the replay reproduces the trace, and changes without a prediction."""

from __future__ import annotations

from gpuprobe.records import Gain, Record


class Prediction(Record, frozen=True, kw_only=True):
    """The prediction of one change: its step time with a range, and its samples per second over those without it.

    `bound` is the gain if the work that the change reduces took no time ("at most"). `replay_error_fraction` is that of
    the unchanged trace.
    """

    change: str
    step_ms: float
    low_ms: float
    high_ms: float
    gain: Gain
    bound: float
    replay_error_fraction: float
    assumption: str


class Unpredicted(Record, frozen=True, kw_only=True):
    """A change whose gain could not be predicted from this trace, and why."""

    change: str
    reason: str


class Replay(Record, frozen=True, kw_only=True):
    """The replay of a trace, and the predictions of all changes, the largest gain first.

    `measured_ms` is the traced step, from the first start to the device's last end, `replayed_ms` the same in the
    replay. `steady_ms` is the step of a long training like the trace, without the profiler where that was measured:
    gains are relative to it. `refused` says why there are no predictions.
    """

    device: str = ""
    measured_ms: float | None = None
    replayed_ms: float | None = None
    error_fraction: float | None = None
    steady_ms: float | None = None
    predictions: tuple[Prediction, ...] = ()
    unpredicted: tuple[Unpredicted, ...] = ()
    refused: str | None = None

    def of(self, change: str) -> Prediction | None:
        """Return the prediction for a change, None without one; a name without its size stands for the first size."""
        return next((p for p in self.predictions if p.change == change or p.change.startswith(f"{change}_")), None)
