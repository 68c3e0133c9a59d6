"""Does every strategy train to the same accuracy? `python benchmarks/same_accuracy.py > benchmarks/same_accuracy.md`

Trains the job's network with each strategy over several seeds on scikit-learn's digits, and prints a Markdown table:
the test accuracy of each seed after the last epoch, their mean, and whether it differs from the first strategy's beyond
the seed-to-seed spread, by Dunnett's test of many treatments against one control.

The defaults are the shallowest ResNet of the family and 30 epochs: augmentation takes that long to come as far as the
others. For the last two fifths of the epochs the learning rate is a tenth, as the Keras example lowers it: without
that, the accuracy of a single epoch jumps by several points. A larger batch updates the weights less often in as many
epochs; it is trained a second time for as many updates, which is what the test is about.
`--strategies`, `--epochs`, `--seeds` and `--depth` change what is trained.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import statistics
import sys
from typing import TYPE_CHECKING

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
from scipy import stats

from gpuprobe.backends.backend import current
from gpuprobe.measure.compiled import compiled
from gpuprobe.measure.machine import inspect_machine
from gpuprobe.strategies import feeds, registry
from gpuprobe.workloads import data
from gpuprobe.workloads.cifar import LEARNING_RATE, resnet_on_cifar
from gpuprobe.workloads.source import ArraySource, mapped

if TYPE_CHECKING:
    from gpuprobe.strategies.plan import Plan
    from gpuprobe.workloads.arrays import Arrays

BATCH = 32
# With nothing to combine, `tuned` would be its baseline once more: XLA and steps per execution keep the batch size.
COMBINED = ("xla", "steps_per_execution")


def planned(strategy: str, images: Arrays, asked: argparse.Namespace) -> Plan:
    """Return how the strategy trains."""
    combines = COMBINED if registry.strategies()[strategy].combines else ()
    machine = inspect_machine(resnet_on_cifar(images, depth=asked.depth, batch_size=BATCH), current())
    return registry.plan(strategy, BATCH, machine, combines)


def accuracy(plan: Plan, seed: int, images: Arrays, depth: int, epochs: int) -> float:
    """Train one model, and return its accuracy on the test set."""
    workload = dataclasses.replace(
        resnet_on_cifar(images, depth=depth, batch_size=BATCH),
        learning_rate=lambda epoch: LEARNING_RATE * (1.0 if epoch < 0.6 * epochs else 0.1),
    )
    keras.utils.clear_session()
    keras.utils.set_random_seed(seed)
    keras.mixed_precision.set_global_policy(plan.dtype_policy)
    model, _ = compiled(workload, plan, current())
    feed = feeds.make(plan, workload, seed)
    feed.adapt(model)
    feed.warm()
    feed.train(model, 0, epochs, [])
    x, y = mapped(workload, ArraySource(parts=(images.x_test, images.y_test))).parts
    return float(model.evaluate(x, y, batch_size=256, verbose=0, return_dict=True)["accuracy"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--depth", type=int, default=8)
    parser.add_argument("--strategies", default="all")
    asked = parser.parse_args()
    images = data.find("digits", seed=0)
    found: dict[str, list[float]] = {}
    fewer = set()
    for strategy in registry.select(asked.strategies):
        plan = planned(strategy.name, images, asked)
        lengths = {strategy.name: asked.epochs}
        if plan.batch_size > BATCH:
            fewer.add(strategy.name)
            lengths[f"{strategy.name}, as many updates"] = asked.epochs * plan.batch_size // BATCH
        for name, epochs in lengths.items():
            found[name] = [accuracy(plan, seed, images, asked.depth, epochs) for seed in range(asked.seeds)]
            print(f"{name}: {found[name]}", file=sys.stderr, flush=True)
    alike = [each for name, each in found.items() if name not in fewer]
    p_values = iter(["", *(f"{p:.2f}" for p in stats.dunnett(*alike[1:], control=alike[0]).pvalue)])
    print(f"ResNet{asked.depth}, digits, {asked.epochs} epochs, {asked.seeds} seeds\n")
    print(f"| strategy | test accuracy of each seed | mean | p against {next(iter(found))} |\n|---|---|---|---|")
    for name, each in found.items():
        said = ", ".join(f"{100 * value:.1f} %" for value in each)
        p = "fewer updates" if name in fewer else next(p_values)
        print(f"| {name} | {said} | {100 * statistics.fmean(each):.1f} % | {p} |")
    print("\nA p below 0.05 would say that a strategy differs beyond the seed-to-seed spread.")


if __name__ == "__main__":
    main()
