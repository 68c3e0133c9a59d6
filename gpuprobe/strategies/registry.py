"""Finds the strategies of `catalogue/` and resolves one into its plan. Light: no TensorFlow here."""

from __future__ import annotations

import difflib
import functools
import importlib
import pkgutil
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Protocol, TypeVar

import msgspec

from gpuprobe.backends.known import TENSORFLOW, is_installed, lacking
from gpuprobe.errors import UsageError
from gpuprobe.records import StrategyInfo, applied
from gpuprobe.strategies.plan import Machine, Plan

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from gpuprobe.records import Part, RunSpec, Scale


# What nearly every workload of arrays can be fed with, under every backend; and what can feed the rest, as samples that
# Python maps one at a time.
PLAIN, PIPELINE = "numpy", "tfdata"
NOWHERE: Mapping[str, str] = MappingProxyType({})


class Change(Protocol):
    """A strategy's function: the plan it is compared with becomes its own. The docstring is the report's sentence.

    One that has `sizes` takes one of them as its third argument.
    """

    __name__: str
    __doc__: str | None

    def __call__(self, plan: Plan, machine: Machine, /) -> Plan:
        """Return the plan with one thing changed."""


@dataclass(frozen=True, kw_only=True)
class Strategy:
    """A registered strategy.

    `order` is its place in the list, `against` the strategy that it is compared with, `changes` a few words on how it
    differs from that one, and `part` the part of a training that it changes; `apply` makes its plan of that one's.
    `what_if` names the change of a replayed trace that predicts its gain, empty where there is none. A search chooses
    among its `sizes`, of which `size` is the usual one. One that `combines` others is found by a search. One that is
    not measured `alone` is only tried in a search, or as a part of a study of several devices (`scale`). One with a
    `backend` trains with that backend of Keras, whatever the others of its study do. `needs` names a package that its
    feed uses. By backend `not_under` says why it cannot be measured there, and `changes_under` has other words.
    `instead` names the strategy that takes its place where it cannot feed the workload, since nobody asked for it.
    """

    name: str
    order: int
    against: str | None
    changes: str
    apply: Change
    combines: bool = False
    what_if: str = ""
    part: Part = "compute"
    size: int | None = None
    sizes: tuple[int, ...] = ()
    alone: bool = True
    backend: str = ""
    needs: str = ""
    not_under: Mapping[str, str] = field(default_factory=dict)
    changes_under: Mapping[str, str] = field(default_factory=dict)
    scale: Scale | None = None
    instead: str = ""

    def lacks(self, backend: str) -> str:
        """Say why it cannot be measured where the study's other strategies train with that backend; empty if it can."""
        trains_with = self.backend or backend
        missing = next((name for name in (trains_with, self.needs) if name and not is_installed(name)), "")
        return lacking(missing) if missing else self.not_under.get(trains_with, "")

    @property
    def sentence(self) -> str:
        """The docstring as one paragraph."""
        return " ".join((self.apply.__doc__ or "").split())

    @property
    def info(self) -> StrategyInfo:
        """What the study saves about it."""
        return StrategyInfo(
            name=self.name,
            sentence=self.sentence,
            against=self.against,
            change=self.changes,
            combines=self.combines,
            what_if=self.what_if,
            part=self.part,
            size=self.size,
            sizes=self.sizes,
            backend=self.backend,
            scale=self.scale,
        )


_found: dict[str, Strategy] = {}
AnyChange = TypeVar("AnyChange", bound=Change)


def strategy(
    *,
    order: int,
    against: str | None,
    changes: str,
    combines: bool = False,
    what_if: str = "",
    part: Part = "compute",
    size: int | None = None,
    sizes: tuple[int, ...] = (),
    alone: bool = True,
    backend: str = "",
    needs: str = "",
    not_under: Mapping[str, str] = NOWHERE,
    changes_under: Mapping[str, str] = NOWHERE,
    scale: Scale | None = None,
) -> Callable[[AnyChange], AnyChange]:
    """Register a function as the strategy of its name; the arguments are the fields of `Strategy`."""

    def register(function: AnyChange) -> AnyChange:
        name = function.__name__
        _found[name] = Strategy(
            name=name,
            order=order,
            against=against,
            changes=changes,
            apply=function,
            combines=combines,
            what_if=what_if,
            part=part,
            size=size,
            sizes=sizes,
            alone=alone,
            backend=backend,
            needs=needs,
            not_under=not_under,
            changes_under=changes_under,
            scale=scale,
        )
        return function

    return register


@functools.cache
def changes() -> dict[str, Strategy]:
    """Return every strategy of the catalogue by name, in its order, also those that only a search tries."""
    package = importlib.import_module("gpuprobe.strategies.catalogue")
    for module in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"{package.__name__}.{module.name}")
    return {entry.name: _standing(entry) for entry in sorted(_found.values(), key=lambda entry: entry.order)}


def _standing(entry: Strategy) -> Strategy:
    """Return a strategy that is compared with plain arrays if what it is compared with cannot be measured here."""
    base = _found.get(entry.against or "")
    stands = base is None or not base.needs or is_installed(base.needs) or entry.needs
    return entry if stands else replace(entry, against=PLAIN)


@functools.cache
def strategies() -> dict[str, Strategy]:
    """Return every strategy that a study can measure by name, in catalogue order."""
    return {name: entry for name, entry in changes().items() if entry.alone}


def select(text: str, option: str = "--strategies") -> tuple[Strategy, ...]:
    """Return the strategies named by `all` or a comma list, in catalogue order; `all` are those of one backend.

    Raises UsageError, which names the `option`, for an unknown name, with the nearest known one, and for an empty list.
    """
    known = strategies()
    every = [name for name, entry in known.items() if not entry.backend and _is_usual(entry)]
    names = every if text.strip() == "all" else [part.strip() for part in text.split(",") if part.strip()]
    if not names:
        raise UsageError(f"{option}: name at least one (gpuprobe list shows them), or all")
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"; did you mean {near[0]}?" if near else "; gpuprobe list shows them"
            raise UsageError(f"{option}: there is no strategy {name!r}{hint}")
    return tuple(entry for entry in known.values() if entry.name in names)


def _is_usual(entry: Strategy) -> bool:
    """Whether it is one of `all`: a feed that needs a package few have is left out where that is not installed."""
    return entry.needs in {"", TENSORFLOW} or is_installed(entry.needs)


def replicas(name: str) -> int:
    """Return on how many devices one process of a strategy computes."""
    scale = changes()[name].scale
    return scale.in_process if scale else 1


def devices_of(name: str) -> int:
    """Return on how many devices a strategy computes, those of all its workers together."""
    scale = changes()[name].scale
    return scale.replicas if scale else 1


def plan_anywhere(spec: RunSpec) -> Plan:
    """Return the plan of a run as far as it depends on no machine, for use where the machine is not examined yet."""
    machine = Machine(compute_capability=None, cpu_has_bfloat16=True, largest_batch=lambda: spec.batch_size)
    return plan(spec.strategy, spec.batch_size, machine, spec.combines, spec.start, spec.backend)


def plan(
    name: str,
    batch_size: int,
    machine: Machine,
    combines: Sequence[str] = (),
    start: str = "",
    backend: str = TENSORFLOW,
) -> Plan:
    """Resolve a strategy: the plan of the one that it is compared with, changed by it.

    A `start` replaces the one that it is compared with. A strategy found by a search has no change of its own: the
    changes that it `combines` are applied to the plan of `start`, one after another.
    """
    infos = {entry.name: entry.info for entry in changes().values()}
    if start and not infos[name].combines:
        infos[name] = msgspec.structs.replace(infos[name], against=start)
    begins = (start or changes()[name].against or name) if changes()[name].combines else name
    # Under JAX Keras compiles the step of every strategy.
    resolved = Plan(feed="", batch_size=batch_size, backend=backend, jit_compile=backend == "jax")
    for step in applied(infos, begins, combines):
        # A note is about the change that made it, not about the strategies that build on that change.
        kept = resolved.notes if step in combines else ()
        change, _, size = step.partition("=")
        apply: Callable[..., Plan] = changes()[change].apply
        changed = apply(resolved, machine, int(size)) if size else apply(resolved, machine)
        resolved = replace(changed, notes=(*kept, *(note for note in changed.notes if note not in resolved.notes)))
    return resolved
