"""The environment variable TF_CONFIG: the addresses of a job's tasks, by kind, and which task this process is."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

VARIABLE = "TF_CONFIG"
# A job usually has several workers, so a worker's name always has its index.
WORKER = "worker"
# The kinds of tasks that train together, in the order in which TensorFlow numbers them.
TRAINING = ("chief", WORKER)


@dataclass(frozen=True)
class Tasks:
    """The content of TF_CONFIG: addresses by kind of task, and the kind and index of this process's task."""

    addresses: dict[str, tuple[str, ...]] = field(default_factory=dict)
    kind: str = ""
    index: int = 0

    @property
    def name(self) -> str:
        """The name of this process's task: `worker1`, or `chief` where it is the only one of its kind."""
        several = self.kind == WORKER or len(self.addresses.get(self.kind, ())) > 1
        return f"{self.kind}{self.index}" if several else self.kind

    @property
    def ranks(self) -> int:
        """How many tasks train together, 0 where no addresses are known."""
        return len(training(self.addresses))

    @property
    def rank(self) -> int | None:
        """The number of this task among those that train together, None where it is not one of them."""
        if self.kind not in TRAINING:
            return None
        before = TRAINING[: TRAINING.index(self.kind)]
        return sum(len(self.addresses.get(kind, ())) for kind in before) + self.index


def parse(text: str) -> Tasks:
    """Read the variable's text. Raises ValueError where it does not have the form of TensorFlow's guides."""
    addresses = cluster(text)
    try:
        task = json.loads(text)["task"]
        return Tasks(addresses, str(task["type"]), int(task["index"]))
    except (ValueError, KeyError, TypeError) as error:
        raise _unreadable(error) from error


def cluster(text: str) -> dict[str, tuple[str, ...]]:
    """Read the addresses by kind of task from the variable's text, which need not say which task this process is.

    Raises ValueError where it does not have the form of TensorFlow's guides.
    """
    try:
        return {str(kind): tuple(map(str, hosts)) for kind, hosts in json.loads(text)["cluster"].items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise _unreadable(error) from error


def training(addresses: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    """Return the addresses of the tasks that train together, in the order of their ranks."""
    return tuple(address for kind in TRAINING for address in addresses.get(kind, ()))


def _unreadable(error: Exception) -> ValueError:
    return ValueError(f"cannot be read ({type(error).__name__}: {error})")


def own_tasks(environ: Mapping[str, str]) -> Tasks:
    """Return what TF_CONFIG says; nothing where it is not set or cannot be read."""
    try:
        return parse(environ.get(VARIABLE, ""))
    except ValueError:
        return Tasks()
