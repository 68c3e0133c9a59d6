"""A check is a function from facts to a result, registered under a name."""

from __future__ import annotations

import importlib
import pkgutil
import sys
from collections.abc import Callable
from typing import Literal

import msgspec

from gpuprobe.doctor.facts import Facts, TensorflowFacts
from gpuprobe.records import Record

Status = Literal["pass", "warn", "fail", "skip"]


# If one of these fails, others fail because of it.
ROOTS = frozenset({"platform", "gpu_driver", "package_versions"})


class CheckResult(Record, frozen=True, kw_only=True):
    """One line of the screen: what was found, from which evidence, and the exact fix where something is wrong.

    State `skip` means that the check does not apply here or its facts are unknown; `says` tells which.
    """

    status: Status
    says: str
    evidence: tuple[str, ...] = ()
    fix: str = ""
    name: str = ""
    title: str = ""


class Report(Record, frozen=True, kw_only=True):
    """All results in the order of the screen, and the facts."""

    results: tuple[CheckResult, ...]
    facts: Facts

    def count(self, status: Status) -> int:
        """Return how many checks have this state."""
        return sum(result.status == status for result in self.results)

    @property
    def first(self) -> CheckResult | None:
        """The failed check to fix first: one that may cause others to fail, else the first one; None if none failed."""
        failing = [result for result in self.results if result.status == "fail"]
        return min(failing, key=lambda result: result.name not in ROOTS, default=None)


CheckFunction = Callable[[Facts], CheckResult]
_registered: dict[str, tuple[str, CheckFunction]] = {}


def check(title: str) -> Callable[[CheckFunction], CheckFunction]:
    """Register a function as the check of that title; its name in `--json` is the function's."""

    def register(function: CheckFunction) -> CheckFunction:
        _registered[function.__name__] = (title, function)
        return function

    return register


def checks() -> dict[str, tuple[str, CheckFunction]]:
    """Return all checks by name, in the `ORDER` of their files and as they stand within each."""
    from gpuprobe.doctor import checks as folder

    for module in pkgutil.iter_modules(folder.__path__):
        importlib.import_module(f"{folder.__name__}.{module.name}")
    order = {name: sys.modules[function.__module__].ORDER for name, (_, function) in _registered.items()}
    return {name: _registered[name] for name in sorted(_registered, key=order.__getitem__)}


def examine(facts: Facts) -> Report:
    """Run every check on the facts."""
    results = [
        msgspec.structs.replace(function(facts), name=name, title=title) for name, (title, function) in checks().items()
    ]
    return Report(results=tuple(results), facts=facts)


def passed(says: str, *evidence: str) -> CheckResult:
    """Return that all is well."""
    return CheckResult(status="pass", says=says, evidence=evidence)


def warned(says: str, fix: str, *evidence: str) -> CheckResult:
    """Return a warning: something costs speed or information; with the fix."""
    return CheckResult(status="warn", says=says, fix=fix, evidence=evidence)


def failed(says: str, fix: str, *evidence: str) -> CheckResult:
    """Return a failure: something does not work; with the fix."""
    return CheckResult(status="fail", says=says, fix=fix, evidence=evidence)


def skipped(says: str, *evidence: str) -> CheckResult:
    """Return that the check does not apply here."""
    return CheckResult(status="skip", says=says, evidence=evidence)


def unknown(reason: str, *evidence: str) -> CheckResult:
    """Return that the facts are unknown, which is never a pass."""
    return CheckResult(status="skip", says=f"unknown: {reason}", evidence=evidence)


def unreached(tensorflow: TensorflowFacts) -> CheckResult:
    """Return why TensorFlow was not asked for a fact."""
    if tensorflow.missing == NOT_INSTALLED:
        return skipped(NO_TENSORFLOW)
    return unknown(tensorflow.missing or tensorflow.died or "it was not reached")


NO_GPU, NO_TENSORFLOW = "needs an NVIDIA GPU", "TensorFlow is not installed"
# The error of an import of a missing framework.
NOT_INSTALLED = "it is not installed"
