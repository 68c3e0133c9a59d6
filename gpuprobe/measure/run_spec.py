"""How the runs of a study are measured: the spec of each, whether they take turns, and how many warm up at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from gpuprobe.measure.budget import TURNS_WINDOW_S
from gpuprobe.recording import WEIGHTS_FILE

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    from gpuprobe.measure.plan import PlannedRun
    from gpuprobe.records import Combination, RunSpec, StrategyInfo, Study

# The most runs that warm up at once, and the memory that each needs for TensorFlow and its training set.
MOST_WARMING_UP = 3
WARMING_UP_MIB = 4096


class RunSpecs:
    """Makes the specs of a study's runs; `folder` is the study's, `data_folder` that of its images."""

    def __init__(self, study: Study, folder: Path, data_folder: str) -> None:
        self._study, self._data_folder = study, data_folder
        several_backends = any(info.backend not in {"", study.request.backend} for info in study.strategies)
        self._weights_file = str(folder.resolve() / WEIGHTS_FILE) if several_backends else ""

    def spec(self, planned: PlannedRun, share_s: float, chosen: Combination | None, *, in_turns: bool) -> RunSpec:
        """Return the spec of a run that has `share_s` seconds for its window and turns.

        `chosen` is what a search combines in this run. A run that takes turns (`in_turns`) has a short window: the rest
        of its time is for its turns.
        """
        request = self._study.request
        info = next(info for info in self._study.strategies if info.name == planned.strategy)
        combination = chosen if planned.step else None
        return msgspec.structs.replace(
            planned.spec(self._study, self._data_folder),
            window_s=TURNS_WINDOW_S if in_turns else share_s,
            steps=self._fixed_steps(),
            # The traces of one run on several hosts are read together: the newest that each host has.
            trace_steps=request.trace_steps if request.worker_index is None or _spreads(info) else 0,
            combines=combination.changes if combination else (),
            start=combination.start if combination else "" if info.combines else info.against or "",
            backend=info.backend or request.backend,
            shared=self._weights_file,
        )

    def _fixed_steps(self) -> int | None:
        """The number of steps to time where the user fixed it, in steps or in epochs; None where time decides."""
        request = self._study.request
        if request.epochs is None:
            return request.steps
        return max(1, request.epochs * (self._study.train_samples // request.batch_size))


def _spreads(info: StrategyInfo) -> bool:
    return info.scale is not None and info.scale.role == "spread"


def may_take_turns(study: Study, skipped: Collection[str] = ()) -> bool:
    """Whether runs may take turns: several strategies are not skipped, and the number of steps is not fixed."""
    fixed_steps = study.request.steps is not None or study.request.epochs is not None
    # A worker of another host would have to know whose turn it is.
    several = sum(info.name not in skipped for info in study.strategies) > 1
    return not fixed_steps and study.request.worker_index is None and several


def has_turns_window(spec: RunSpec) -> bool:
    """Whether a run has the short window of those that take turns."""
    return spec.window_s == TURNS_WINDOW_S


def most_warming_up(study: Study) -> int:
    """Return how many runs may warm up at once: several on a processor, where tracing uses one core; one on a GPU.

    A run of several workers warms up alone, since it is several processes.
    """
    environment = study.environment
    if environment.gpus or study.request.workers:
        return 1
    return max(1, min(MOST_WARMING_UP, environment.cores, int(environment.memory_mib / WARMING_UP_MIB)))
