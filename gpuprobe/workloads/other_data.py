"""Batches that PyTorch's DataLoader or Grain makes, which Keras takes under every backend."""

from __future__ import annotations

import sys
from typing import Any

LOADER, GRAIN = "a DataLoader", "a Grain pipeline"


def kind_of(data: Any) -> str:
    """Return what makes the batches; empty where it is neither, and where nobody has imported what it would be of."""
    torch, grain = sys.modules.get("torch"), sys.modules.get("grain")
    if torch is not None and isinstance(data, torch.utils.data.DataLoader):
        return LOADER
    kinds = (grain.MapDataset, grain.IterDataset, grain.DataLoader) if grain is not None else ()
    return GRAIN if isinstance(data, kinds) else ""
