"""How the work is spread over several devices or workers, as signals: what each flaw of it costs of the step.

The signals: `replicas`, `cores`, `distribution_devices`, and `shards`, how many batches the pipeline makes for each
that it keeps; of the step `uneven_share`, `distribution_ignored_share`, `xla_off_share`, `oversubscribed_share` and
`shard_dropped_share`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gpuprobe.ledger.stages import SEPARATOR, SHARD, above, is_buffer, last
from gpuprobe.records import Signal

if TYPE_CHECKING:
    from gpuprobe.ledger.records import DeviceBreakdown, HostBreakdown, IteratorFacts
    from gpuprobe.records import Settings

READ_BACK, MEASURED = "Keras, read back", "differential runs"
OF_STEP = "of the step"
TENSORFLOW = "tensorflow"
UNMEASURED = "runs beside each other tell it: gpuprobe run --devices"


@dataclass(frozen=True)
class Measured:
    """A ratio or a share that runs beside each other measured, with its 95 % interval."""

    value: float
    low: float
    high: float
    n: int


def spread_over(
    settings: Settings, cores: int | None, xla_gain: Measured | None = None, beside: Measured | None = None
) -> tuple[Signal, ...]:
    """Return what is lost by how a training is spread over its devices, as far as its settings and runs beside it tell.

    `xla_gain` is how many times as fast XLA makes one device, `beside` the share of the step that replicas lose beside
    each other.
    """
    uneven, ignored = _uneven(settings), _ignored(settings)
    return (
        Signal(name="replicas", unit="devices", source=READ_BACK, value=float(settings.replicas)),
        Signal(
            name="cores",
            unit="cores",
            source="study",
            value=float(cores) if cores else None,
            missing=None if cores else "how many cores the process may use was not recorded",
        ),
        Signal(
            name="distribution_devices",
            unit="devices",
            source="keras.distribution",
            value=float(settings.distribution_devices),
        ),
        Signal(name="uneven_share", unit=OF_STEP, source="batch size and devices", value=uneven),
        Signal(name="distribution_ignored_share", unit=OF_STEP, source="keras.distribution", value=ignored),
        _xla_off(settings, xla_gain),
        _oversubscribed(settings, cores, beside),
    )


def dropped(host: HostBreakdown | None, device: DeviceBreakdown) -> tuple[Signal, ...]:
    """Return how much of the step goes into batches that a stage `Shard` drops, since they are other workers'.

    What is made for all workers and kept by one is made `shards` times. Nothing where a pipeline was not seen.
    """
    source = "trace, iterators below the stage Shard"
    if host is None or not host.iterators:
        return ()
    late = [(one, _made_for(one, host.iterators)) for one in host.iterators if last(one.name).startswith(SHARD)]
    shard, times = max(late, key=lambda pair: pair[1], default=(None, 1.0))
    share = 0.0
    if shard is not None and times > 1:
        working = [one for one in host.iterators if not is_buffer(one.name)]
        below = sum(one.blocking_ms for one in working if one.name.startswith(shard.name + SEPARATOR))
        every = sum(one.blocking_ms for one in working)
        share = device.share("idle_input") * (below / every if every else 0.0) * (1 - 1 / times)
    return (
        Signal(name="shards", unit="batches for each", source=source, value=times),
        Signal(name="shard_dropped_share", unit=OF_STEP, source=source, value=share),
    )


def _made_for(shard: IteratorFacts, known: tuple[IteratorFacts, ...]) -> float:
    """Return how many elements a stage asks the one below it for, for each that it hands on."""
    asked = max((one.count for one in known if above(one.name) == shard.name), default=0)
    return max(1.0, float(round(asked / shard.count))) if shard.count else 1.0


def _uneven(settings: Settings) -> float:
    """The share of the largest part by which the mean part is smaller: tf.distribute gives some one sample more."""
    largest = math.ceil(settings.batch_size / settings.replicas)
    return 1 - settings.batch_size / (settings.replicas * largest)


def _ignored(settings: Settings) -> float:
    told = settings.distribution_devices if settings.backend == TENSORFLOW else 0
    return 1 - 1 / told if told > max(1, settings.replicas) else 0.0


def _xla_off(settings: Settings, gain: Measured | None) -> Signal:
    name = "xla_off_share"
    if settings.replicas == 1 or settings.jit_compile:
        return Signal(name=name, unit=OF_STEP, source=READ_BACK, value=0.0)
    if gain is None:
        return Signal(name=name, unit=OF_STEP, source=MEASURED, missing=UNMEASURED)
    value, low, high = (1 - 1 / ratio for ratio in (gain.value, gain.low, gain.high))
    return Signal(name=name, unit=OF_STEP, source=MEASURED, value=value, low=low, high=high, n=gain.n)


def _oversubscribed(settings: Settings, cores: int | None, beside: Measured | None) -> Signal:
    """What replicas lose beside each other, where they have to share cores: on a processor all do."""
    name, on_gpu = "oversubscribed_share", "GPU" in settings.device.upper()
    if settings.replicas == 1 or (on_gpu and cores is not None and settings.replicas <= cores):
        return Signal(name=name, unit=OF_STEP, source=READ_BACK, value=0.0)
    if beside is not None:
        return Signal(
            name=name, unit=OF_STEP, source=MEASURED, value=beside.value, low=beside.low, high=beside.high, n=beside.n
        )
    if on_gpu or cores is None:
        return Signal(name=name, unit=OF_STEP, source=MEASURED, missing=UNMEASURED)
    # Replicas that all compute take turns on the cores.
    return Signal(name=name, unit=OF_STEP, source="cores", value=max(0.0, 1 - cores / settings.replicas))
