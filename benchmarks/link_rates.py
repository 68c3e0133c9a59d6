"""How well a job's step is predicted at link rates that it was not recorded at.

    python benchmarks/link_rates.py [--jobs 8] [--first 0] [--keep FOLDER]

Each job is drawn by seed: two or three real processes under MultiWorkerMirroredStrategy, whose steps mostly sleep and
whose link is a network namespace with a loopback that `tc` limits, which takes root. The same job is recorded at three
rates, each twice the one before. From each recording but the last, `gpuprobe diagnose FOLDER --json` predicts the step
with links twice as fast (`link_times_2`), which is then measured at the next rate: by the workers' own notes of when
each came to its exchange, and not by gpuprobe. Told is how far the prediction is from that, beside what the recorded
step itself is from the same notes.
"""

from __future__ import annotations

import argparse
import itertools
import os
import statistics
import sys
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

from worker_sessions import JUDGED, TROUBLES, Session, came_at_s, carried_out, diagnosed, drawn, network_of

CHANGE = "link_times_2"
RATES = 3
# A prediction that misses by more is told as outside.
WITHIN = 0.10
OF_LINK = TROUBLES.index("link")


@dataclass(frozen=True)
class Recorded:
    """A job's step at one rate by the workers' notes, by the recording, and as predicted at twice the rate.

    All are in ms. `predicted_ms` is None where diagnose gave no prediction, and `refused` says why.
    """

    noted_ms: float
    recorded_ms: float
    predicted_ms: float | None
    refused: str


def record(session: Session, folder: Path) -> Recorded:
    """Record the job and have it diagnosed. Raises RuntimeError where a worker fails or hangs."""
    with network_of(session) as network:
        carried_out(session, folder, network)
    came_s = came_at_s(folder, len(session.step_ms))
    noted = came_s.max(axis=0)[JUDGED]
    replay = diagnosed(folder)["replay"]
    predicted = {one["change"]: one["step_ms"] for one in replay["predictions"]}
    reasons = {one["change"]: one["reason"] for one in replay["unpredicted"]}
    return Recorded(
        noted_ms=1000 * float(noted[-1] - noted[0]) / (len(noted) - 1),
        recorded_ms=replay["steady_ms"],
        predicted_ms=predicted.get(CHANGE),
        refused=replay["refused"] or reasons.get(CHANGE, ""),
    )


def main() -> None:
    """Record the jobs, and print each prediction and how far all are off."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=8)
    parser.add_argument("--first", type=int, default=0, metavar="SEED")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="keep the recordings in this new folder")
    given = parser.parse_args()
    if os.geteuid():
        sys.exit("a link of a known rate takes root")
    misses: list[float] = []
    unpredicted = 0
    with tempfile.TemporaryDirectory() as scratch:
        for seed in range(given.first, given.first + given.jobs):
            slowest = drawn(len(TROUBLES) * seed + OF_LINK)
            at_rates: list[Recorded] = []
            for place in range(RATES):
                session = replace(slowest, link_mbit=slowest.link_mbit * 2**place)
                folder = (given.keep or Path(scratch)) / f"{seed}-{place}"
                at_rates.append(record(session, folder))
            for place, (before, after) in enumerate(itertools.pairwise(at_rates)):
                rate = slowest.link_mbit * 2 ** (place + 1)
                told = f"{seed}, {len(slowest.step_ms)} workers, {rate:.0f} Mbit/s: {after.noted_ms:.1f} ms a step"
                if before.predicted_ms is None:
                    unpredicted += 1
                    print(f"{told}, not predicted: {before.refused}", flush=True)
                    continue
                misses.append(before.predicted_ms / after.noted_ms - 1)
                own = before.recorded_ms / before.noted_ms - 1
                print(
                    f"{told}, predicted {before.predicted_ms:.1f} ms ({misses[-1]:+.1%}) from {before.noted_ms:.1f} ms "
                    f"(recorded as {own:+.1%})",
                    flush=True,
                )
    within = sum(abs(miss) <= WITHIN for miss in misses)
    middle = statistics.median(map(abs, misses)) if misses else float("nan")
    print(f"{within} of {len(misses)} within {WITHIN:.0%}, median miss {middle:.1%}; {unpredicted} not predicted")


if __name__ == "__main__":
    main()
