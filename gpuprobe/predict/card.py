"""Predicts an epoch of the built-in ResNet on a card: fixed host time, and the longer of launches and kernels.

    step = fixed + max(operations x launch interval, sum over operations of max(FLOP, bytes, shortest kernel))

Launches run ahead of kernels, so the slower of the two limits the step. The host is that of the public table.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpuprobe.cards import Card, bandwidth_bytes_per_s, find, peak_flop_per_s
from gpuprobe.predict.estimate import Estimate, over
from gpuprobe.predict.published import TABLE_CARD, steps_per_epoch, table_host
from gpuprobe.predict.roofline import BEST, USUAL, WORST, device_time
from gpuprobe.predict.work import train_step
from gpuprobe.records import Record

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gpuprobe.predict.published import HostCost
    from gpuprobe.predict.roofline import DeviceTime
    from gpuprobe.predict.work import Work


class CardPrediction(Record, frozen=True, kw_only=True):
    """The predicted time of a training on a card with the table's host, by term.

    `binds` is the term that limits the step. `card_bound_epoch_s` is the epoch if only the card limited you, on the
    table's card too: slower than the table's row in the ratio of the cards' peaks, the worse one of arithmetic and
    memory bandwidth. A time above both figures is not explained by the card.
    """

    card: Card
    depth: int
    batch_size: int
    steps_per_epoch: int
    operations: int
    flop_per_step: float
    bytes_per_step: float
    peak_flop_per_s: float
    launch_us: Estimate
    compute_ms: Estimate
    memory_ms: Estimate
    small_ms: Estimate
    launch_ms: Estimate
    host_ms: Estimate
    step_ms: Estimate
    epoch_s: Estimate
    card_bound_epoch_s: Estimate
    binds: str

    def share_of_peak(self, epoch_s: float) -> float:
        """Return the share of the card's float32 peak that an epoch of so many seconds reaches (0 to 1)."""
        return self.flop_per_step * self.steps_per_epoch / epoch_s / self.peak_flop_per_s


def predict_card(card: Card, depth: int, batch_size: int) -> CardPrediction:
    """Predict the training of ResNet-v1 of a depth. Raises UsageError where depth or card do not allow it."""
    work, hosts = train_step(depth), table_host()
    times = _kernels(card, work, batch_size)
    launches = [_launch_ms(host, work) for host in hosts]
    step_ms = _step(times, hosts, launches)
    steps = steps_per_epoch(batch_size)
    usual = times[0]
    terms = {"launch": launches[0], "compute": usual.compute_ms, "memory": usual.memory_ms, "small": usual.small_ms}
    kernels = {name: terms[name] for name in ("compute", "memory", "small")}
    on_table_card = _step(_kernels(find(TABLE_CARD), work, batch_size), hosts, launches)
    return CardPrediction(
        card=card,
        depth=depth,
        batch_size=batch_size,
        steps_per_epoch=steps,
        operations=work.operation_count,
        flop_per_step=work.flop_per_sample * batch_size,
        bytes_per_step=work.bytes_per_step(batch_size),
        peak_flop_per_s=peak_flop_per_s(card) or 0.0,
        launch_us=over(hosts[0].launch_us, (host.launch_us for host in hosts)),
        compute_ms=over(usual.compute_ms, (time.compute_ms for time in times)),
        memory_ms=over(usual.memory_ms, (time.memory_ms for time in times)),
        small_ms=over(usual.small_ms, (time.small_ms for time in times)),
        launch_ms=over(launches[0], launches),
        host_ms=over(hosts[0].fixed_ms, (host.fixed_ms for host in hosts)),
        step_ms=step_ms,
        epoch_s=step_ms.times(steps / 1e3),
        card_bound_epoch_s=on_table_card.times(_slower(card) * steps / 1e3),
        binds="launch" if launches[0] >= usual.total_ms else max(kernels, key=lambda name: kernels[name]),
    )


def _launch_ms(host: HostCost, work: Work) -> float:
    return 1e-3 * host.launch_us * work.operation_count


def _kernels(card: Card, work: Work, batch_size: int) -> list[DeviceTime]:
    return [device_time(card, work, batch_size, reach) for reach in (USUAL, BEST, WORST)]


def _step(kernels: Sequence[DeviceTime], hosts: Sequence[HostCost], launches: Sequence[float]) -> Estimate:
    steps_ms = [
        host.fixed_ms + max(launch_ms, time.total_ms)
        for host, launch_ms in zip(hosts, launches, strict=True)
        for time in kernels
    ]
    return over(steps_ms[0], steps_ms)


def _slower(card: Card) -> float:
    """Return how many times slower the card is than the table's, in arithmetic or in bandwidth, whichever is worse."""
    table = find(TABLE_CARD)
    arithmetic = (peak_flop_per_s(table) or 0.0) / (peak_flop_per_s(card) or 1.0)
    return max(arithmetic, (bandwidth_bytes_per_s(table) or 0.0) / (bandwidth_bytes_per_s(card) or 1.0))
