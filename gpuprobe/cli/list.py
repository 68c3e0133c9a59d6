"""`gpuprobe list`: the strategies and what each changes, the models and their verdicts, or the causes."""

from __future__ import annotations

import click

from gpuprobe.cli._help import DescribedCommand, exit_codes_of
from gpuprobe.errors import UsageError

HELP_ORDER = 20
HELP_GROUP = "Prepare"
EXAMPLES = (
    ("gpuprobe list", "the ways of feeding and compiling, and the backends"),
    ("gpuprobe list --models", "what can be trained besides ResNet20"),
    ("gpuprobe list --causes", "what a diagnosis may find; gpuprobe explain CAUSE tells more"),
)
EXIT_CODES = exit_codes_of("listed")


@click.command("list", cls=DescribedCommand, examples=EXAMPLES, exit_codes=EXIT_CODES)
@click.option("--models", is_flag=True, help="List the built-in models instead.")
@click.option("--causes", is_flag=True, help="List the causes that a diagnosis may name instead.")
def command(models: bool, causes: bool) -> None:
    """List the strategies, the models or the causes.

    Each strategy with what it does, and the one that it is compared with.
    """
    if models and causes:
        raise UsageError("--models and --causes exclude each other; name one")
    if models:
        _list_models()
    elif causes:
        _list_causes()
    else:
        _list_strategies()


def _list_strategies() -> None:
    from rich.table import Table

    from gpuprobe.cli._terminal import Terminal
    from gpuprobe.strategies.registry import strategies

    table = Table(box=None, pad_edge=False, padding=(0, 2, 1, 0))
    table.add_column("strategy", style="bold", no_wrap=True)
    table.add_column("compared with", no_wrap=True)
    table.add_column("what it does", ratio=1)
    for strategy in strategies().values():
        missing = strategy.lacks(strategy.backend)
        sentence = f"{strategy.sentence} ({missing})" if missing else strategy.sentence
        table.add_row(strategy.name, strategy.against or "-", sentence)
    Terminal(markup=False).print(table)
    print("gpuprobe run --strategies NAME,NAME trains under these; --strategies all takes those of one backend.")


def _list_models() -> None:
    from rich.table import Table

    from gpuprobe.cli._terminal import Terminal
    from gpuprobe.workloads.cifar import ON_CPU, ON_GPU
    from gpuprobe.workloads.registry import workloads

    table = Table(box=None, pad_edge=False, padding=(0, 2, 1, 0))
    table.add_column("model", style="bold", no_wrap=True)
    table.add_column("what it does", ratio=2)
    table.add_column("expected on a processor", ratio=2)
    table.add_column("expected on a GPU (not measured on one)", ratio=2)
    table.add_row(
        "resnet20 (32, 44, 56, 110)",
        "Train ResNet-v1 on CIFAR-10 as the Keras example does, 32 a step.",
        ON_CPU,
        ON_GPU,
    )
    for entry in workloads().values():
        table.add_row(entry.name, entry.sentence, entry.on_cpu, entry.on_gpu)
    Terminal(markup=False).print(table)
    print("gpuprobe run --model NAME trains one; --model FILE.py:FACTORY trains your own (see gpuprobe new).")


def _list_causes() -> None:
    from rich.table import Table

    from gpuprobe.cli._terminal import Terminal
    from gpuprobe.report.explain import causes_listed

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("cause", style="bold", no_wrap=True)
    table.add_column("shown by", no_wrap=True)
    table.add_column("what it is", ratio=1)
    for cause, cause_words, devices in causes_listed():
        table.add_row(cause, devices, cause_words)
    Terminal(markup=False).print(table)
    print("gpuprobe explain CAUSE tells how it shows, what decides it and what cures it.")
