"""The records of what-if: what each change would give, how well the replay gives what was, and what it cannot say."""

from __future__ import annotations

from gpuprobe.records import Gain, Record


class Prediction(Record, frozen=True, kw_only=True):
    """What one change would give: the step then, its range, and the ratio of samples per second then and now.

    `bound` is the gain if what the change makes less of went altogether. `replay_error_fraction` is that of the trace.
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
    """A change that has nothing to work on in this trace, and why."""

    change: str
    reason: str


class Replay(Record, frozen=True, kw_only=True):
    """How a trace replays, and what each change would give, the largest gain first.

    `measured_ms` is the traced step from the first begin to the device's last end, `replayed_ms` the same from the
    replay; `steady_ms` is the step of a long training that goes on like this, without the profiler where that was
    measured: what gains are counted from. `refused` says why there are no predictions.
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
        """Return the prediction for that change, or for the first whose name goes on with an underscore; or None."""
        return next((p for p in self.predictions if p.change == change or p.change.startswith(f"{change}_")), None)
