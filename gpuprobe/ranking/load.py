"""Reads a study's folder and ranks its runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from gpuprobe import telemetry
from gpuprobe.diagnosis.case import UNTRACED
from gpuprobe.diagnosis.recorded import readings_of
from gpuprobe.errors import InputError
from gpuprobe.evidence.readings.window import as_read
from gpuprobe.ranking.rank import rank
from gpuprobe.ranking.ranking import Ranking, SharedResults
from gpuprobe.ranking.search_records import Search
from gpuprobe.ranking.search_runs import runs_of_search
from gpuprobe.ranking.traced import traced
from gpuprobe.recording import (
    RANKING_FILE,
    TELEMETRY_FILE,
    TRACE_LEFT_OUT,
    load_runs,
    load_study,
    search_file,
    without_folder,
)
from gpuprobe.records import load as load_record
from gpuprobe.thresholds import DEFAULTS

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from gpuprobe.records import Run, Study
    from gpuprobe.telemetry import Telemetry
    from gpuprobe.thresholds import Thresholds


@dataclass(frozen=True)
class Loaded:
    """A study read from disk: its runs and their telemetry by folder, and the ranking.

    Of a search's runs only the last one with the kept changes is in `runs`; `ranking.searches` describes the others.
    """

    folder: Path
    study: Study
    runs: dict[Path, Run]
    telemetry: dict[Path, Telemetry]
    ranking: Ranking


def load(folder: Path, *, traces: bool = True, limits: Thresholds = DEFAULTS) -> Loaded:
    """Read and rank a study, with its traces unless `traces` is false, which is faster while a study runs.

    Raises InputError where the folder is no study; runs without telemetry or with a damaged trace are ranked too.
    """
    study, all_runs = load_study(folder), load_runs(folder)
    searches, search_notes = _searches(study, folder)
    runs = {path: run for path, run in all_runs.items() if _counts_in_ranking(run, all_runs, searches)}
    recordings, telemetry_notes = _recordings(runs)
    telemetry_by_run, readings = {}, {}
    for path, recording in recordings.items():
        run, window = runs[path], runs[path].phase("window")
        if window is not None:
            gpu_pci_bus_id = run.settings.gpu_pci_bus_id if run.settings else ""
            key = (run.spec.round, run.spec.strategy)
            summary = telemetry.summarize(recording, window.start_ns, window.end_ns, gpu_pci_bus_id=gpu_pci_bus_id)
            evidence = readings_of(recording, run, UNTRACED, study, limits)
            telemetry_by_run[key] = as_read(summary, evidence) if evidence else summary
            readings[run.spec.strategy] = evidence
    traces_by_strategy, trace_notes = traced(study, runs, recordings, limits) if traces else ({}, ())
    ranking = rank(study, list(runs.values()), telemetry_by_run, traces_by_strategy, readings, limits)
    ranking = msgspec.structs.replace(
        ranking, searches=searches, notes=(*ranking.notes, *search_notes, *telemetry_notes, *trace_notes)
    )
    if traces and any(run.trace is not None and run.trace.missing == TRACE_LEFT_OUT for run in runs.values()):
        ranking = _with_shared_results(ranking, folder)
    return Loaded(folder, study, runs, recordings, ranking)


def _with_shared_results(ranking: Ranking, folder: Path) -> Ranking:
    """For a shared copy without traces, take their results from its report."""
    try:
        shared_results = load_record(SharedResults, folder / RANKING_FILE)
    except InputError as error:
        return msgspec.structs.replace(ranking, notes=(*ranking.notes, f"The results of the traces are lost: {error}."))
    breakdowns = {row.strategy: row.breakdown for row in shared_results.rows}
    shared_fields = set(SharedResults.__struct_fields__) - {"schema", "rows"}
    return msgspec.structs.replace(
        ranking,
        rows=tuple(msgspec.structs.replace(row, breakdown=breakdowns.get(row.strategy)) for row in ranking.rows),
        **{name: getattr(shared_results, name) for name in shared_fields},
    )


def _searches(study: Study, folder: Path) -> tuple[tuple[Search, ...], list[str]]:
    """Read the searches of a study, and notes on those that cannot be read."""
    searches, notes = [], []
    for info in study.strategies:
        file = search_file(folder, info.name)
        if info.combines and file.is_file():
            try:
                searches.append(load_record(Search, file))
            except InputError as error:
                notes.append(f"The search for `{info.name}` is lost: {without_folder(error, folder)}.")
    return tuple(searches), notes


def _counts_in_ranking(run: Run, all_runs: Mapping[Path, Run], searches: tuple[Search, ...]) -> bool:
    """Whether a run counts in the ranking: of a search, only the last run with the kept changes does."""
    if not run.spec.step:
        return True
    kept = next((search.kept for search in searches if search.strategy == run.spec.strategy), None)
    finished_runs = [
        other for other in runs_of_search(run.spec.strategy, all_runs.values()) if other.outcome.state == "done"
    ]
    steps_with_kept_changes = [
        other.spec.step for other in finished_runs if kept is None or other.spec.combines == kept
    ]
    return run.spec.step == max(steps_with_kept_changes, default=0)


def _recordings(runs: Mapping[Path, Run]) -> tuple[dict[Path, Telemetry], list[str]]:
    """Read the telemetry of the runs, and notes on those whose telemetry cannot be read."""
    recordings, notes = {}, []
    for path, run in runs.items():
        if (path / TELEMETRY_FILE).exists():
            try:
                recordings[path] = telemetry.read(path / TELEMETRY_FILE)
            except InputError as error:
                which_run = f"`{run.spec.strategy}`, round {run.spec.round}"
                notes.append(f"The telemetry of {which_run}, is left out: {without_folder(error, path)}.")
    return recordings, notes
