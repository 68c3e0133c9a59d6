"""How the work is spread over several devices or workers, as signals: the share of the step that each flaw costs.

- Counts: `replicas`, `cores`, `distribution_devices`, and `shards`, the batches that the pipeline makes for each one
  that it keeps.
- Shares of the step (0 to 1): `uneven_share`, `distribution_ignored_share`, `xla_off_share`, `oversubscribed_share`,
  `shard_dropped_share`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gpuprobe import wording
from gpuprobe.ledger.stages import SEPARATOR, SHARD, above, is_buffer, last
from gpuprobe.records import Signal

if TYPE_CHECKING:
    from gpuprobe.ledger.records import DeviceBreakdown, HostBreakdown, IteratorFacts
    from gpuprobe.records import Settings

READ_BACK, MEASURED = "Keras, read back", "differential runs"
OF_STEP = "of the step"
TENSORFLOW = "tensorflow"
UNMEASURED = "it was not measured; gpuprobe run --devices measures it"


@dataclass(frozen=True)
class Measured:
    """A ratio or a share from runs that took turns, with its 95 % interval and the number of comparisons."""

    value: float
    low: float
    high: float
    n: int


@dataclass(frozen=True)
class Cores:
    """How many cores a process of the training may use; None where that was not recorded.

    `ready_threads` is how many threads of the machine wanted to run at a time, None where it was not measured. `shared`
    says that all replicas have the same cores; workers of several hosts do not.
    """

    count: int | None = None
    ready_threads: float | None = None
    shared: bool = True


def spread_over(
    settings: Settings, cores: Cores, xla_gain: Measured | None = None, beside: Measured | None = None
) -> tuple[Signal, ...]:
    """Return as signals what a training loses because of how it is spread over its devices.

    Its settings and measured runs tell it. `xla_gain` is how many times as fast XLA makes one device, `beside` the
    share of the step (0 to 1) that replicas lose when they run at the same time.
    """
    return (
        Signal(name="replicas", unit="devices", source=READ_BACK, value=float(settings.replicas)),
        Signal(
            name="cores",
            unit="cores",
            source="study",
            value=float(cores.count) if cores.count else None,
            missing=None if cores.count else "how many cores the process may use was not recorded",
        ),
        Signal(
            name="distribution_devices",
            unit="devices",
            source="keras.distribution",
            value=float(settings.distribution_devices),
        ),
        Signal(name="uneven_share", unit=OF_STEP, source="batch size and devices", value=_uneven_share(settings)),
        Signal(
            name="distribution_ignored_share",
            unit=OF_STEP,
            source="keras.distribution",
            value=_distribution_ignored_share(settings),
        ),
        _xla_off(settings, xla_gain),
        _oversubscribed(settings, cores, beside),
    )


def dropped(host: HostBreakdown | None, device: DeviceBreakdown) -> tuple[Signal, ...]:
    """Return the share of the step that goes into batches of other workers, which a stage `Shard` drops.

    Each worker then makes the batches of all `shards` workers and keeps its own. Nothing where no pipeline was seen.
    """
    source = "trace, iterators below the stage Shard"
    if host is None or not host.iterators:
        return ()
    shards = [
        (stage, _made_for_one_kept(stage, host.iterators))
        for stage in host.iterators
        if last(stage.name).startswith(SHARD)
    ]
    shard, times = max(shards, key=lambda pair: pair[1], default=(None, 1.0))
    share = 0.0
    if shard is not None and times > 1:
        working = [stage for stage in host.iterators if not is_buffer(stage.name)]
        below_ms = sum(stage.blocking_ms for stage in working if stage.name.startswith(shard.name + SEPARATOR))
        total_ms = sum(stage.blocking_ms for stage in working)
        share = device.share("idle_input") * (below_ms / total_ms if total_ms else 0.0) * (1 - 1 / times)
    return (
        Signal(name="shards", unit="batches for each", source=source, value=times),
        Signal(name="shard_dropped_share", unit=OF_STEP, source=source, value=share),
    )


def _made_for_one_kept(shard: IteratorFacts, stages: tuple[IteratorFacts, ...]) -> float:
    """Return how many elements a stage takes from the stage below for each one that it hands on."""
    asked = max((stage.count for stage in stages if above(stage.name) == shard.name), default=0)
    return max(1.0, float(round(asked / shard.count))) if shard.count else 1.0


def _uneven_share(settings: Settings) -> float:
    """By which share the mean part of a batch is smaller than the largest: tf.distribute gives some one sample more."""
    largest = math.ceil(settings.batch_size / settings.replicas)
    return 1 - settings.batch_size / (settings.replicas * largest)


def _distribution_ignored_share(settings: Settings) -> float:
    ignored = settings.distribution_devices if settings.backend == TENSORFLOW else 0
    return 1 - 1 / ignored if ignored > max(1, settings.replicas) else 0.0


def _xla_off(settings: Settings, gain: Measured | None) -> Signal:
    name = "xla_off_share"
    if settings.replicas == 1 or settings.jit_compile:
        return Signal(name=name, unit=OF_STEP, source=READ_BACK, value=0.0)
    if gain is None:
        return Signal(name=name, unit=OF_STEP, source=MEASURED, missing=UNMEASURED)
    value, low, high = (1 - 1 / ratio for ratio in (gain.value, gain.low, gain.high))
    return Signal(name=name, unit=OF_STEP, source=MEASURED, value=value, low=low, high=high, n=gain.n)


def _oversubscribed(settings: Settings, cores: Cores, beside: Measured | None) -> Signal:
    """The share of the step that replicas lose because they share cores; on a processor all of them compute there."""
    name, on_gpu = "oversubscribed_share", "GPU" in settings.device.upper()
    if settings.replicas == 1 or (on_gpu and cores.count is not None and settings.replicas <= cores.count):
        return Signal(name=name, unit=OF_STEP, source=READ_BACK, value=0.0)
    if reason := _not_by_cores(cores, on_gpu=on_gpu, measured=beside is not None):
        return Signal(name=name, unit=OF_STEP, source=MEASURED, missing=reason)
    if beside is not None:
        return Signal(
            name=name, unit=OF_STEP, source=MEASURED, value=beside.value, low=beside.low, high=beside.high, n=beside.n
        )
    if on_gpu or cores.count is None:
        return Signal(name=name, unit=OF_STEP, source=MEASURED, missing=UNMEASURED)
    # Replicas that all compute take turns on the cores.
    return Signal(name=name, unit=OF_STEP, source="cores", value=max(0.0, 1 - cores.count / settings.replicas))


def _not_by_cores(cores: Cores, *, on_gpu: bool, measured: bool) -> str:
    """Return why what replicas lose beside each other may have another reason than cores, empty where it has none.

    They also share memory and input, and workers wait for the last of them.
    """
    if not cores.shared:
        return "each worker may have a host of its own, with its own cores"
    if on_gpu:
        return ""
    if cores.count is None or cores.ready_threads is None:
        return "how many threads wanted to run at a time, and on how many cores, was not measured" if measured else ""
    if cores.ready_threads > cores.count:
        return ""
    ready = wording.significant(cores.ready_threads)
    return f"{ready} threads wanted to run at a time, with {wording.count(cores.count, 'core')} for them"
