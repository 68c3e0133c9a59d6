"""Late launches that did not come at the pace of launching: where these are nearly all, launching explains none of it.

`launch_bound` needs launches. Pauses that are long for the pace, in which no event shows what the host did, may be
late launches as well where others come at the pace by the side of them. Alone they are not known.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from gpuprobe.records import Evidence

if TYPE_CHECKING:
    from gpuprobe.records import Signal
    from gpuprobe.thresholds import Thresholds

LATE, OFF, UNKNOWN = "share.launch", "share.off_pace", "share.unattributed"


def explained(traced: Evidence, limits: Thresholds) -> Evidence:
    """Return a trace's signals, late launches off the pace as unattributed where the rest is too little to lead."""
    late, off = traced.number(LATE) or 0.0, traced.number(OFF) or 0.0
    # What Python starts one by one is seen, however slowly it does.
    shown = (traced.number("eager_share") or 0.0) >= limits.eager_share
    if shown or off <= limits.mostly * late or late - off >= limits.launch_share:
        return traced
    moved = {LATE: late - off, UNKNOWN: (traced.number(UNKNOWN) or 0.0) + off}
    return Evidence(signals=tuple(_with(signal, moved) for signal in traced.signals))


def _with(signal: Signal, moved: dict[str, float]) -> Signal:
    return msgspec.structs.replace(signal, value=moved[signal.name]) if signal.name in moved else signal
