"""How right `gpuprobe predict --from` is on this processor: predictions on disk first, then the runs they speak of.

    python benchmarks/predict_cpu.py [--out DIR] [--rounds 3] [--steps 40]

Measures ResNet20 with batches of 16, 32 and 64, predicts ResNet56 and batches of 8 and 128 from these into
`predictions.json`, prints them, and only then measures them. The first study's run once more at the end is the A/A
control: no prediction can be better than what the machine itself repeats. All are fastest runs, as `predict` takes
them: what disturbs a run only ever adds to its time.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from gpuprobe.ranking.load import load
from gpuprobe.ranking.rates import interval_of_run, run_rate

STRATEGY = "numpy"


@dataclass(frozen=True)
class Training:
    """A training of ResNet: its depth and its batch."""

    depth: int
    batch: int

    @property
    def name(self) -> str:
        return f"ResNet{self.depth}, batch {self.batch}"


CALIBRATING = (Training(20, 32), Training(20, 16), Training(20, 64))
PREDICTED = (Training(56, 32), Training(20, 8), Training(20, 128))
CONTROL = Training(20, 32)


def gpuprobe(*words: object) -> str:
    """Run the program and return what it prints. Raises CalledProcessError where it fails."""
    command = [sys.executable, "-m", "gpuprobe.cli", *map(str, words)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def measured(training: Training, out: Path, wanted: argparse.Namespace) -> Path:
    """Measure a training, and return the folder of its study."""
    options = ("--depth", training.depth, "--batch-size", training.batch, "--rounds", wanted.rounds)
    data = ("--data", "synthetic", "--samples", wanted.samples, "--steps", wanted.steps, "--no-trace", "--budget", "1h")
    gpuprobe("run", "--strategies", STRATEGY, *options, *data, "--out", out)
    (study,) = out.iterdir()
    return study


def fastest_ms(study: Path) -> float:
    """Return the step of the fastest run of a study in ms."""
    runs = [run for run in load(study).runs.values() if run.spec.strategy == STRATEGY]
    rates = [interval_of_run(rate).value for run in runs if (rate := run_rate(run)) is not None]
    return 1e3 * runs[0].spec.batch_size / max(rates)


def main() -> None:
    """Predict, measure, and print both."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=None, help="a new folder for the studies")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--samples", type=int, default=8192)
    wanted = parser.parse_args()
    out = wanted.out or Path(tempfile.mkdtemp(prefix="gpuprobe-predict-"))
    studies = [measured(training, out / f"calibrating-{training.batch}", wanted) for training in CALIBRATING]
    given = [word for study in studies for word in ("--from", study)]
    found, kept = [], out / "predictions.json"
    for training in PREDICTED:
        size = ("--depth", training.depth, "--batch-size", training.batch)
        told = gpuprobe("predict", *given, *size, "--strategy", STRATEGY, "--json", "--out", kept)
        found.append(json.loads(told)["prediction"]["step_ms"])
    print(f"Written before any of it is measured: {kept}\n", flush=True)
    print("| training | predicted step | range | measured | error | in range |")
    print("|---|---|---|---|---|---|")
    errors = []
    for number, (training, step) in enumerate(zip(PREDICTED, found, strict=True)):
        real = fastest_ms(measured(training, out / f"predicted-{number}", wanted))
        errors.append(step["value"] / real - 1)
        inside = "yes" if step["low"] <= real <= step["high"] else "no"
        span = f"{step['low']:.1f} to {step['high']:.1f} ms"
        print(
            f"| {training.name} | {step['value']:.1f} ms | {span} | {real:.1f} ms | {errors[-1]:+.1%} | {inside} |",
            flush=True,
        )
    before, after = fastest_ms(studies[0]), fastest_ms(measured(CONTROL, out / "control", wanted))
    print(f"| A/A: {CONTROL.name} again | {before:.1f} ms | | {after:.1f} ms | {before / after - 1:+.1%} | |")
    print(f"\nLargest error {max(map(abs, errors)):.1%}, median {median(map(abs, errors)):.1%}")


if __name__ == "__main__":
    main()
