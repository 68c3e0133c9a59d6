"""Measures in the simulator what removing each flaw saves, and so which cause of a session is the primary one.

It is independent of how a diagnosis decides: the cost of a cause is a counterfactual, the same session simulated
without that one flaw. The two thresholds below are part of this definition; no rule of the diagnosis uses them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from gpuprobe.simulate.engine import simulate, steady_ms
from gpuprobe.simulate.removal import REMOVALS, removable, without
from gpuprobe.simulate.spec import WholeRun

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gpuprobe.simulate.spec import Spec

# A session is healthy where no flaw costs at least LEAST of the time. Savings tie where they differ by less than TIE of
# the larger one; a healthy verdict ties with them as a saving of LEAST would.
LEAST, TIE = 1 / 20, 1 / 10
NOTHING = "compute_bound"


def time_ms(spec: Spec, *, traced: bool) -> float:
    """Return the ms of one step, plus its share of all the run's time outside steps.

    With `traced` the steps are those in the trace, else those of a long training.
    """
    steps = replace(spec, run=WholeRun())
    return (simulate(steps).recorded.step_ms if traced else steady_ms(steps)) + spec.run.ms_per_step


def savings(spec: Spec, unseen: frozenset[str] = frozenset()) -> dict[str, float]:
    """Return the share of the time (0 to 1) that removing each flaw saves, by cause, the largest first.

    One-time work costs a long training nothing, but much of a trace: where there is any, the traced steps are compared.
    Flaws may hide each other, so that no single removal saves LEAST, but all together do; then each counts for its cost
    in a session without the others. Causes in `unseen` count as work of the network.
    """
    traced = spec.host.once_ms > 0
    now_ms = time_ms(spec, traced=traced)
    names = [removal.cause for removal in removable(spec) if removal.cause not in unseen]
    without_ms = {cause: time_ms(without(spec, (cause,)), traced=traced) for cause in names}
    for removal in REMOVALS:
        inner = removal.contains
        if removal.cause in without_ms and inner in without_ms:
            both_ms = time_ms(without(spec, (removal.cause, inner)), traced=traced)
            without_ms[removal.cause] = now_ms - max(0.0, without_ms[inner] - both_ms)
    saved = {cause: max(0.0, 1 - then_ms / now_ms) for cause, then_ms in without_ms.items()}
    if max(saved.values(), default=0.0) < LEAST:
        saved = _alone(spec, names, now_ms, traced=traced) or saved
    return dict(sorted(saved.items(), key=lambda pair: -pair[1]))


def _alone(spec: Spec, names: list[str], now_ms: float, *, traced: bool) -> dict[str, float] | None:
    """Return the share that each flaw costs with all others removed; None where all together cost less than LEAST."""
    none_ms = time_ms(without(spec, tuple(names)), traced=traced)
    if 1 - none_ms / now_ms < LEAST:
        return None
    only = {cause: without(spec, tuple(name for name in names if name != cause)) for cause in names}
    return {cause: max(0.0, time_ms(left, traced=traced) - none_ms) / now_ms for cause, left in only.items()}


def accepted(saved: Mapping[str, float]) -> tuple[str, ...]:
    """Return the causes that count as correct answers: the one with the largest saving, then those that tie with it."""
    ranked = sorted((*saved.items(), (NOTHING, LEAST)), key=lambda pair: -pair[1])
    most = ranked[0][1]
    return tuple(cause for cause, share in ranked if share >= (1 - TIE) * most)
