"""The command line that measures a strategy of a study again."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from gpuprobe.backends.known import TENSORFLOW

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gpuprobe.records import Request, Study


def measured_again(study: Study, strategy: str) -> str:
    """Return the command that measures a strategy and the one that it is compared with again; empty if simulated.

    A strategy that combines others needs all of the study's, to choose from. A watched training is repeated by the
    command of its user alone.
    """
    request = study.request
    if study.environment.simulated:
        return ""
    if not request.rounds:
        return study.command
    strategy_info = next(strategy_info for strategy_info in study.strategies if strategy_info.name == strategy)
    compared_strategies = [
        other_info.name
        for other_info in study.strategies
        if strategy_info.combines or other_info.name in {strategy_info.against, strategy}
    ]
    run_command = [
        "gpuprobe",
        "run",
        *_selection(request, compared_strategies),
        "--batch-size",
        str(request.batch_size),
    ]
    run_command += (
        ["--model", request.model] if request.model else ["--depth", str(request.depth), "--data", request.data]
    )
    run_command += _backend(study, compared_strategies)
    run_command += ["--seed", str(request.seed), "--rounds", str(request.rounds)]
    if request.samples:
        run_command += ["--samples", str(request.samples)]
    if request.steps:
        run_command += ["--steps", str(request.steps)]
    if request.epochs:
        run_command += ["--epochs", str(request.epochs)]
    for fault in request.inject:
        run_command += ["--inject", fault]
    return shlex.join(run_command)


def _backend(study: Study, strategies: Sequence[str]) -> list[str]:
    """Return what names the backend, nothing for the one that a study has where none is named."""
    if any(info.backend for info in study.strategies if info.name in strategies):
        return ["--backend", "all"]
    return ["--backend", study.request.backend] if study.request.backend != TENSORFLOW else []


def _selection(request: Request, strategies: Sequence[str]) -> list[str]:
    service = ["--data-service", str(request.data_service)] if request.data_service else []
    if not request.devices and not request.workers:
        named_strategies = [strategy for strategy in strategies if strategy != f"data_service_{request.data_service}"]
        return ["--strategies", ",".join(named_strategies), *service]
    link = ["--link", f"{request.link_gb_per_s:g}"] if request.link_gb_per_s else []
    scaling = ["--scaling", "weak"] if request.weak else []
    option = "--devices" if request.devices else "--workers"
    return [option, ",".join(map(str, request.devices or request.workers)), *scaling, *link, *service]
