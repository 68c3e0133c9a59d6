"""What Python calls beside the training function, as signals.

- `other_calls_share`: the share of the step that passes in calls of other functions and in beginning passes over
  datasets, as `predict` and `evaluate` do.
- `other_functions`: the names of the longest of these functions.
- `passes_per_step`: how often such a pass begins.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpuprobe.records import Signal

if TYPE_CHECKING:
    from gpuprobe.ledger.records import DeviceBreakdown, HostBreakdown

NONE = "the trace shows no call of another function than the training function"


def other_calls(host: HostBreakdown, device: DeviceBreakdown) -> list[Signal]:
    """Return the signals of one host, as shares of the step of one of its devices."""
    calls, source = host.other_calls, "trace, calls outside the training function"
    if calls is None:
        return [Signal(name="other_calls_share", unit="of the step", source=source, missing=NONE)]
    steps_ms = [step.step_ms for step in device.each_step] or [device.step_ms]
    share = calls.ms_per_step * len(steps_ms) / sum(steps_ms)
    return [
        Signal(name="other_calls_share", unit="of the step", source=source, value=share),
        Signal(name="other_functions", unit="", source=source, value=", ".join(calls.functions)),
        Signal(name="passes_per_step", unit="a step", source=source, value=calls.passes_per_step),
    ]
