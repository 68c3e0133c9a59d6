"""Where things lie in a study's folder, and how its records are read back.

reports/<study>/{study.json, report.json, report.md, report.html, plots/}
reports/<study>/runs/<round>-<strategy>/{spec.json, run.json, events.jsonl, telemetry.csv, log.txt, trace/, step.html}
reports/<study>/runs/<round>-<strategy>-<step>/ where the strategy is found by a search, and search-<strategy>.json
reports/<watch>/{watch.json, telemetry.csv, report.json, report.md, report.html}
reports/<watch>/trainings/{wall-<pid>.json, <study>/...} where it traces: each training is a study of one run
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from gpuprobe.errors import InputError
from gpuprobe.records import Outcome, Run, RunSpec, Study, load

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

Found = TypeVar("Found")

STUDY_FILE = "study.json"
# The report of a study or a watch, as text and as a page.
REPORT_FILE, PAGE_FILE = "report.md", "report.html"
# What they are made of. Of a study it is the ranking, which in a copy without traces alone tells what these said.
RANKING_FILE = "report.json"
WATCH_FILE = "watch.json"
# Where `watch --trace` keeps a recording of each training that it attached to, each a study of one run.
TRAININGS_FOLDER = "trainings"
# Left there once a Python of the command has loaded Keras.
KERAS_SEEN = "keras.seen"
# Where the wall time of each process went that loaded Keras, by its id.
WALL_FILES = "wall-{}.json"
RUNS_FOLDER = "runs"
RUN_FILE = "run.json"
SPEC_FILE = "spec.json"
# With which all runs begin, where they train with several backends.
WEIGHTS_FILE = "first-weights.npz"
# The parent writes into it what comes next: a worker that has warmed up, or paused, waits for it.
GO_FILE = "go"
TELEMETRY_FILE = "telemetry.csv"
LOG_FILE = "log.txt"
TRACE_FOLDER = "trace"
# The page to look into the step of that trace.
STEP_FILE = "step.html"
# Where, within a run, the sessions of the profiler lie, and TensorFlow's traces in them, one of each host.
PROFILES_PATTERN = f"{TRACE_FOLDER}/plugins/profile/*"
TRACE_PATTERN = f"{PROFILES_PATTERN}/*.xplane.pb"
# What a run says of its trace where it is part of such a copy.
TRACE_LEFT_OUT = "left out of the shared copy"


def run_folder(study: Path, number: int, strategy: str, step: int = 0) -> Path:
    """Return the folder of one run: the round's number (from 1), the strategy's name, and the step of its search."""
    return study / RUNS_FOLDER / (f"{number}-{strategy}-{step}" if step else f"{number}-{strategy}")


def search_file(study: Path, strategy: str) -> Path:
    """Return where a search keeps what it decided: beside the study's record."""
    return study / f"search-{strategy}.json"


def load_study(folder: Path) -> Study:
    """Read a study's record. Raises InputError where the folder is none of gpuprobe's studies."""
    if not folder.is_dir():
        what = "is a file" if folder.exists() else "there is no such folder"
        raise InputError(f"{folder}: {what}; name the folder of a study, as in reports/STUDY")
    if not (folder / STUDY_FILE).is_file():
        newest = _newest_below(folder)
        hint = f"; the newest below it is {newest}" if newest else ""
        raise InputError(f"{folder}: not a study of gpuprobe (it has no {STUDY_FILE}){hint}")
    return load(Study, folder / STUDY_FILE)


def _newest_below(folder: Path) -> Path | None:
    """Return the study that was begun last in a folder, or in one of its folders; None where there is none."""
    found = [path for pattern in ("*", "*/*") for path in folder.glob(f"{pattern}/{STUDY_FILE}")]
    return max(found, key=lambda path: path.stat().st_mtime).parent if found else None


def load_runs(folder: Path) -> dict[Path, Run]:
    """Read all finished records of a study's runs, by run folder, in the order of rounds, names and steps.

    One that cannot be read is a run that ended as `unreadable`, with the reason: the others are worth as much.
    """
    found = sorted((folder / RUNS_FOLDER).glob(f"*/{RUN_FILE}"))
    runs = {path.parent: _run(path) for path in found}
    return dict(sorted(runs.items(), key=lambda item: (item[1].spec.round, item[1].spec.strategy, item[1].spec.step)))


def spec_of(run: Path) -> RunSpec:
    """Return what a run was asked to do; of a specification that cannot be read, what the folder's name tells of it."""
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
    """Return what an error says of a file, named as it lies in the folder: a study may be moved, and be shared."""
    return str(error).replace(f"{folder}/", "")


def whole(read: Callable[[], Found], troubles: list[str]) -> Found | None:
    """Return what is read, or None where it is damaged, and add to the troubles why: the rest counts without it."""
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
