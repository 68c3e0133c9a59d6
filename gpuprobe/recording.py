"""The files of a study's folder, and reading its records.

reports/<study>/{study.json, report.json, report.md, report.html, plots/}
reports/<study>/runs/<round>-<strategy>/{spec.json, run.json, events.jsonl, telemetry.csv, log.txt, trace/, step.html}
reports/<study>/runs/<round>-<strategy>/workers/<index>/ of each worker but the first, whose traces join the run's own
reports/<study>/runs/<round>-<strategy>-<step>/ where the strategy is found by a search, and search-<strategy>.json
reports/<watch>/{watch.json, telemetry.csv, report.json, report.md, report.html}
reports/<watch>/trainings/{wall-<pid>.json, fit-failed.txt, <study>/...} where it traces: each training is a study
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from gpuprobe.errors import InputError
from gpuprobe.records import Outcome, Run, RunSpec, Study, load

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

Recorded = TypeVar("Recorded")

STUDY_FILE = "study.json"
# The report of a study or a watch, as text and as a page.
REPORT_FILE, PAGE_FILE = "report.md", "report.html"
# The data of the report: for a study its ranking. A copy without traces has their results in this file alone.
RANKING_FILE = "report.json"
WATCH_FILE = "watch.json"
# The folder in which `watch --trace` keeps a recording of each training, each as a study of one run.
TRAININGS_FOLDER = "trainings"
# Written once a Python process of the command has imported Keras.
KERAS_SEEN = "keras.seen"
# Written where a `fit` of the command failed: where its bug is reported, empty where no bug is known.
FIT_FAILED_FILE = "fit-failed.txt"
# The whole-run breakdown of each process that imported Keras, by its id.
WALL_FILES = "wall-{}.json"
RUNS_FOLDER = "runs"
RUN_FILE = "run.json"
SPEC_FILE = "spec.json"
# The initial weights of all runs in a study of several backends.
WEIGHTS_FILE = "first-weights.npz"
# The parent's commands to a run that waits at its gate.
GO_FILE = "go"
TELEMETRY_FILE = "telemetry.csv"
LOG_FILE = "log.txt"
TRACE_FOLDER = "trace"
# Within a run of several workers, the folders of all but the first.
WORKERS_FOLDER = "workers"
# The page that shows the traced step.
STEP_FILE = "step.html"
# The pattern, within a run, of the profiler's sessions.
PROFILES_PATTERN = f"{TRACE_FOLDER}/plugins/profile/*"
# The reason in a run's record for its missing trace in a copy without traces.
TRACE_LEFT_OUT = "left out of the shared copy"


def run_folder(study: Path, number: int, strategy: str, step: int = 0) -> Path:
    """Return the folder of one run: the round's number (from 1), the strategy's name, and the step of its search."""
    return study / RUNS_FOLDER / (f"{number}-{strategy}-{step}" if step else f"{number}-{strategy}")


def search_file(study: Path, strategy: str) -> Path:
    """Return the name of the file with a search's decisions, beside the study's record."""
    return study / f"search-{strategy}.json"


def load_study(folder: Path) -> Study:
    """Read a study's record. Raises InputError where the folder is no study."""
    if not folder.is_dir():
        what = "is a file" if folder.exists() else "there is no such folder"
        raise InputError(f"{folder}: {what}; name the folder of a study, as in reports/STUDY")
    if not (folder / STUDY_FILE).is_file():
        newest = _newest_below(folder)
        hint = f"; the newest below it is {newest}" if newest else ""
        raise InputError(f"{folder}: not a study of gpuprobe (it has no {STUDY_FILE}){hint}")
    return load(Study, folder / STUDY_FILE)


def _newest_below(folder: Path) -> Path | None:
    """Return the latest study in a folder or one level below; None where there is none."""
    studies = [path for pattern in ("*", "*/*") for path in folder.glob(f"{pattern}/{STUDY_FILE}")]
    return max(studies, key=lambda path: path.stat().st_mtime).parent if studies else None


def load_runs(folder: Path) -> dict[Path, Run]:
    """Read all finished records of a study's runs, by run folder, in the order of rounds, names and steps.

    A run that cannot be read gets the state `unreadable` and the reason; the others are not affected.
    """
    files = sorted((folder / RUNS_FOLDER).glob(f"*/{RUN_FILE}"))
    runs = {path.parent: _run(path) for path in files}
    return dict(sorted(runs.items(), key=lambda item: (item[1].spec.round, item[1].spec.strategy, item[1].spec.step)))


def spec_of(run: Path) -> RunSpec:
    """Return the spec of a run; if it cannot be read, one made from the folder's name."""
    try:
        return load(RunSpec, run / SPEC_FILE)
    except InputError:
        number, _, name = run.name.partition("-")
        strategy, _, step = name.rpartition("-")
        searched = step.isdecimal() and bool(strategy)
        return RunSpec(
            strategy=(strategy if searched else name) or run.name,
            round=int(number) if number.isdecimal() else 1,
            seed=0,
            batch_size=0,
            step=int(step) if searched else 0,
        )


def without_folder(error: InputError, folder: Path) -> str:
    """Return an error's message with file paths relative to the folder, since a study may be moved or shared."""
    return str(error).replace(f"{folder}/", "")


def whole(read: Callable[[], Recorded], troubles: list[str]) -> Recorded | None:
    """Return the result of reading, None where it is damaged; the reason is added to `troubles`."""
    try:
        return read()
    except InputError as error:
        troubles.append(f"Left out: {error}.")
        return None


def _run(path: Path) -> Run:
    try:
        return load(Run, path)
    except InputError as error:
        outcome = Outcome(state="unreadable", message=without_folder(error, path.parent))
        return Run(spec=spec_of(path.parent), outcome=outcome)
