"""Surveys a study's workload under all of its backends, and chooses a feed for it where nobody asked for one."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import msgspec

from gpuprobe.errors import InputError
from gpuprobe.measure.survey import Question, Survey, survey
from gpuprobe.strategies.registry import changes
from gpuprobe.workloads.cifar import workload_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gpuprobe.records import Request
    from gpuprobe.strategies.registry import Strategy
    from gpuprobe.workloads.arrays import Arrays


@dataclass(frozen=True)
class Surveyed:
    """What the workload is, why some strategies cannot apply to it, and the strategies that the study has."""

    survey: Survey
    strategies: tuple[Strategy, ...]
    notes: tuple[str, ...] = ()


def survey_all(
    request: Request, strategies: Sequence[Strategy], searchable: Sequence[Strategy], images: Arrays | None
) -> Surveyed:
    """Survey the workload, under the strategies and what a search may try beside them.

    Raises InputError where it cannot be trained at all.
    """
    every = (*strategies, *searchable)
    lacks = {strategy.name: why for strategy in every if (why := strategy.lacks(request.backend))}
    if images is not None:
        name = workload_name(request.depth, images.name)
        known = Survey(name=name, data=images.name, samples=len(images.x), batch_size=request.batch_size, skip=lacks)
        return Surveyed(known, tuple(strategies))
    installed = [strategy for strategy in every if strategy.name not in lacks]
    stands_in = {name: changes()[name] for strategy in strategies if (name := strategy.instead)}
    spare = [entry for entry in stands_in.values() if not entry.lacks(request.backend)]
    base = _survey_under(request, [*installed, *spare], "")
    chosen, notes = _fed(strategies, base.skip, {entry.name: entry for entry in spare})
    installed = [strategy for strategy in (*chosen, *searchable) if strategy.name not in lacks]
    skip = {**base.skip, **lacks}
    for backend in dict.fromkeys(strategy.backend for strategy in installed if strategy.backend):
        skip |= _cannot_under(request, installed, backend)
    return Surveyed(msgspec.structs.replace(base, skip=skip), chosen, notes)


def _fed(
    strategies: Sequence[Strategy], skip: dict[str, str], spare: dict[str, Strategy]
) -> tuple[tuple[Strategy, ...], tuple[str, ...]]:
    """Put another strategy in the place of one that nobody asked for and that cannot feed the workload.

    Return all strategies, and a note of what was replaced.
    """
    chosen, notes = list(strategies), []
    for strategy in strategies:
        other = spare.get(strategy.instead)
        if other is None or strategy.name not in skip or other.name in skip:
            continue
        kept = [
            replace(each, against=other.name) if each.against == strategy.name else each
            for each in chosen
            if each.name != strategy.name
        ]
        chosen = [other, *kept]
        notes.append(f"`{other.name}` feeds this workload, since `{strategy.name}` cannot: {skip[strategy.name]}")
    return tuple(chosen), tuple(notes)


def _survey_under(request: Request, strategies: Sequence[Strategy], backend: str) -> Survey:
    """Survey the workload under the strategies that name this backend; those that name none (empty) use the study's."""
    question = Question(
        model=request.model,
        batch_size=request.batch_size or None,
        strategies=tuple(strategy.name for strategy in strategies if strategy.backend == backend),
        backend=backend or request.backend,
        against={strategy.name: strategy.against or "" for strategy in strategies},
    )
    return survey(question, request.limit_s)


def _cannot_under(request: Request, strategies: Sequence[Strategy], backend: str) -> dict[str, str]:
    """Return, by strategy, why those of another backend cannot train the workload."""
    try:
        return _survey_under(request, strategies, backend).skip
    except InputError as error:
        return {strategy.name: str(error) for strategy in strategies if strategy.backend == backend}
