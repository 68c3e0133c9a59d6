"""Does every strategy train to the same accuracy? `python benchmarks/same_accuracy.py > benchmarks/same_accuracy.md`

The defaults are the shallowest ResNet of the family and 30 epochs: augmentation and a large batch take that long to
come as far as the others. `--strategies`, `--epochs`, `--seeds` and `--depth` change them.
Trains each strategy over several seeds on scikit-learn's digits, and prints a Markdown table: the test accuracy of the
last epoch of each seed, their mean, and how far it is from the first strategy's in units of the seed-to-seed spread.
Two means differ beyond the spread where the 95 % interval of their difference (Welch's t) leaves out zero.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from pathlib import Path

import numpy as np
from scipy import stats

from gpuprobe.measure.train import images, train
from gpuprobe.measure.training import TrainingSpec
from gpuprobe.strategies.registry import select


def accuracies(strategy: str, asked: argparse.Namespace, combines: tuple[str, ...]) -> list[float]:
    """Return the test accuracy after the last epoch, for each seed."""
    found = []
    for seed in range(asked.seeds):
        spec = TrainingSpec(
            epochs=asked.epochs, strategy=strategy, batch_size=32, seed=seed, depth=asked.depth, data="digits",
            combines=combines,
        )  # fmt: skip
        with tempfile.TemporaryDirectory() as where:
            *_, last = train(spec, Path(where), images(spec))
        found.append(last.test_accuracy)
    return found


def differs(one: list[float], other: list[float]) -> str:
    """Say whether two means differ beyond the spread."""
    if np.ptp(one) == np.ptp(other) == 0:
        return "same" if one[0] == other[0] else "no spread to judge by"
    p = float(stats.ttest_ind(one, other, equal_var=False).pvalue)
    return f"{'differs' if p < 0.05 else 'same within the spread'} (p = {p:.2f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--depth", type=int, default=8)
    parser.add_argument("--strategies", default="all")
    asked = parser.parse_args()
    # With nothing to combine, `tuned` would be its baseline once more: XLA and steps per execution keep the batch size.
    combined = ("xla", "steps_per_execution")
    first: list[float] = []
    print(f"ResNet{asked.depth}, digits, {asked.epochs} epochs, {asked.seeds} seeds\n")
    print("| strategy | each seed | mean | against the first |\n|---|---|---|---|", flush=True)
    for strategy in select(asked.strategies):
        found = accuracies(strategy.name, asked, combined if strategy.combines else ())
        first = first or found
        each = ", ".join(f"{100 * value:.1f} %" for value in found)
        print(
            f"| {strategy.name} | {each} | {100 * statistics.fmean(found):.1f} % | {differs(found, first)} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
