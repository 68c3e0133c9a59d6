"""Peak rates: SMs x results per clock x 2 (a multiply-add is two FLOP) x clock."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from gpuprobe.cards.architecture import architecture

if TYPE_CHECKING:
    from gpuprobe.cards.table import Card

Precision = Literal["fp32", "fp16", "fp16_tensor", "bf16_tensor", "tf32_tensor"]


def peak_flop_per_s(card: Card, precision: Precision = "fp32", clock_mhz: float | None = None) -> float | None:
    """Return the most FLOP per second of a card, at its own clock or at a measured SM clock (`clock_mhz`).

    `fp16` is without Tensor Cores. Precisions in `_tensor` are dense products on Tensor Cores, summed in fp32; the
    card's own clock is then that of its Tensor Cores where it is known, else the boost clock. None where the card has
    no such instructions or no source tells their rate. Formula: SMs x FLOP per clock and SM x clock (NVIDIA's
    whitepapers give their peak rates so).
    """
    sm = architecture(card.compute_capability)
    if sm is None:
        return None
    if precision in ("fp32", "fp16"):
        results = sm.fp32_lanes if precision == "fp32" else sm.half_results
        return None if results is None else 2 * results * card.sm_count * 1e6 * (clock_mhz or card.boost_mhz)
    flop = sm.tensor_tf32_flop if precision == "tf32_tensor" else sm.tensor_half_flop
    if flop is None or card.tensor_rate is None or (precision == "bf16_tensor" and not sm.has_bf16):
        return None
    return flop * card.tensor_rate * card.sm_count * 1e6 * (clock_mhz or card.tensor_mhz or card.boost_mhz)


def bandwidth_bytes_per_s(card: Card) -> float | None:
    """Return the most bytes per second between the card and its own memory, as its maker gives it, else None."""
    return None if card.bandwidth_gb_s is None else 1e9 * card.bandwidth_gb_s
