"""The kernel time of a step: for each operation the longest of arithmetic, memory traffic and shortest kernel.

Roofline: Williams, Waterman and Patterson 2009. The shares of peak are assumptions with a wide range, not measurements.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpuprobe.cards import bandwidth_bytes_per_s, peak_flop_per_s
from gpuprobe.errors import UsageError
from gpuprobe.records import Record

if TYPE_CHECKING:
    from gpuprobe.cards import Card
    from gpuprobe.predict.work import Work


class Reach(Record, frozen=True, kw_only=True):
    """The shares of the card's peaks that kernels reach (0 to 1), and the shortest time of a kernel."""

    flop_share: float
    bandwidth_share: float
    shortest_us: float


# Convolutions of 16 to 64 channels fill few of a tensor kernel's lanes; streaming kernels come nearer to the peak. Both
# are assumptions. The shortest kernels are those of launch-bound Keras steps traced with TensorFlow 2.3 to 2.5: a tenth
# of a step's kernels last at most 2.0 to 3.8 us, in the middle one of nine traces 2.6 us.
USUAL = Reach(flop_share=0.4, bandwidth_share=0.7, shortest_us=2.6)
BEST = Reach(flop_share=0.7, bandwidth_share=0.85, shortest_us=2.0)
WORST = Reach(flop_share=0.2, bandwidth_share=0.5, shortest_us=3.8)


class DeviceTime(Record, frozen=True, kw_only=True):
    """A step's kernel time in ms, by what limits each kernel: arithmetic, memory, or being too small for either."""

    compute_ms: float
    memory_ms: float
    small_ms: float

    @property
    def total_ms(self) -> float:
        """All kernels, one after the other."""
        return self.compute_ms + self.memory_ms + self.small_ms


def device_time(card: Card, work: Work, batch_size: int, reach: Reach) -> DeviceTime:
    """Return the kernel time of a float32 step. Raises UsageError where the card's peak or bandwidth is unknown."""
    peak, bandwidth = peak_flop_per_s(card), bandwidth_bytes_per_s(card)
    if peak is None or bandwidth is None:
        raise UsageError(f"{card.name}: its {'peak' if peak is None else 'memory bandwidth'} is not known")
    sums = {"compute": 0.0, "memory": 0.0, "small": 0.0}
    for operation in work.operations:
        moved = operation.sample_bytes * batch_size + operation.step_bytes
        times = {
            "compute": 1e3 * operation.flop * batch_size / (reach.flop_share * peak),
            "memory": 1e3 * moved / (reach.bandwidth_share * bandwidth),
            "small": 1e-3 * reach.shortest_us,
        }
        longest = max(times, key=lambda name: times[name])
        sums[longest] += times[longest]
    sums["small"] += 1e-3 * reach.shortest_us * max(0, work.operation_count - len(work.operations))
    return DeviceTime(compute_ms=sums["compute"], memory_ms=sums["memory"], small_ms=sums["small"])
