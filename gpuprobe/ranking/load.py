"""Reads a study's folder and ranks what is in it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gpuprobe import telemetry
from gpuprobe.errors import InputError
from gpuprobe.ranking.rank import rank
from gpuprobe.recording import TELEMETRY_FILE, load_runs, load_study

if TYPE_CHECKING:
    from pathlib import Path

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


def load(folder: Path) -> Loaded:
    """Read and rank a study. Raises InputError where the folder is none; runs without telemetry are ranked too."""
    study, runs = load_study(folder), load_runs(folder)
    recordings = {path: found for path in runs if (found := _telemetry(path))}
    summaries = {}
    for path, recording in recordings.items():
        window = runs[path].phase("window")
        if window is not None:
            key = (runs[path].spec.round, runs[path].spec.strategy)
            used = settings.gpu_pci_bus_id if (settings := runs[path].settings) else ""
            summaries[key] = telemetry.summarize(recording, window.start_ns, window.end_ns, gpu_pci_bus_id=used)
    return Loaded(folder, study, runs, recordings, rank(study, list(runs.values()), summaries))


def _telemetry(run: Path) -> Telemetry | None:
    try:
        return telemetry.read(run / TELEMETRY_FILE)
    except InputError:
        return None
