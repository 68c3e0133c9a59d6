"""`make lab`: simulates every session of the lab, trains its real ones, and prints how a diagnosis judges them.

`--diagnosis MODULE:FUNCTION` names what judges: it takes the folder of a recording (`run.json`, `telemetry.csv`,
`trace/`) and returns an `Answer`, a cause, or None where it cannot tell. Without it, `gpuprobe diagnose --json` does.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import chain
from pathlib import Path

from gpuprobe.recording import RUNS_FOLDER
from gpuprobe.simulate.sessions import TRUTH_FILE, write_session
from tests.lab import documented
from tests.lab.answers import from_command
from tests.lab.cases import Case, cases
from tests.lab.grade import REAL_MEDIAN, SIMULATED_MEDIAN, Answer, Graded, grade, render
from tests.lab.real import judged, train

# The seed of the sessions that rules are written with.
DEVELOPMENT = 0
Diagnosis = Callable[[Path], "Answer | str | None"]


def judge(case: Case, diagnosis: Diagnosis) -> Graded:
    """Write one session to disk, and have its recording judged, without the truth beside it."""
    with tempfile.TemporaryDirectory(prefix="gpuprobe-lab-") as scratch:
        told = write_session(case.spec, Path(scratch))
        (Path(scratch) / TRUTH_FILE).unlink()
        (recording,) = (Path(scratch) / RUNS_FOLDER).iterdir()
        answer = diagnosis(recording)
    return Graded(case.name, told, answer if isinstance(answer, Answer) else Answer(answer), kind=case.kind)


def named(text: str) -> Diagnosis:
    """Find a function by `module:function`."""
    module, _, function = text.partition(":")
    found: Diagnosis = getattr(importlib.import_module(module), function)
    return found


def main() -> int:
    """Print the grades; the exit code says whether they are good enough."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--diagnosis", metavar="MODULE:FUNCTION", type=named, default=from_command)
    parser.add_argument("--kind", choices=["both", "simulated", "real"], default="both")
    parser.add_argument(
        "--seed",
        type=int,
        nargs="+",
        default=[DEVELOPMENT],
        help="each draws other sessions; rules were written with those of 0 in sight, so that any other is the test",
    )
    parser.add_argument("--only", default="", help="judge only cases whose name holds this")
    parser.add_argument("--processes", type=int, default=os.cpu_count(), help="for the simulated ones")
    chosen = parser.parse_args()
    good = True
    if chosen.kind != "real":
        for seed in chosen.seed:
            wanted = [case for case in cases(seed) if chosen.only in case.name]
            with ProcessPoolExecutor(chosen.processes) as pool:
                graded = list(pool.map(partial(judge, diagnosis=chosen.diagnosis), wanted, chunksize=4))
            good = told(f"Simulated sessions of seed {seed}", graded, SIMULATED_MEDIAN) and good
    if chosen.kind != "simulated":
        with tempfile.TemporaryDirectory(prefix="gpuprobe-lab-") as scratch:
            trained = chain(train(chosen.only, Path(scratch)), documented.train(chosen.only, Path(scratch)))
            graded = judged(trained, chosen.diagnosis)
        good = told("Real trainings on this processor", graded, REAL_MEDIAN) and good
    return 0 if good else 1


def told(title: str, graded: list[Graded], median_goal: float) -> bool:
    """Print the grades of one kind, and return whether they are good enough."""
    grades = grade(graded, median_goal)
    sys.stdout.write(f"{title}: {render(grades, [one for one in graded if one.known and not one.right])}\n")
    sys.stdout.flush()
    return grades.good_enough


if __name__ == "__main__":
    sys.exit(main())
