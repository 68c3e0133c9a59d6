"""The length of each kernel of a step: the model's work on this card, in this dtype, at this clock."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from gpuprobe import cards
from gpuprobe.simulate.noise import Noise, Source

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from gpuprobe.simulate.spec import Card, Kernels, Spec

# Multiples of the golden ratio spread the matrix multiplications evenly over the step.
GOLDEN = 0.6180339887498949


def has_tensor_cores(card: Card) -> bool:
    """Whether the card has Tensor Cores."""
    return cards.has_tensor_cores(card.name, card.compute_capability)


def multiplies(kernels: Kernels, place: int) -> bool:
    """Whether the kernel at a place of the step (before fusing) multiplies matrices, as Tensor Cores can."""
    return (place * GOLDEN) % 1 < kernels.matmul_share


def dtype_factor(spec: Spec) -> float:
    """The time of a matrix multiplication, relative to float32."""
    if spec.kernels.dtype == "float32":
        return 1.0
    if has_tensor_cores(spec.card):
        return 1 / spec.kernels.tensor_core_speedup
    slower = float(spec.card.compute_capability) < cards.TENSOR_CORES_FROM
    return spec.kernels.fp16_slowdown if slower else 1.0


def durations_us(spec: Spec, noise: Noise, device: int, step: int) -> list[float]:
    """Return the us of each kernel of a step on one device, (kernels,): alone on the card, and fused if XLA is on."""
    kernels = spec.kernels
    work = _work_us(spec) * noise.factors(kernels.count, Source.KERNEL, device, step)
    if device == spec.collective.straggler:
        work = work * spec.collective.straggler_slowdown
    if not spec.card.on_gpu:
        work = work * spec.card.cpu_slowdown
    groups = np.add.reduceat(work, np.arange(0, kernels.count, kernels.fused))
    fixed_us = min(kernels.fixed_us, kernels.mean_us)
    lengths_us: list[float] = (groups + fixed_us).tolist()
    return lengths_us


def _work_us(spec: Spec) -> NDArray[np.float64]:
    kernels = spec.kernels
    pattern = _pattern(kernels.count, kernels.spread)
    matmul = np.arange(kernels.count) * GOLDEN % 1 < kernels.matmul_share
    scale = np.where(matmul, dtype_factor(spec), 1.0) / spec.card.clock_fraction
    result: NDArray[np.float64] = max(kernels.mean_us - kernels.fixed_us, 0.0) * pattern * scale
    return result


@lru_cache(maxsize=64)
def _pattern(count: int, spread: float) -> NDArray[np.float64]:
    """Return relative lengths (count,) with mean 1, the same in every session: the network is the same."""
    lengths = Noise(0, spread).factors(count, Source.KERNEL_PATTERN)
    result: NDArray[np.float64] = lengths / lengths.mean()
    return result
