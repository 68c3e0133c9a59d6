"""What the card can do, as signals: by its name, the driver and the trace."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpuprobe import cards
from gpuprobe.errors import UsageError
from gpuprobe.records import Signal

if TYPE_CHECKING:
    from gpuprobe.cards import Card, Precision
    from gpuprobe.records import Settings

NO_CARD = "no GPU is named"
# The peak that applies to each dtype, on a card with Tensor Cores and on one without.
WITH_TENSOR_CORES: dict[str, Precision] = {"float16": "fp16_tensor", "bfloat16": "bf16_tensor", "float32": "fp32"}
WITHOUT_TENSOR_CORES: dict[str, Precision] = {"float16": "fp16", "float32": "fp32"}


def card_of(name: str, *, compute_capability: str = "", memory_mib: float | None = None) -> Card | None:
    """Return the card of that name; None if it is not in the table, or there with another compute capability."""
    try:
        card = cards.find(name, memory_mib=memory_mib)
    except UsageError:
        return None
    return None if compute_capability and card.compute_capability != compute_capability else card


def card_signals(name: str, *, compute_capability: str = "", memory_mib: float | None = None) -> tuple[Signal, ...]:
    """Return `card`, `compute_capability`, `has_tensor_cores` and `boost_mhz`; one that is not known says why."""
    if not name and not compute_capability:
        return tuple(
            Signal(name=signal, unit="", source="driver", missing=NO_CARD)
            for signal in ("card", "compute_capability", "has_tensor_cores", "boost_mhz")
        )
    card = card_of(name, compute_capability=compute_capability, memory_mib=memory_mib)
    capability = compute_capability or (card.compute_capability if card else "")
    source = "driver" if compute_capability else "table of cards"
    return (
        Signal(name="card", unit="", source="driver", value=name or None, missing=None if name else NO_CARD),
        Signal(
            name="compute_capability",
            unit="",
            source=source,
            value=float(capability) if capability else None,
            missing=None if capability else f"{name} is not in the table of cards, and the driver does not tell",
        ),
        _tensor_cores(name, capability, card),
        Signal(
            name="boost_mhz",
            unit="MHz",
            source="table of cards",
            value=card.boost_mhz if card else None,
            missing=None if card else "the card is not in the table",
        ),
    )


def mfu(settings: Settings, card: Card | None, flop_per_s: float | None, sm_clock_mhz: float | None) -> Signal:
    """Model-FLOPs utilization: the model's own arithmetic per second over the card's peak at its measured clock.

    Source: Chowdhery et al., "PaLM", 2022, appendix B. Only the FLOP that the model itself needs count, not those that
    are computed again. Without `sm_clock_mhz` the peak is that at the card's boost clock.
    """
    missing = None
    value = None
    if card is None:
        missing = "the card's peak is not known"
    elif flop_per_s is None:
        missing = "the arithmetic of a step was not counted"
    else:
        precision = (WITH_TENSOR_CORES if card.tensor_rate else WITHOUT_TENSOR_CORES).get(settings.compute_dtype)
        if settings.tf32 and settings.compute_dtype == "float32" and card.tensor_rate:
            precision = (cards.peak_flop_per_s(card, "tf32_tensor") and "tf32_tensor") or precision
        peak = cards.peak_flop_per_s(card, precision, sm_clock_mhz) if precision else None
        value = flop_per_s / peak if peak else None
        missing = None if peak else f"no peak is known for {settings.compute_dtype} on {card.name}"
    clock = f"at {sm_clock_mhz:.0f} MHz as measured" if sm_clock_mhz else "at its boost clock"
    source = f"TensorFlow's count of FLOP, peak of {card.name} {clock}" if card else "TensorFlow's count of FLOP"
    return Signal(name="mfu", unit="of the card's peak", source=source, value=value, missing=missing)


def _tensor_cores(name: str, capability: str, card: Card | None) -> Signal:
    value: bool | None = None
    source = "table of cards"
    if card is not None:
        value = bool(card.tensor_cores)
    elif capability:
        value, source = cards.has_tensor_cores(name, capability), f"compute capability {capability}"
    missing = None if value is not None else f"nothing is known of {name or 'this card'}"
    return Signal(name="has_tensor_cores", unit="", source=source, value=value, missing=missing)
