"""`gpuprobe run`: trains under each strategy, ranks them, explains the idle time."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gpuprobe.backends.known import BACKENDS
from gpuprobe.cli._help import DescribedCommand, exit_codes_of
from gpuprobe.cli._options import (
    READ_PATH,
    Duration,
    Figure,
    Number,
    Numbers,
    complete_models,
    complete_strategies,
    reports_folder,
    resnet_options,
)
from gpuprobe.errors import UsageError

if TYPE_CHECKING:
    from gpuprobe.records import Request
    from gpuprobe.strategies.registry import Strategy

HELP_ORDER = 10
HELP_GROUP = "Measure"
EXAMPLES = (
    ("gpuprobe run --strategies all --quick", "one round of everything, about five and a half minutes"),
    ("gpuprobe run --strategies numpy,xla", "two strategies, two rounds"),
    ("gpuprobe run --batch-size 128 --budget 20m", "another batch size, narrower intervals"),
    ("gpuprobe run --data cifar-10-python.tar.gz", "the real images from an archive you have"),
    ("gpuprobe run --model train.py:workload", "your own model and data; gpuprobe new workload.py writes a template"),
    ("gpuprobe run --backend all", "the same training under TensorFlow, JAX and PyTorch"),
    ("gpuprobe run --backend jax --model mlp", "every strategy that JAX has"),
    ("gpuprobe run --model mlp", "a workload of ours; gpuprobe list --models shows them"),
    ("gpuprobe run --devices 1,2,4", "why N devices are not N times as fast; on GPUs, or logical devices without one"),
    ("gpuprobe run --workers 1,2,3", "the same for worker processes that train together, started on this machine"),
    (
        "gpuprobe run --data-service 2",
        "whether tf.data service, which prepares batches, is worth it",
    ),
    ("gpuprobe run --resume reports/STUDY", "finish a study that was interrupted"),
)
EXIT_CODES = exit_codes_of("all runs done", 3, 4, 5, 130, failed="a run failed; the others are ranked")
QUICK_ROUNDS = 1
# How many changes the search for `tuned` tries at most; each takes a run.
QUICK_SEARCH_STEPS = 2
# Enough samples for a cache to matter and the loss to fall, few enough to fill the cache quickly.
QUICK_SAMPLES = 10_000
DEFAULT_BATCH_SIZE = 32


@click.command("run", cls=DescribedCommand, examples=EXAMPLES, exit_codes=EXIT_CODES)
@click.option(
    "--strategies",
    shell_complete=complete_strategies,
    help="all, or names joined by commas; gpuprobe list shows them. [default: all]",
)
@click.option(
    "--backend",
    type=click.Choice([*BACKENDS, "all"]),
    help="What Keras trains with; all compares those installed. [default: tensorflow if installed]",
)
@click.option(
    "--devices",
    type=Numbers(),
    metavar="1,2,4",
    help="Compare so many devices instead: MirroredStrategy on GPUs, or on logical devices of the processor.",
)
@click.option(
    "--workers",
    type=Numbers(),
    metavar="1,2,3",
    help="Compare so many worker processes instead: MultiWorkerMirroredStrategy, started here.",
)
@click.option(
    "--worker-index",
    type=Number(min=0),
    metavar="I",
    help="With --workers: start only this worker here, where each has its own host; TF_CONFIG names all. "
    "[default: as TF_CONFIG, Slurm or Kubernetes says]",
)
@click.option(
    "--data-service",
    type=Number(min=1),
    metavar="N",
    help="Compare with so many processes of tf.data service that prepare the batches, started here.",
)
@click.option(
    "--scaling",
    type=click.Choice(["strong", "weak"]),
    default="strong",
    show_default=True,
    help="With --devices or --workers: they share each batch, or each has a whole batch.",
)
@click.option(
    "--link",
    type=Figure(min=0, min_open=True),
    metavar="GB/S",
    help="With either: predict for a link of this rate, also for devices that are not here. [default: as measured]",
)
@reports_folder("study")
@click.option("--quick", is_flag=True, help="One round, short windows: about five and a half minutes.")
@click.option("--rounds", type=Number(min=1), help="How often each strategy runs. [default: 2]")
@click.option("--budget", type=Duration(), metavar="TIME", help="Time for the whole study, as 5m or 1h.")
@click.option("--steps", type=Number(min=1), help="Time exactly so many steps of each run.")
@click.option("--epochs", type=Number(min=1), help="Time exactly so many epochs of each run.")
@click.option(
    "--model",
    metavar="NAME|FILE.py:FACTORY",
    shell_complete=complete_models,
    help="Train this instead; gpuprobe list --models shows ours.",
)
@click.option("--batch-size", type=Number(min=1), help="Samples a step. [default: 32, or the workload's own]")
@resnet_options
@click.option("--trace/--no-trace", default=True, help="Capture a profiler trace after each timed window.")
@click.option(
    "--limit", type=Duration(), default="180s", metavar="TIME", help="End a run that reports no progress for this long."
)
@click.option("--resume", type=READ_PATH, metavar="STUDY", help="Finish this study; other options are its own.")
@click.option("--inject", multiple=True, hidden=True)
def command(**options: Any) -> None:
    """Train a model under each strategy; rank them and say why.

    ResNet20 on CIFAR-10 if no other workload is named.
    """
    from gpuprobe.cli._study import finish_study, start_study

    run_options = RunOptions(**options)
    if run_options.resume is not None:
        raise SystemExit(finish_study(run_options.resume, budget_s=run_options.budget))
    if run_options.steps is not None and run_options.epochs is not None:
        raise UsageError("--steps and --epochs exclude each other: both say how much of each run is timed")
    request, chosen = _request(run_options)
    raise SystemExit(start_study(request, chosen, run_options.out, ["gpuprobe", *sys.argv[1:]]))


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """The options of `gpuprobe run` by name; None for an option without a default that was not given."""

    strategies: str | None
    backend: str | None
    devices: tuple[int, ...] | None
    workers: tuple[int, ...] | None
    worker_index: int | None
    data_service: int | None
    scaling: str
    link: float | None
    out: Path
    data: str
    quick: bool
    rounds: int | None
    budget: float | None
    steps: int | None
    epochs: int | None
    model: str | None
    batch_size: int | None
    depth: int
    samples: int | None
    seed: int
    trace: bool
    limit: float
    resume: Path | None
    inject: tuple[str, ...]


def _request(run_options: RunOptions) -> tuple[Request, tuple[Strategy, ...]]:
    """Return the request of the study that the options describe, and its strategies."""
    from gpuprobe.measure.budget import DEFAULT_ROUNDS, DEFAULT_S, QUICK_S
    from gpuprobe.records import Request
    from gpuprobe.strategies.scaling import chosen_of

    depth, workload = _depth_and_workload(run_options.model, run_options.depth)
    devices, workers, service_processes = (
        run_options.devices or (),
        run_options.workers or (),
        run_options.data_service or 0,
    )
    weak, quick = run_options.scaling == "weak", run_options.quick
    chosen, trains_with = chosen_of(
        devices, run_options.backend, run_options.strategies, weak=weak, workers=workers, servers=service_processes
    )
    request = Request(
        rounds=run_options.rounds or (QUICK_ROUNDS if quick else DEFAULT_ROUNDS),
        budget_s=run_options.budget or (QUICK_S if quick else DEFAULT_S),
        batch_size=run_options.batch_size or (0 if workload else DEFAULT_BATCH_SIZE),
        seed=run_options.seed,
        depth=depth,
        model=workload,
        data=run_options.data,
        samples=run_options.samples or (QUICK_SAMPLES if quick else None),
        steps=run_options.steps,
        epochs=run_options.epochs,
        trace_steps=4 if run_options.trace else 0,
        limit_s=run_options.limit,
        quick=quick,
        search_steps=QUICK_SEARCH_STEPS if quick else None,
        devices=devices,
        workers=workers,
        data_service=service_processes,
        worker_index=run_options.worker_index,
        weak=weak,
        link_gb_per_s=run_options.link,
        inject=run_options.inject,
        backend=trains_with,
    )
    return request, chosen


def _depth_and_workload(model: str | None, depth: int) -> tuple[int, str]:
    """Return the depth of the ResNet, and the workload's name, empty for the ResNet."""
    from gpuprobe.workloads.resolve import model_named, resnet_depth

    if model is None:
        return resnet_depth(depth), ""
    resnet_layers, workload = model_named(model)
    return resnet_layers or depth, workload
