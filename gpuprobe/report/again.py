"""The command line that measures a strategy of a study again."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

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
    info = next(info for info in study.strategies if info.name == strategy)
    chosen = [other.name for other in study.strategies if info.combines or other.name in {info.against, strategy}]
    words = ["gpuprobe", "run", *_selection(request, chosen), "--batch-size", str(request.batch_size)]
    words += ["--model", request.model] if request.model else ["--depth", str(request.depth), "--data", request.data]
    words += ["--seed", str(request.seed), "--rounds", str(request.rounds)]
    if request.samples:
        words += ["--samples", str(request.samples)]
    if request.steps:
        words += ["--steps", str(request.steps)]
    if request.epochs:
        words += ["--epochs", str(request.epochs)]
    for fault in request.inject:
        words += ["--inject", fault]
    return shlex.join(words)


def _selection(request: Request, strategies: Sequence[str]) -> list[str]:
    service = ["--data-service", str(request.data_service)] if request.data_service else []
    if not request.devices and not request.workers:
        named = [name for name in strategies if name != f"data_service_{request.data_service}"]
        return ["--strategies", ",".join(named), *service]
    link = ["--link", f"{request.link_gb_per_s:g}"] if request.link_gb_per_s else []
    scaling = ["--scaling", "weak"] if request.weak else []
    option = "--devices" if request.devices else "--workers"
    return [option, ",".join(map(str, request.devices or request.workers)), *scaling, *link, *service]
