"""The search that finds a combining strategy: greedy, one change at a time, each on top of those kept before it.

It starts from the study's baseline. The change with the largest predicted gain is measured, and kept if it is faster
beyond the noise and the loss stays in the band. The next predictions come from the trace of that run. The search ends
where no change is predicted to gain more than the noise. A step that equals a strategy of the study uses that
strategy's runs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from gpuprobe.ranking.search_records import Promise, Search, SearchStep, Untried
from gpuprobe.ranking.searched import own_runs
from gpuprobe.search.candidates import best, last_kept, name_of, promises, same_as, why_left

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from gpuprobe.ranking.rates import Interval
    from gpuprobe.records import Run
    from gpuprobe.search.candidates import Basis


def go_on(search: Search, known: Basis) -> Search:
    """Judge the steps measured since, and continue to the next run that is needed, or to the end."""
    # Ends, since every iteration tries another of finitely many changes.
    while True:
        search = _judged(search, known)
        pending = next((step for step in search.steps if step.kept is None), None)
        if pending is not None:
            return msgspec.structs.replace(search, following=pending.combines, following_run=pending.run)
        candidates = promises(search, known)
        chosen = best(search, known, candidates)
        if chosen is None:
            return _ended(search, candidates, known)
        search = msgspec.structs.replace(search, steps=(*search.steps, _step(search, chosen, known)))


def as_measured(search: Search, runs: Iterable[Run]) -> Search:
    """Return the search up to the first step whose run is missing; that step and all after it are measured again.

    A run that was interrupted counts as missing. Decisions based on existing runs stay.
    """
    recorded = {run.spec.step for run in own_runs(search.strategy, runs)}
    steps: list[SearchStep] = []
    for step in search.steps:
        if step.run and step.run not in recorded:
            steps.append(
                msgspec.structs.replace(step, samples_per_s=None, gain=None, speedup=None, kept=None, reason="")
            )
            break
        steps.append(step)
    return msgspec.structs.replace(search, steps=tuple(steps), final=0, left=(), following=None, following_run=0)


def _step(search: Search, promise: Promise, known: Basis) -> SearchStep:
    same = same_as(search, promise.change, known)
    return SearchStep(
        change=promise.change,
        combines=(*search.kept, promise.change),
        promise=promise,
        measured_as=same,
        run=0 if same else _next_run(search, known),
    )


def _next_run(search: Search, known: Basis) -> int:
    taken = [run.spec.step for run in own_runs(search.strategy, known.runs.values())]
    return 1 + max([*taken, *(step.run for step in search.steps)], default=0)


def _judged(search: Search, known: Basis) -> Search:
    """Return the search with all measured steps judged."""
    steps: list[SearchStep] = []
    by_number = {run.spec.step: run for run in own_runs(search.strategy, known.runs.values())}
    for step in search.steps:
        name, run = name_of(search, step), by_number.get(step.run)
        if run is not None:
            known.noise.add(name, run)
        if step.kept is None and (run is not None or step.measured_as):
            so_far = msgspec.structs.replace(search, steps=tuple(steps))
            steps.append(_judge(step, name, run, so_far, known))
        else:
            steps.append(step)
    return msgspec.structs.replace(search, steps=tuple(steps), least_gain=known.noise.least_gain(search.start))


def _judge(step: SearchStep, name: str, run: Run | None, so_far: Search, known: Basis) -> SearchStep:
    gain = known.noise.gain(name, last_kept(so_far))
    objection = _why_dropped(run, gain, known.noise.other_loss(name, run.losses if run else None))
    return msgspec.structs.replace(
        step,
        samples_per_s=known.noise.rate(name),
        gain=gain,
        speedup=known.noise.gain(name, so_far.start),
        kept=objection is None,
        reason=objection or "faster beyond the noise",
    )


def _why_dropped(run: Run | None, gain: Interval | None, loss: str | None) -> str | None:
    if run is not None and run.outcome.state != "done":
        state = run.outcome.state.replace("_", " ")
        return f"{state}: {run.outcome.message}" if run.outcome.message else state
    if gain is None:
        return "its window holds too few steps for a rate"
    if loss:
        return loss
    if gain.low > 1:
        return None
    return "slower" if gain.high < 1 else "no gain beyond the noise"


def _ended(search: Search, among: Sequence[Promise], known: Basis) -> Search:
    """End the search, with the reason for each change not tried; the result is measured once more, to detect luck.

    Where nothing was kept the result is the start itself, which then has a row of its own.
    """
    ordered = sorted(among, key=lambda promise: -promise.ratio)
    left = tuple(Untried(promise=promise, reason=why_left(promise, search, known) or "") for promise in ordered)
    ended = msgspec.structs.replace(search, left=left)
    tried = {step.run for step in search.steps}
    again = [run.spec for run in own_runs(search.strategy, known.runs.values()) if run.spec.step not in tried]
    final = next((spec.step for spec in again if spec.combines == search.kept), 0)
    if final:
        return msgspec.structs.replace(ended, final=final)
    return msgspec.structs.replace(ended, following=search.kept, following_run=_next_run(search, known))
