"""Surveys a study's workload under all of its backends, and replaces a default strategy that cannot feed it."""

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
    """The survey of the workload, the strategies of the study, and notes on those that were replaced."""

    survey: Survey
    strategies: tuple[Strategy, ...]
    notes: tuple[str, ...] = ()


def survey_all(
    request: Request, strategies: Sequence[Strategy], searchable: Sequence[Strategy], images: Arrays | None
) -> Surveyed:
    """Survey the workload under the study's strategies and under those that a search may try beside them.

    Raises InputError where the workload cannot be trained at all.
    """
    all_strategies = (*strategies, *searchable)
    why_not_installed = {strategy.name: why for strategy in all_strategies if (why := strategy.lacks(request.backend))}
    if images is not None:
        name = workload_name(request.depth, images.name)
        own_survey = Survey(
            name=name, data=images.name, samples=len(images.x), batch_size=request.batch_size, skip=why_not_installed
        )
        return Surveyed(own_survey, tuple(strategies))
    installed = [strategy for strategy in all_strategies if strategy.name not in why_not_installed]
    replacements = {name: changes()[name] for strategy in strategies if (name := strategy.instead)}
    replacements = {name: strategy for name, strategy in replacements.items() if not strategy.lacks(request.backend)}
    base_survey = _survey_under(request, [*installed, *replacements.values()], "")
    chosen, notes = _with_replacements(strategies, base_survey.skip, replacements)
    installed = [strategy for strategy in (*chosen, *searchable) if strategy.name not in why_not_installed]
    skip = {**base_survey.skip, **why_not_installed}
    for backend in dict.fromkeys(strategy.backend for strategy in installed if strategy.backend):
        skip |= _cannot_under(request, installed, backend)
    return Surveyed(msgspec.structs.replace(base_survey, skip=skip), chosen, notes)


def _with_replacements(
    strategies: Sequence[Strategy], skip: dict[str, str], replacements: dict[str, Strategy]
) -> tuple[tuple[Strategy, ...], tuple[str, ...]]:
    """Put another strategy in the place of one that nobody asked for and that cannot feed the workload.

    Return all strategies, and a note of what was replaced.
    """
    chosen, notes = list(strategies), []
    for strategy in strategies:
        replacement = replacements.get(strategy.instead)
        if replacement is None or strategy.name not in skip or replacement.name in skip:
            continue
        others = [
            replace(other, against=replacement.name) if other.against == strategy.name else other
            for other in chosen
            if other.name != strategy.name
        ]
        chosen = [replacement, *others]
        notes.append(f"`{replacement.name}` feeds this workload, since `{strategy.name}` cannot: {skip[strategy.name]}")
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
