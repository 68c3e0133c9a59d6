"""What removing each flaw saves in the simulator itself, and so which cause of a session is the primary one.

Nothing here knows how a diagnosis decides: a cause is what a counterfactual says, the same session run again without
that one flaw. The two numbers below are the definition's, and no rule of the diagnosis has them.
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

# Below so much of the time no flaw counts: the session is healthy. Savings that differ by less than so much of the
# larger one tie, that least one included.
LEAST, TIE = 1 / 20, 1 / 10
NOTHING = "compute_bound"


def time_ms(spec: Spec, *, traced: bool) -> float:
    """Return what one step of the run takes, with its share of all that surrounds the steps.

    `traced` asks for the steps that the trace shows, not for those of a long training.
    """
    steps = replace(spec, run=WholeRun())
    return (simulate(steps).recorded.step_ms if traced else steady_ms(steps)) + spec.run.ms_per_step


def savings(spec: Spec, unseen: frozenset[str] = frozenset()) -> dict[str, float]:
    """Return the share of the time that goes with each flaw, from the largest on; 0 where removing it gains nothing.

    Work that is done once costs a long training nothing, and only the trace much: there the traced steps are compared.
    Where flaws hide each other, such that no removal saves anything that counts and all together do, each counts for
    what it alone costs a session without the others. Causes that are `unseen` are taken for work of the network.
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
    """Return what each flaw costs with all others removed; None where all of them together cost nothing that counts."""
    none_ms = time_ms(without(spec, tuple(names)), traced=traced)
    if 1 - none_ms / now_ms < LEAST:
        return None
    only = {cause: without(spec, tuple(name for name in names if name != cause)) for cause in names}
    return {cause: max(0.0, time_ms(left, traced=traced) - none_ms) / now_ms for cause, left in only.items()}


def accepted(saved: Mapping[str, float]) -> tuple[str, ...]:
    """Return the causes that nobody could fault, the primary one first: the largest saving, and what ties with it."""
    ranked = sorted((*saved.items(), (NOTHING, LEAST)), key=lambda pair: -pair[1])
    most = ranked[0][1]
    return tuple(cause for cause, share in ranked if share >= (1 - TIE) * most)
