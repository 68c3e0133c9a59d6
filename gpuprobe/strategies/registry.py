"""Finds the strategies of `catalogue/` and resolves one into its plan. Light: no TensorFlow here."""

from __future__ import annotations

import difflib
import functools
import importlib
import pkgutil
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol, TypeVar

from gpuprobe.errors import UsageError
from gpuprobe.records import StrategyInfo
from gpuprobe.strategies.plan import Machine, Plan

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


class Change(Protocol):
    """A strategy's function: the plan it is compared with becomes its own. The docstring is the report's sentence."""

    __name__: str
    __doc__: str | None

    def __call__(self, plan: Plan, machine: Machine) -> Plan:
        """Return the plan with one thing changed."""


@dataclass(frozen=True, kw_only=True)
class Strategy:
    """A registered strategy: what it is called, compared with, and how it changes that one's plan."""

    name: str
    order: int
    against: str | None
    changes: str
    apply: Change
    combines: bool = False
    what_if: str = ""

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
        )


_found: dict[str, Strategy] = {}
AnyChange = TypeVar("AnyChange", bound=Change)


def strategy(
    *, order: int, against: str | None, changes: str, combines: bool = False, what_if: str = ""
) -> Callable[[AnyChange], AnyChange]:
    """Register a function as the strategy of its name.

    `order` places it in the list, `against` names the strategy it is compared with, `changes` says in a few words
    what differs from that one, and `what_if` names the change of a replayed trace that foretells it. One that
    `combines` is found by a search over the changes that helped in the study.
    """

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
        )
        return function

    return register


@functools.cache
def strategies() -> dict[str, Strategy]:
    """Return every strategy by name, in catalogue order."""
    package = importlib.import_module("gpuprobe.strategies.catalogue")
    for module in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"{package.__name__}.{module.name}")
    return {found.name: found for found in sorted(_found.values(), key=lambda found: found.order)}


def select(text: str) -> tuple[Strategy, ...]:
    """Return the strategies named by `all` or a comma list, in catalogue order.

    Raises UsageError for an unknown name, with the nearest known one, and for an empty list.
    """
    known = strategies()
    names = list(known) if text.strip() == "all" else [part.strip() for part in text.split(",") if part.strip()]
    if not names:
        raise UsageError("--strategies: name at least one (gpuprobe list shows them), or all")
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"; did you mean {near[0]}?" if near else "; gpuprobe list shows them"
            raise UsageError(f"--strategies: there is no strategy {name!r}{hint}")
    return tuple(found for found in known.values() if found.name in names)


def plan(name: str, batch_size: int, machine: Machine, combines: Sequence[str] = ()) -> Plan:
    """Resolve a strategy: the plan of the one it is compared with, changed by it, then by those it combines."""
    chain = [name]
    while (against := strategies()[chain[-1]].against) is not None:
        chain.append(against)
    resolved = Plan(feed="", batch_size=batch_size)
    for step in [*reversed(chain), *combines]:
        # A note speaks of the change that made it, and is no note on the strategies that build on that one.
        kept = resolved.notes if step in combines else ()
        changed = strategies()[step].apply(resolved, machine)
        resolved = replace(changed, notes=(*kept, *(note for note in changed.notes if note not in resolved.notes)))
    return resolved
