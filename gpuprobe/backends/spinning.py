"""Whether the threads of an operation spin while they wait for each other, as GNU's OpenMP lets them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from gpuprobe.thresholds import fixed

if TYPE_CHECKING:
    from collections.abc import Mapping

# GNU's OpenMP, and how it reads the variables (libgomp manual, GOMP_SPINCOUNT): so many rounds where none is set.
LIBRARY, USUAL_SPINS = "libgomp", 300_000
FACTORS = {"k": 1e3, "m": 1e6, "g": 1e9, "t": 1e12}


def threads_spin(threads: int, environ: Mapping[str, str], maps: Path = Path("/proc/self/maps")) -> bool | None:
    """Whether an operation's threads, so many, spin for long; None where they are not those of GNU's OpenMP.

    `maps` lists the libraries that the process has loaded.
    """
    if threads < 2:
        return False
    try:
        loaded = LIBRARY in maps.read_text(errors="replace")
    except OSError:
        return None
    return _spins(environ) >= fixed.SPINS_FOR_LONG if loaded else None


def _spins(environ: Mapping[str, str]) -> float:
    count = environ.get("GOMP_SPINCOUNT", "").strip().lower()
    if count.startswith("infinit"):
        return float("inf")
    digits, factor = (count[:-1], FACTORS[count[-1]]) if count[-1:] in FACTORS else (count, 1.0)
    if digits.isdigit():
        return int(digits) * factor
    return {"active": float("inf"), "passive": 0.0}.get(environ.get("OMP_WAIT_POLICY", "").strip().lower(), USUAL_SPINS)
