"""Late launches in pauses that are too long for the pace of launching: where nearly all are, the cause is not known.

`launch_bound` needs launches. In a long pause no event shows what the host did. It may still be a slow launch if many
others come at the pace; if there are hardly any others, nothing shows that launching takes the time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from gpuprobe.records import Evidence

if TYPE_CHECKING:
    from gpuprobe.records import Signal
    from gpuprobe.thresholds import Thresholds

LATE, OFF, UNKNOWN = "share.launch", "share.off_pace", "share.unattributed"


def without_unpaced_launches(traced: Evidence, limits: Thresholds) -> Evidence:
    """Return a trace's signals, with late launches in long pauses as unattributed if the others are too few to lead."""
    late, off_pace = traced.number(LATE) or 0.0, traced.number(OFF) or 0.0
    # Operations that Python starts one by one have events, however slow it is.
    is_eager = (traced.number("eager_share") or 0.0) >= limits.eager_share
    if is_eager or off_pace <= limits.mostly * late or late - off_pace >= limits.launch_share:
        return traced
    moved = {LATE: late - off_pace, UNKNOWN: (traced.number(UNKNOWN) or 0.0) + off_pace}
    return Evidence(signals=tuple(_with_moved(signal, moved) for signal in traced.signals))


def _with_moved(signal: Signal, moved: dict[str, float]) -> Signal:
    return msgspec.structs.replace(signal, value=moved[signal.name]) if signal.name in moved else signal
