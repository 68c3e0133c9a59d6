"""The NVIDIA cards: the peak rates and limits of each, by name or estimated from the driver's facts."""

from gpuprobe.cards.architecture import TENSOR_CORES_FROM, Architecture, architecture, has_tensor_cores
from gpuprobe.cards.match import estimate, find
from gpuprobe.cards.occupancy import Occupancy, occupancy
from gpuprobe.cards.peak import Precision, bandwidth_bytes_per_s, peak_flop_per_s
from gpuprobe.cards.table import Card, cards

__all__ = [
    "TENSOR_CORES_FROM",
    "Architecture",
    "Card",
    "Occupancy",
    "Precision",
    "architecture",
    "bandwidth_bytes_per_s",
    "cards",
    "estimate",
    "find",
    "has_tensor_cores",
    "occupancy",
    "peak_flop_per_s",
]
