"""TF_CONFIG: the addresses of a job's tasks, by kind, and which of them this process is."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

VARIABLE = "TF_CONFIG"
# Of this kind there are usually several, so that one is called by its number too.
WORKER = "worker"


@dataclass(frozen=True)
class Tasks:
    """What it says: addresses by kind of task, and the kind and the index of this one."""

    addresses: dict[str, tuple[str, ...]] = field(default_factory=dict)
    kind: str = ""
    index: int = 0

    @property
    def name(self) -> str:
        """What this task is called: `worker1`, or `chief` where it is the only one of its kind."""
        several = self.kind == WORKER or len(self.addresses.get(self.kind, ())) > 1
        return f"{self.kind}{self.index}" if several else self.kind


def parse(text: str) -> Tasks:
    """Read the variable's text. Raises ValueError where it is not as TensorFlow's guides write it."""
    try:
        read = json.loads(text)
        addresses = {str(kind): tuple(map(str, found)) for kind, found in read["cluster"].items()}
        return Tasks(addresses, str(read["task"]["type"]), int(read["task"]["index"]))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"cannot be read ({type(error).__name__}: {error})") from error


def own_task(environ: Mapping[str, str]) -> str:
    """Return what this process is called, empty where the environment does not say."""
    try:
        return parse(environ.get(VARIABLE, "")).name
    except ValueError:
        return ""
