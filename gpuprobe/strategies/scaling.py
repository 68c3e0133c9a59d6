"""Selects the strategies of a study of several devices or workers, without importing TensorFlow."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from gpuprobe import wording
from gpuprobe.backends.known import TENSORFLOW
from gpuprobe.errors import UsageError
from gpuprobe.records import Scale
from gpuprobe.strategies.catalogue.service import NAME
from gpuprobe.strategies.numbers import DEVICES, SPREADS
from gpuprobe.strategies.plan import MOST_DEVICES
from gpuprobe.strategies.registry import changes
from gpuprobe.strategies.under import under

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Literal

    from gpuprobe.strategies.plan import Plan
    from gpuprobe.strategies.registry import Strategy

# Feeds whose batches MirroredStrategy divides among the replicas; with any other each replica would get the whole
# batch.
DIVIDED_FEEDS = {"arrays", "pipeline"}


def scaled(
    devices: Sequence[int], *, weak: bool, over: Literal["devices", "workers"] = "devices"
) -> tuple[Strategy, ...]:
    """Return the strategies of one device, then those of each number of devices; changes only for the largest number.

    Raises UsageError where there is no number above 1, or one above what a host has.
    """
    numbers = sorted(set(devices) - {1})
    if not numbers or numbers[0] < 1 or numbers[-1] > MOST_DEVICES:
        raise UsageError(f"--{over}: name numbers of {over} up to {MOST_DEVICES}, one above 1 among them, as 1,2,4")
    first = replace(changes()[SPREADS[over].single], scale=Scale(devices=1, role="one", over=over))
    scaling = [strategy for strategy in changes().values() if strategy.scale and strategy.scale.over == over]
    return (first, *(strategy for strategy in scaling if _belongs(strategy, numbers, weak=weak)))


def chosen_of(
    devices: Sequence[int],
    backend: str | None,
    named: str | None,
    *,
    weak: bool,
    workers: Sequence[int] = (),
    servers: int = 0,
    option: str = "--strategies",
) -> tuple[tuple[Strategy, ...], str]:
    """Return the strategies of a study, and the backend that it trains with.

    Raises UsageError, which names the `option`, where numbers of devices or workers are asked for together with
    strategies, or with a backend other than TensorFlow.
    """
    if servers:
        return _with_service(devices, backend, named, servers, workers=workers, weak=weak), TENSORFLOW
    if not devices and not workers:
        return under(backend, named, option)
    if devices and workers:
        raise UsageError("--devices and --workers exclude each other: measure one after the other")
    asked = "--devices" if devices else "--workers"
    if named is not None:
        raise UsageError(f"{option} and {asked} exclude each other: {asked} has strategies of its own")
    if backend not in {None, TENSORFLOW}:
        raise UsageError(f"{asked}: tf.distribute is TensorFlow's; leave --backend out")
    return scaled(devices or workers, weak=weak, over="devices" if devices else "workers"), TENSORFLOW


def _with_service(
    devices: Sequence[int], backend: str | None, named: str | None, servers: int, *, workers: Sequence[int], weak: bool
) -> tuple[Strategy, ...]:
    """Return a study's strategies, and one more that adds tf.data service to the last of them."""
    if devices:
        raise UsageError("--devices and --data-service exclude each other: measure one after the other")
    if backend not in {None, TENSORFLOW}:
        raise UsageError("--data-service: tf.data service is TensorFlow's; leave --backend out")
    if servers > MOST_DEVICES:
        raise UsageError(f"--data-service: name a number of processes up to {MOST_DEVICES}")
    chosen, _ = chosen_of((), None, named or (None if workers else DEVICES.single), weak=weak, workers=workers)
    spread = (strategy.name for strategy in reversed(chosen) if strategy.scale and strategy.scale.role == "spread")
    base = next(spread, DEVICES.single)
    return (*chosen, replace(changes()[NAME.format(servers)], against=base))


def _belongs(strategy: Strategy, numbers: Sequence[int], *, weak: bool) -> bool:
    scale = strategy.scale
    assert scale is not None
    if scale.role == "xla":
        return True
    if scale.role == "one":
        return False
    # With a whole batch for each device, its share is the same as that of a single device.
    wanted = {"spread", "apart"} if weak else {"spread", "apart", "share", "change"}
    counts = numbers[-1:] if scale.role == "change" else numbers
    return scale.role in wanted and scale.weak == weak and scale.devices in counts


def cannot_spread(scale: Scale, plan: Plan, batch: int, gpus: int) -> str | None:
    """Return why a plan cannot be part of a study of several devices here, None where it can.

    `batch` is that of a single device; `gpus` is the number of GPUs here (0: logical devices of the processor are
    made).
    """
    if not scale.weak and batch % scale.devices:
        return f"a batch of {batch} cannot be divided by {scale.devices}; choose another --batch-size"
    if plan.replicas == plan.workers == 1:
        return None
    if 0 < gpus < plan.replicas * plan.workers:
        return f"this machine has {wording.count(gpus, 'GPU')}"
    if plan.jit_compile:
        return "XLA cannot compile a step of several replicas, whose variables lie on several devices"
    return None if plan.feed in DIVIDED_FEEDS else "every replica would train on the whole batch"
