"""The replay after a change as a schedule: when every node would run, and not only how long a step takes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from gpuprobe.evidence.breakdown import main_device
from gpuprobe.units import US_PER_MS
from gpuprobe.whatif.base import Base
from gpuprobe.whatif.build import build
from gpuprobe.whatif.graph import HOST
from gpuprobe.whatif.predict import usual_changes
from gpuprobe.whatif.replay import passes_of, run, steady_ms, traced_ms

if TYPE_CHECKING:
    from gpuprobe.ledger.breakdown import Workings
    from gpuprobe.whatif.graph import Floats, Ints
    from gpuprobe.whatif.run_facts import Known


@dataclass(frozen=True)
class Schedule:
    """The steps of a trace after a change, in the steady state.

    `resource` (n,) is as in `Graph`, `work` (n,) of `Work`; `start_us` and `us` (n,) are microseconds after the host
    begins the first of the `calls` of the training function, in time of the untraced training. The next ones begin
    `length_us` later. Where a change affects only some calls, `share` of them (0 to 1) run like this.
    """

    resource: Ints
    work: Ints
    start_us: Floats
    us: Floats
    length_us: float
    calls: int
    share: float


def schedule(workings: Workings, known: Known, change: str) -> Schedule | None:
    """Replay the `main_device` after the change of that id; None where that cannot be replayed."""
    known = msgspec.structs.replace(known, framework=workings.breakdown.framework)
    device = main_device(workings.breakdown)
    made = next((change_tried for change_tried in usual_changes(known, device) if change_tried.id == change), None)
    graph = build(workings, device) if device is not None and made is not None else None
    if graph is None or made is None:
        return None
    base = Base.of(graph, known, traced_ms(graph) / graph.measured_ms - 1)
    share, after = base.after(made.alter)
    us = after.us * base.drift
    ends = run(after, passes_of(after))[-1] * base.drift
    host = after.resource == HOST
    begin = (ends - us)[host].min() if host.any() else (ends - us).min()
    length_us = steady_ms(after) * after.steps * US_PER_MS * base.drift
    return Schedule(after.resource, after.work, ends - us - begin, us, length_us, after.steps, share)
