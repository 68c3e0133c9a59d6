"""`gpuprobe train`: a whole training, with test set, checkpoints, best weights and curves."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from gpuprobe.cli._help import DescribedCommand, exit_codes_of
from gpuprobe.cli._options import READ_PATH, Number, complete_strategies, reports_folder, resnet_options
from gpuprobe.errors import UsageError

if TYPE_CHECKING:
    from gpuprobe.records import Combination

HELP_ORDER = 15
HELP_GROUP = "Measure"
EXAMPLES = (
    ("gpuprobe train", "ResNet20 on CIFAR-10, 50 epochs"),
    ("gpuprobe train --strategy tuned --study reports/S", "with what a study's search kept"),
    ("gpuprobe train --data digits --epochs 10", "a small real set that scikit-learn ships"),
    ("gpuprobe train --resume reports/TRAINING", "go on after an interruption, with the same curve"),
    ("gpuprobe train --resume reports/TRAINING --epochs 80", "or for more epochs than it began with"),
)
EXIT_CODES = exit_codes_of("trained to the end", 3, 4, 5, 130, failed="the training failed")


# The number of epochs of the training that gpuprobe was first made for: ResNet20 on CIFAR-10.
EPOCHS = 50


@click.command("train", cls=DescribedCommand, examples=EXAMPLES, exit_codes=EXIT_CODES)
@click.option(
    "--epochs",
    type=Number(min=1),
    help="How many epochs; with --resume, those before included. [default: 50]",
)
@click.option("--strategy", default="tuned", shell_complete=complete_strategies, help="One of gpuprobe list.")
@click.option("--study", type=READ_PATH, metavar="STUDY", help="For tuned: the study whose search it follows.")
@reports_folder("training")
@click.option("--batch-size", type=Number(min=1), default=32, help="Samples a step.")
@resnet_options
@click.option(
    "--resume",
    type=READ_PATH,
    metavar="TRAINING",
    help="Go on with this one; options but --epochs are its own.",
)
def command(
    epochs: int | None,
    strategy: str,
    study: Path | None,
    out: Path,
    data: str,
    batch_size: int,
    depth: int,
    samples: int | None,
    seed: int,
    resume: Path | None,
) -> None:
    """Train ResNet20 on CIFAR-10 to the end.

    Test set each epoch, checkpoints and resume, best weights, curves.
    """
    import msgspec

    from gpuprobe.backends.known import usual
    from gpuprobe.cli._training import train_and_print
    from gpuprobe.measure.train import load_spec
    from gpuprobe.measure.training import TrainingSpec
    from gpuprobe.strategies.registry import strategies
    from gpuprobe.workloads.resolve import resnet_depth

    if resume is not None:
        resumed = load_spec(resume)
        raise SystemExit(
            train_and_print(msgspec.structs.replace(resumed, epochs=epochs or resumed.epochs), resume, out)
        )
    strategy_name, combination = _chosen_strategy(strategy, study)
    spec = TrainingSpec(
        epochs=epochs or EPOCHS,
        strategy=strategy_name,
        batch_size=batch_size,
        seed=seed,
        depth=resnet_depth(depth),
        data=data,
        samples=samples,
        combines=combination.changes if combination else (),
        start=combination.start if combination else "",
        backend=strategies()[strategy_name].backend or usual(),
    )
    raise SystemExit(train_and_print(spec, None, out))


def _chosen_strategy(strategy: str, study: Path | None) -> tuple[str, Combination | None]:
    """Return the strategy that the option names, and the combination that it takes from the study."""
    from gpuprobe.strategies.registry import select

    chosen_strategies = select(strategy, "--strategy")
    if len(chosen_strategies) != 1:
        raise UsageError("--strategy: name one; gpuprobe list shows them")
    if study is None:
        return chosen_strategies[0].name, None
    if not chosen_strategies[0].combines:
        raise UsageError(
            f"--study: {chosen_strategies[0].name} takes nothing from a study; it goes with --strategy tuned"
        )
    return chosen_strategies[0].name, _combination_of(study, chosen_strategies[0].name)


def _combination_of(study: Path, strategy: str) -> Combination:
    from gpuprobe.ranking.load import load
    from gpuprobe.search.next_run import combined

    return combined(load(study, traces=False), strategy)
