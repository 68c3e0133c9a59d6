"""How right what-if is: the replay of recorded traces, and predictions for simulated sessions against their truth.

    python benchmarks/whatif.py [--sessions 76] [--first 0] [--traces ../shared/traces]

Prints Markdown; `--first` makes other sessions. `benchmarks/whatif_cpu.py` does the same with real trainings on this
processor.
"""

from __future__ import annotations

import argparse
import csv
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from whatif_sessions import session

from gpuprobe import wording
from gpuprobe.ledger.breakdown import break_down
from gpuprobe.recording import run_folder
from gpuprobe.records import Run, load
from gpuprobe.simulate.sessions import write_session
from gpuprobe.traces.read import read
from gpuprobe.whatif.predict import predict
from gpuprobe.whatif.run_facts import known_of

if TYPE_CHECKING:
    from gpuprobe.whatif.records import Replay

RUN = "run.json"
# A fix that changes the step by less than this is predicted well by predicting nothing: it is counted apart.
MATTERS = 0.05


def replayed(path: Path) -> tuple[Replay, float]:
    """Return the replay of one trace and the seconds that it took after reading."""
    workings = break_down(read(path))
    begin = time.perf_counter()
    return predict(workings), time.perf_counter() - begin


def recorded(folder: Path) -> None:
    """Print how well each recorded trace replays."""
    print("| trace | measured step | replayed | error | seconds | largest gain predicted |\n|---|---|---|---|---|---|")
    with (folder / "INDEX.csv").open() as rows:
        names = [row["file"] for row in csv.DictReader(rows)]
    errors = []
    for name in names:
        replay, seconds = replayed(folder / name)
        error = replay.error_fraction if replay.error_fraction is not None else np.nan
        errors.append(abs(error))
        best = next(iter(replay.predictions), None)
        gain = f"{best.change}: {best.gain.ratio:.2f}" if best else replay.refused
        times = [wording.milliseconds(value or 0.0) for value in (replay.measured_ms, replay.replayed_ms)]
        print(f"| {Path(name).name.partition('.')[0]} | {' | '.join(times)} | {error:+.1%} | {seconds:.2f} | {gain} |")
    within = int((np.array(errors) <= 0.05).sum())
    print(f"\n{within} of {len(errors)} within 5 %, median error {np.nanmedian(errors):.1%}.\n")


def simulated(first: int, count: int) -> None:
    """Print how far the predictions for simulated sessions are from their truth."""
    everything: dict[str, list[tuple[float, bool, bool]]] = defaultdict(list)
    refused = 0
    for number in range(first, first + count):
        cause, spec = session(number)
        with tempfile.TemporaryDirectory() as place:
            truth = write_session(spec, Path(place))
            folder = run_folder(Path(place), 1, spec.name)
            timeline = read(folder)
            known = known_of(load(Run, folder / RUN), spec.host.cores)
            replay = predict(break_down(timeline), known)
        refused += replay.refused is not None
        for made in replay.predictions:
            if made.change in truth.fixes:
                true_ms = truth.fixes[made.change].step_ms
                matters = abs(true_ms / truth.step_ms - 1) >= MATTERS
                found = (abs(made.step_ms / true_ms - 1), made.low_ms <= true_ms <= made.high_ms, matters)
                everything[made.change].append(found)
                everything[f"in {cause}"].append(found)
    print("| change | n | median error | 90th percentile | largest | in range |\n|---|---|---|---|---|---|")
    fixes = [found for name, values in everything.items() if not name.startswith("in ") for found in values]
    rows = {**everything, "all": fixes, f"all that change the step by {MATTERS:.0%}": [f for f in fixes if f[2]]}
    for name, values in rows.items():
        errors = np.array([error for error, _, _ in values])
        inside = np.mean([within for _, within, _ in values])
        median, ninth = np.percentile(errors, [50, 90])
        print(f"| {name} | {len(errors)} | {median:.1%} | {ninth:.1%} | {errors.max():.1%} | {inside:.0%} |")
    print(f"\n{count} sessions, {refused} refused.")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sessions", type=int, default=76)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--traces", type=Path, default=Path("../shared/traces"))
    wanted = parser.parse_args()
    if (wanted.traces / "INDEX.csv").is_file():
        recorded(wanted.traces)
    if wanted.sessions:
        simulated(wanted.first, wanted.sessions)


if __name__ == "__main__":
    main()
