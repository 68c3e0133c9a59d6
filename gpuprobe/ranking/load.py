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
from gpuprobe.ranking.ranking import Ranking, Told
from gpuprobe.ranking.search_records import Search
from gpuprobe.ranking.searched import own_runs
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

    Of a search's steps only the one kept last is among the runs; the ranking describes the others.
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
    study, recorded = load_study(folder), load_runs(folder)
    searches, lost = _searches(study, folder)
    runs = {path: run for path, run in recorded.items() if _counts(run, recorded, searches)}
    recordings, troubles = _recordings(runs)
    summaries, readings = {}, {}
    for path, recording in recordings.items():
        run, window = runs[path], runs[path].phase("window")
        if window is not None:
            used = run.settings.gpu_pci_bus_id if run.settings else ""
            key = (run.spec.round, run.spec.strategy)
            summary = telemetry.summarize(recording, window.start_ns, window.end_ns, gpu_pci_bus_id=used)
            evidence = readings_of(recording, run, UNTRACED, study, limits)
            summaries[key] = as_read(summary, evidence) if evidence else summary
            readings[run.spec.strategy] = evidence
    by_strategy, notes = traced(study, runs, recordings, limits) if traces else ({}, ())
    ranking = rank(study, list(runs.values()), summaries, by_strategy, readings, limits)
    ranking = msgspec.structs.replace(ranking, searches=searches, notes=(*ranking.notes, *lost, *troubles, *notes))
    if traces and any(run.trace is not None and run.trace.missing == TRACE_LEFT_OUT for run in runs.values()):
        ranking = _with_shared_results(ranking, folder)
    return Loaded(folder, study, runs, recordings, ranking)


def _with_shared_results(ranking: Ranking, folder: Path) -> Ranking:
    """For a shared copy without traces, take their results from its report."""
    try:
        shared = load_record(Told, folder / RANKING_FILE)
    except InputError as error:
        return msgspec.structs.replace(ranking, notes=(*ranking.notes, f"The results of the traces are lost: {error}."))
    breakdowns = {row.strategy: row.breakdown for row in shared.rows}
    names = set(Told.__struct_fields__) - {"schema", "rows"}
    return msgspec.structs.replace(
        ranking,
        rows=tuple(msgspec.structs.replace(row, breakdown=breakdowns.get(row.strategy)) for row in ranking.rows),
        **{name: getattr(shared, name) for name in names},
    )


def _searches(study: Study, folder: Path) -> tuple[tuple[Search, ...], list[str]]:
    """Read the searches of a study, and notes on those that cannot be read."""
    searches, lost = [], []
    for info in study.strategies:
        file = search_file(folder, info.name)
        if info.combines and file.is_file():
            try:
                searches.append(load_record(Search, file))
            except InputError as error:
                lost.append(f"The search for `{info.name}` is lost: {without_folder(error, folder)}.")
    return tuple(searches), lost


def _counts(run: Run, recorded: Mapping[Path, Run], searches: tuple[Search, ...]) -> bool:
    """Whether a run counts in the ranking: of a search, only the last run with the kept changes does."""
    if not run.spec.step:
        return True
    kept = next((search.kept for search in searches if search.strategy == run.spec.strategy), None)
    finished = [other for other in own_runs(run.spec.strategy, recorded.values()) if other.outcome.state == "done"]
    with_kept = [other.spec.step for other in finished if kept is None or other.spec.combines == kept]
    return run.spec.step == max(with_kept, default=0)


def _recordings(runs: Mapping[Path, Run]) -> tuple[dict[Path, Telemetry], list[str]]:
    """Read the telemetry of the runs, and notes on those whose telemetry cannot be read."""
    recordings, troubles = {}, []
    for path, run in runs.items():
        if (path / TELEMETRY_FILE).exists():
            try:
                recordings[path] = telemetry.read(path / TELEMETRY_FILE)
            except InputError as error:
                whose = f"`{run.spec.strategy}`, round {run.spec.round}"
                troubles.append(f"The telemetry of {whose}, is left out: {without_folder(error, path)}.")
    return recordings, troubles
