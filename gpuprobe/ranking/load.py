"""Reads a study's folder and ranks what is in it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from gpuprobe import telemetry
from gpuprobe.diagnosis.readings.window import readings_in
from gpuprobe.diagnosis.thresholds import DEFAULTS
from gpuprobe.errors import InputError
from gpuprobe.ranking.accounts import traced
from gpuprobe.ranking.rank import rank
from gpuprobe.recording import TELEMETRY_FILE, load_runs, load_study

if TYPE_CHECKING:
    from pathlib import Path

    from gpuprobe.diagnosis.thresholds import Thresholds
    from gpuprobe.ranking.ranking import Ranking
    from gpuprobe.records import Run, Study
    from gpuprobe.telemetry import Telemetry


@dataclass(frozen=True)
class Loaded:
    """A study as it lies on disk: its runs and their telemetry by folder, and the ranking of them."""

    folder: Path
    study: Study
    runs: dict[Path, Run]
    telemetry: dict[Path, Telemetry]
    ranking: Ranking


def load(folder: Path, *, traces: bool = True, limits: Thresholds = DEFAULTS) -> Loaded:
    """Read and rank a study; its traces count unless they are left out, which is faster while a study runs.

    Raises InputError where the folder is none; runs without telemetry or with a damaged trace are ranked too.
    """
    study, runs = load_study(folder), load_runs(folder)
    recordings = {path: found for path in runs if (found := _telemetry(path))}
    summaries, readings = {}, {}
    for path, recording in recordings.items():
        run, window = runs[path], runs[path].phase("window")
        if window is not None:
            used = run.settings.gpu_pci_bus_id if run.settings else ""
            key = (run.spec.round, run.spec.strategy)
            summaries[key] = telemetry.summarize(recording, window.start_ns, window.end_ns, gpu_pci_bus_id=used)
            readings[run.spec.strategy] = readings_in(
                recording, window.start_ns, window.end_ns, environment=study.environment, gpu_pci_bus_id=used
            )
    by_strategy, notes = traced(study, runs) if traces else ({}, ())
    ranking = rank(study, list(runs.values()), summaries, by_strategy, readings, limits)
    ranking = msgspec.structs.replace(ranking, notes=(*ranking.notes, *notes))
    return Loaded(folder, study, runs, recordings, ranking)


def _telemetry(run: Path) -> Telemetry | None:
    try:
        return telemetry.read(run / TELEMETRY_FILE)
    except InputError:
        return None
