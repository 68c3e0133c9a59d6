"""The greedy search for a combining strategy: it tries one change at a time, on top of those kept before it.

It starts from the study's baseline. The change with the largest predicted gain is measured, and kept if it is faster
beyond the noise of all tries together and the loss stays in the band. The next predictions come from the trace of that
run. The search ends where no change is predicted to gain more than the noise. A step that equals a strategy of the
study uses that strategy's runs, and is judged as the study's ranking judges it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from gpuprobe.ranking.search_records import ExpectedGain, Search, SearchStep, Untried
from gpuprobe.ranking.search_runs import runs_of_search
from gpuprobe.search.allowed_error import allowed_error
from gpuprobe.search.candidates import (
    best_change,
    equal_strategy,
    expected_gains,
    rate_name,
    rate_name_of_kept,
    why_untried,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from gpuprobe.ranking.comparisons import Beyond
    from gpuprobe.ranking.rates import Interval
    from gpuprobe.records import Run
    from gpuprobe.search.candidates import SearchBasis


def continue_search(search: Search, basis: SearchBasis) -> Search:
    """Judge the changes measured since the last call, and go on to the next run to measure, or to the end."""
    # Ends, since every iteration tries another of finitely many changes.
    while True:
        search = _judge_measured(search, basis)
        unmeasured = next((step for step in search.steps if step.kept is None), None)
        if unmeasured is not None:
            return msgspec.structs.replace(search, following=unmeasured.combines, following_run=unmeasured.run)
        candidates = expected_gains(search, basis)
        best_candidate = best_change(search, basis, candidates)
        if best_candidate is None:
            return _end(search, candidates, basis)
        search = msgspec.structs.replace(search, steps=(*search.steps, _step(search, best_candidate, basis)))


def without_missing_runs(search: Search, runs: Iterable[Run]) -> Search:
    """Return the search up to the first change whose run is missing, which is to be measured again; later ones go.

    A run that was interrupted counts as missing. Decisions based on existing runs stay.
    """
    recorded = {run.spec.step for run in runs_of_search(search.strategy, runs)}
    steps: list[SearchStep] = []
    for step in search.steps:
        if step.run and step.run not in recorded:
            steps.append(
                msgspec.structs.replace(step, samples_per_s=None, gain=None, speedup=None, kept=None, reason="")
            )
            break
        steps.append(step)
    return msgspec.structs.replace(search, steps=tuple(steps), final=0, left=(), following=None, following_run=0)


def _step(search: Search, expected: ExpectedGain, basis: SearchBasis) -> SearchStep:
    equal = equal_strategy(search, expected.change, basis)
    return SearchStep(
        change=expected.change,
        combines=(*search.kept, expected.change),
        expected=expected,
        measured_as=equal,
        run=0 if equal else _next_run(search, basis),
    )


def _next_run(search: Search, basis: SearchBasis) -> int:
    taken_numbers = [run.spec.step for run in runs_of_search(search.strategy, basis.runs.values())]
    return 1 + max([*taken_numbers, *(step.run for step in search.steps)], default=0)


def _judge_measured(search: Search, basis: SearchBasis) -> Search:
    """Return the search with all changes judged that were measured."""
    steps: list[SearchStep] = []
    run_by_number = {run.spec.step: run for run in runs_of_search(search.strategy, basis.runs.values())}
    for step in search.steps:
        name, run = rate_name(search, step), run_by_number.get(step.run)
        if run is not None:
            basis.rates.add(name, run)
        if step.kept is None and (run is not None or step.measured_as):
            search_so_far = msgspec.structs.replace(search, steps=tuple(steps))
            steps.append(_judge_step(step, name, run, search_so_far, basis))
        else:
            steps.append(step)
    search = msgspec.structs.replace(search, steps=tuple(steps))
    return msgspec.structs.replace(search, least_gain=basis.rates.least_gain(search.start, allowed_error(search)))


def _judge_step(step: SearchStep, name: str, run: Run | None, search_so_far: Search, basis: SearchBasis) -> SearchStep:
    before = rate_name_of_kept(search_so_far)
    gain, beyond = basis.rates.gain(name, before), basis.rates.beyond(name, before, allowed_error(search_so_far))
    why_dropped = _why_dropped(run, gain, beyond, basis.rates.loss_difference(name, run.losses if run else None))
    return msgspec.structs.replace(
        step,
        samples_per_s=basis.rates.rate(name),
        gain=gain,
        speedup=basis.rates.gain(name, search_so_far.start),
        kept=why_dropped is None,
        reason=why_dropped or "faster beyond the noise",
    )


def _why_dropped(run: Run | None, gain: Interval | None, beyond: Beyond, loss_difference: str | None) -> str | None:
    if run is not None and run.outcome.state != "done":
        state = run.outcome.state.replace("_", " ")
        return f"{state}: {run.outcome.message}" if run.outcome.message else state
    if gain is None:
        return "its window holds too few steps for a rate"
    if loss_difference:
        return loss_difference
    if beyond == "faster":
        return None
    return "slower" if beyond == "slower" else "no gain beyond the noise"


def _end(search: Search, candidates: Sequence[ExpectedGain], basis: SearchBasis) -> Search:
    """End the search, with the reason for each change not tried.

    The kept changes are measured once more, since the gain that chose them may be luck. Where nothing was kept, that
    run measures the start itself, so that the search's strategy has a row in any case.
    """
    ordered = sorted(candidates, key=lambda expected: -expected.ratio)
    untried = tuple(
        Untried(expected=expected, reason=why_untried(expected, search, basis) or "") for expected in ordered
    )
    ended = msgspec.structs.replace(search, left=untried)
    tried = {step.run for step in search.steps}
    other_specs = [
        run.spec for run in runs_of_search(search.strategy, basis.runs.values()) if run.spec.step not in tried
    ]
    final_run = next((spec.step for spec in other_specs if spec.combines == search.kept), 0)
    if final_run:
        return msgspec.structs.replace(ended, final=final_run)
    return msgspec.structs.replace(ended, following=search.kept, following_run=_next_run(search, basis))
