"""Strategies as later stages see them, and the changes made by a combination of several."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from gpuprobe.records.base import Record

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# The part of a training that a strategy changes: the user's loop, the feed of batches, the computing of the step, a
# setting of Keras's `fit`, the batch size (which changes the training's course), or Keras's backend.
Part = Literal["loop", "feed", "compute", "fit", "batch", "backend"]
# The roles of strategies in a study of several devices.
Role = Literal["one", "xla", "share", "apart", "spread", "change"]


class Scale(Record, frozen=True, kw_only=True):
    """The part of a strategy in a study of several `devices`: all of one process, or `over` workers with one each.

    `spread` trains on all of them; `apart` does too, but its replicas exchange no gradients. `share` computes on one
    device what each of them has to; `one` is the one device that all are compared with, and `xla` that with XLA. A
    `change` makes one change to `spread`. Where it is `weak`, the batch of each device stays the same, else the whole.
    """

    devices: int
    role: Role
    weak: bool = False
    over: Literal["devices", "workers"] = "devices"

    @property
    def replicas(self) -> int:
        """How many devices compute."""
        return self.devices if self.role in {"spread", "apart", "change"} else 1

    @property
    def in_process(self) -> int:
        """How many of them one process has."""
        return self.replicas if self.over == "devices" else 1


class StrategyInfo(Record, frozen=True, kw_only=True):
    """A strategy in the report: its sentence, the one it is compared with, and the one thing it changes.

    `what_if` names the change that predicts its gain from the trace of the strategy it is compared with; `part` says
    what it changes. One that `combines` is found by a search. A change that has `sizes` to choose from is of `size`
    where nothing is chosen; None leaves that to TensorFlow. `backend` is what it trains with, empty for the study's.
    `scale` is its part in a study of several devices.
    """

    name: str
    sentence: str
    against: str | None = None
    change: str = ""
    combines: bool = False
    what_if: str = ""
    part: Part = "compute"
    size: int | None = None
    sizes: tuple[int, ...] = ()
    backend: str = ""
    scale: Scale | None = None


class Combination(Record, frozen=True, kw_only=True):
    """The next run of a search: `changes` applied to the strategy `start`; `step` numbers the search's runs, from 1."""

    start: str
    changes: tuple[str, ...]
    step: int


def chain(infos: Mapping[str, StrategyInfo], name: str) -> tuple[str, ...]:
    """Return the strategies on which one builds, the first one first, and last the strategy itself."""
    names = [name]
    while (info := infos.get(names[0])) is not None and info.against is not None:
        names.insert(0, info.against)
    return tuple(names)


def applied(infos: Mapping[str, StrategyInfo], start: str, changes: Sequence[str]) -> tuple[str, ...]:
    """Return all changes made where `changes` are applied to the strategy `start`, in order.

    A change of the feed brings all that it builds on: a cache needs its tf.data pipeline. A change of a chosen size is
    written `name=size`.
    """
    made = list(chain(infos, start))
    for change in changes:
        info = infos.get(change.partition("=")[0])
        feeds = info is not None and info.part == "feed"
        made += [*chain(infos, info.name)[:-1], change] if feeds and info is not None else [change]
    return tuple(made)
