"""Does every strategy train to the same accuracy? `python benchmarks/same_accuracy.py > benchmarks/same_accuracy.md`

The defaults are the shallowest ResNet of the family and 30 epochs: augmentation and a large batch take that long to
come as far as the others. `--strategies`, `--epochs`, `--seeds` and `--depth` change them.
Trains each strategy over several seeds on scikit-learn's digits, and prints a Markdown table: the test accuracy of each
seed, their mean, and whether it differs from the first strategy's beyond the seed-to-seed spread, by Dunnett's test of
many treatments against one control. The accuracy of a seed is the mean of its last five epochs: at a constant learning
rate that of one epoch jumps.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from pathlib import Path

from scipy import stats

from gpuprobe.measure.train import images, train
from gpuprobe.measure.training import TrainingSpec
from gpuprobe.strategies.registry import select

LAST_EPOCHS = 5


def accuracies(strategy: str, asked: argparse.Namespace, combines: tuple[str, ...]) -> list[float]:
    """Return the test accuracy that each seed comes to."""
    found = []
    for seed in range(asked.seeds):
        spec = TrainingSpec(
            epochs=asked.epochs, strategy=strategy, batch_size=32, seed=seed, depth=asked.depth, data="digits",
            combines=combines,
        )  # fmt: skip
        with tempfile.TemporaryDirectory() as where:
            epochs = list(train(spec, Path(where), images(spec)))
        found.append(statistics.fmean(epoch.test_accuracy for epoch in epochs[-LAST_EPOCHS:]))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--depth", type=int, default=8)
    parser.add_argument("--strategies", default="all")
    asked = parser.parse_args()
    # With nothing to combine, `tuned` would be its baseline once more: XLA and steps per execution keep the batch size.
    combined = ("xla", "steps_per_execution")
    found = {}
    for strategy in select(asked.strategies):
        found[strategy.name] = accuracies(strategy.name, asked, combined if strategy.combines else ())
        print(f"{strategy.name}: {found[strategy.name]}", file=sys.stderr, flush=True)
    first, *others = found.values()
    p_values = ["", *(f"{p:.2f}" for p in stats.dunnett(*others, control=first).pvalue)]
    print(f"ResNet{asked.depth}, digits, {asked.epochs} epochs, {asked.seeds} seeds\n")
    print(f"| strategy | test accuracy of each seed | mean | p against {next(iter(found))} |\n|---|---|---|---|")
    for (name, each), p in zip(found.items(), p_values, strict=True):
        said = ", ".join(f"{100 * value:.1f} %" for value in each)
        print(f"| {name} | {said} | {100 * statistics.fmean(each):.1f} % | {p} |")
    print("\nA p below 0.05 would say that a strategy differs beyond the seed-to-seed spread.")


if __name__ == "__main__":
    main()
