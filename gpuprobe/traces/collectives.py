"""What PyTorch's profiler says of a collective: its communicator and how much each device gives or gets.

The names are those of torch/csrc/distributed/c10d/ParamCommsUtils.hpp; types are called as c10::ScalarType prints them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpuprobe.traces.chrome_columns import whole
from gpuprobe.traces.timeline import UNKNOWN

if TYPE_CHECKING:
    from gpuprobe.traces.chrome_columns import Detail
    from gpuprobe.traces.chrome_json import Document

BYTES = {
    "byte": 1, "char": 1, "bool": 1, "short": 2, "int": 4, "long": 8, "half": 2, "bfloat16": 2, "float": 4, "double": 8,
}  # fmt: skip
# As `Float8_e4m3fn`.
FLOAT8 = "float8"
# More processes than any job has.
MOST_RANKS = 10**6


def communicator(detail: Detail) -> str:
    """Return what tells a communicator from others: its name, which may come again, and its ranks; empty without."""
    if detail.group is None:
        return ""
    ranks = detail.group_ranks
    members = ", ".join(map(str, ranks)) if isinstance(ranks, tuple) else str(ranks or "").strip("[] ")
    return f"group {detail.group} of ranks {members}" if members else f"group {detail.group}"


def exchanged_bytes(detail: Detail) -> int:
    """Return how much a device gives or gets, the larger; UNKNOWN where the trace does not say."""
    kind = str(detail.dtype).lower()
    each = BYTES.get(kind, 1 if kind.startswith(FLOAT8) else 0)
    elements = max(map(whole, detail.elements))
    return each * elements if each and 0 <= elements < 2**59 else UNKNOWN


def ranks(document: Document) -> int:
    """Return how many processes a job has, 0 where the trace does not say."""
    distributed = document.distributed
    size = whole(distributed.get("world_size")) if isinstance(distributed, dict) else UNKNOWN
    return size if 0 < size <= MOST_RANKS else 0
