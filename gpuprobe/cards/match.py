"""Finds a card by the names that NVML, TensorFlow and people use, and estimates cards that the table lacks."""

from __future__ import annotations

import functools
import re

from gpuprobe import wording
from gpuprobe.cards.architecture import architecture
from gpuprobe.cards.table import Card, cards
from gpuprobe.errors import UsageError

# Words for the maker or the family, which are ignored, since no two cards of the table differ only by them.
FILLERS = ("nvidia", "geforce", "quadro", "tesla", "corporation", "generation", "graphics", "design", "edition", "gpu")
MEMORY = re.compile(r" \d+GB$")
SERIES = re.compile(r"^(gtx|rtx)(?=\d)")
# A card may report a little less memory than in the table: some is reserved, or used for error correction.
MEMORY_TOLERANCE = 0.12
SUGGESTIONS = 3
CLOSE_ENOUGH = 0.6


def find(name: str, *, memory_mib: float | None = None, sm_count: int | None = None) -> Card:
    """Return the card of a name as NVML, TensorFlow's device description or a person writes it.

    Where several cards share the name, memory and SM count decide. Raises UsageError for a name that fits none or
    several, with the nearest ones.
    """
    fitting = _named(name)
    if memory_mib is not None:
        fitting = [card for card in fitting if _holds(card, memory_mib)] or fitting
    if sm_count is not None:
        fitting = [card for card in fitting if card.sm_count == sm_count]
    desktop = [card for card in fitting if card.kind != "laptop"]
    if len(desktop or fitting) == 1:
        return (desktop or fitting)[0]
    if fitting:
        several = wording.listing([card.name for card in fitting], "or")
        raise UsageError(f"GPU {name!r} may be one of several cards: {several}")
    raise UsageError(f"GPU {name!r} is not in the table of cards{_hint(name)}")


def estimate(
    name: str,
    *,
    compute_capability: str,
    sm_count: int,
    clock_mhz: float,
    bandwidth_gb_s: float | None = None,
    memory_gib: float | None = None,
) -> Card:
    """Estimate a card from facts of NVML or a trace.

    Its Tensor Core rate is known only if all cards of that compute capability have the same. Raises UsageError for an
    unknown compute capability, since peak rates then do not follow from SMs and clocks.
    """
    if architecture(compute_capability) is None:
        raise UsageError(f"GPU {name!r}: nothing is known of compute capability {compute_capability}")
    rates = {card.tensor_rate for card in cards() if card.compute_capability == compute_capability}
    return Card(
        name=name,
        chip="",
        kind="estimated",
        compute_capability=compute_capability,
        sm_count=sm_count,
        base_mhz=None,
        boost_mhz=clock_mhz,
        tensor_mhz=None,
        bandwidth_gb_s=bandwidth_gb_s,
        memory_gib=memory_gib,
        bus_bits=None,
        tdp_w=None,
        tensor_cores=None,
        tensor_rate=rates.pop() if len(rates) == 1 else None,
        pcie_generation=None,
        pcie_lanes=None,
        source="estimated from SM count, clock and compute capability as the driver gives them",
    )


def _named(name: str) -> list[Card]:
    key = _key(name)
    # Up to the 20 series NVML gives a laptop card the name of the desktop one; the table has both.
    exact = [card for card in cards() if key in (_key(card.name), _key(card.name.removesuffix(" (laptop)")))]
    # NVML leaves the memory out of most names: `GeForce RTX 3060` may have 12 GB or 8. People leave out the family too:
    # `1080 Ti`.
    return (
        exact
        or [card for card in cards() if key and _key(MEMORY.sub("", card.name)) == key]
        or [card for card in cards() if key and SERIES.sub("", _key(card.name)) == key]
    )


@functools.cache
def _key(name: str) -> str:
    """Reduce a name to the part by which cards differ: `device: 0, name: Tesla T4, pci ...` to `t4`."""
    described = re.search(r"name:\s*([^,]+)", name)
    text = (described[1] if described else name).lower().replace("mobile", "laptop").replace("maxq", "max-q")
    text = re.sub(r"\b(with|" + "|".join(FILLERS) + r")\b|\(r\)|\(tm\)", " ", text)
    return re.sub(r"[^a-z0-9]", "", re.sub(r"\bgi?b\b", "gb", text))


def _holds(card: Card, memory_mib: float) -> bool:
    return card.memory_gib is not None and abs(memory_mib / 1024 / card.memory_gib - 1) <= MEMORY_TOLERANCE


def _hint(name: str) -> str:
    import difflib

    keys = {_key(card.name): card.name for card in cards()}
    wanted = _key(name)
    near = difflib.get_close_matches(wanted, keys, n=SUGGESTIONS, cutoff=CLOSE_ENOUGH)
    longer = [key for key in keys if wanted and key.startswith(wanted)][:SUGGESTIONS]
    similar = [keys[key] for key in dict.fromkeys([*longer, *near])][:SUGGESTIONS]
    if similar:
        return f"; did you mean {wording.listing(similar, 'or')}?"
    return "; name an NVIDIA card as the driver or a shop does, as GTX 1060 3GB"
