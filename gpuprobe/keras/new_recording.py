"""Makes the folder of a watched training's recording, and keeps the records of its study and run there up to date."""

from __future__ import annotations

import os
import shlex
import sys
import time
from datetime import datetime, timezone
from typing import TYPE_CHECKING

import msgspec

from gpuprobe.measure import folder
from gpuprobe.measure.environment import environment
from gpuprobe.recording import SPEC_FILE, STUDY_FILE, run_folder
from gpuprobe.records import Request, RunSpec, StrategyInfo, Study, save
from gpuprobe.tf_config import own_tasks

if TYPE_CHECKING:
    from pathlib import Path

# The name of the one strategy in the study of a watched training.
STRATEGY = "fit"


class NewRecording:
    """The recording of one watched training, in a new folder below `out`: a study of one run.

    Raises OutputError where the folder cannot be made.
    """

    def __init__(self, name: str, out: Path) -> None:
        self.study_folder = folder.make(out, f"{datetime.now(timezone.utc):%Y%m%d-%H%M%S}-{name}")
        self.run_folder = run_folder(self.study_folder, 1, STRATEGY)
        self.run_folder.mkdir(parents=True)
        self.study = _study_of(name, self.study_folder.name)
        tasks = own_tasks(os.environ)
        self.spec = RunSpec(strategy=STRATEGY, round=1, seed=0, batch_size=0, task=tasks.name, ranks=tasks.ranks)

    def save(self) -> None:
        """Write both records."""
        save(self.study, self.study_folder / STUDY_FILE)
        save(self.spec, self.run_folder / SPEC_FILE)

    def save_batch_size(self, batch_size: int, samples_of_epoch: int) -> None:
        """Save the batch size, and the samples of an epoch (0: unknown) if all of its steps held a whole batch."""
        self.spec = msgspec.structs.replace(self.spec, batch_size=batch_size)
        self._set_samples(samples_of_epoch, batch_size, counted=False)
        self.save()

    def save_counted_samples(self, samples: int) -> None:
        """Save the samples of an epoch, counted over a whole one; a count that does not fit its steps is ignored."""
        if 0 <= self.study.epoch_samples - samples < self.study.batch_size:
            self._set_samples(samples, self.study.batch_size, counted=True)
            self.save()

    def _set_samples(self, samples: int, batch_size: int, *, counted: bool) -> None:
        self.study = msgspec.structs.replace(
            self.study, batch_size=batch_size, train_samples=samples, epoch_samples=samples, counted=counted
        )


def _study_of(workload: str, name: str) -> Study:
    return Study(
        name=name,
        created_ns=time.time_ns(),
        command=shlex.join(sys.orig_argv),
        environment=environment(),
        workload=workload,
        data_name="the training's own data",
        data_source="The training's own data, as its author feeds it.",
        batch_size=0,
        train_samples=0,
        epoch_samples=0,
        strategies=(StrategyInfo(name=STRATEGY, sentence="The training as its author wrote it."),),
        # No rounds: a watched training cannot be repeated by `gpuprobe run`.
        request=Request(rounds=0, budget_s=0.0, batch_size=0, seed=0),
    )
