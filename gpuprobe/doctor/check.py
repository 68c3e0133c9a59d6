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


# If one of these checks fails, others fail because of it.
ROOT_CHECKS = frozenset({"platform", "gpu_driver", "package_versions"})


class CheckResult(Record, frozen=True, kw_only=True):
    """One line of the output: what was found, the evidence for it, and the exact fix where something is wrong.

    Status `skip` means that the check does not apply here, or that its facts are unknown; `says` tells which.
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
        return min(failing, key=lambda result: result.name not in ROOT_CHECKS, default=None)


CheckFunction = Callable[[Facts], CheckResult]
_registered_checks: dict[str, tuple[str, CheckFunction]] = {}


def check(title: str) -> Callable[[CheckFunction], CheckFunction]:
    """Register a function as the check with that title; the check's name in `--json` is the function's name."""

    def register(function: CheckFunction) -> CheckFunction:
        _registered_checks[function.__name__] = (title, function)
        return function

    return register


def checks() -> dict[str, tuple[str, CheckFunction]]:
    """Return all checks by name, as (title, function), by the `ORDER` of their files and their order within each."""
    from gpuprobe.doctor import checks as folder

    for module in pkgutil.iter_modules(folder.__path__):
        importlib.import_module(f"{folder.__name__}.{module.name}")
    order_of_check = {
        check_name: sys.modules[function.__module__].ORDER for check_name, (_, function) in _registered_checks.items()
    }
    return {
        check_name: _registered_checks[check_name]
        for check_name in sorted(_registered_checks, key=order_of_check.__getitem__)
    }


def examine(facts: Facts) -> Report:
    """Run every check on the facts."""
    results = [
        msgspec.structs.replace(function(facts), name=check_name, title=title)
        for check_name, (title, function) in checks().items()
    ]
    return Report(results=tuple(results), facts=facts)


def passed(says: str, *evidence: str) -> CheckResult:
    """Return a pass, with what was found."""
    return CheckResult(status="pass", says=says, evidence=evidence)


def warned(says: str, fix: str, *evidence: str) -> CheckResult:
    """Return a warning with its fix: something costs speed or information."""
    return CheckResult(status="warn", says=says, fix=fix, evidence=evidence)


def failed(says: str, fix: str, *evidence: str) -> CheckResult:
    """Return a failure with its fix: something does not work."""
    return CheckResult(status="fail", says=says, fix=fix, evidence=evidence)


def skipped(says: str, *evidence: str) -> CheckResult:
    """Return that the check does not apply here."""
    return CheckResult(status="skip", says=says, evidence=evidence)


def unknown(reason: str, *evidence: str) -> CheckResult:
    """Return that the facts are unknown, with the reason; this is never a pass."""
    return CheckResult(status="skip", says=f"unknown: {reason}", evidence=evidence)


def unreached(tensorflow: TensorflowFacts) -> CheckResult:
    """Return why TensorFlow was not asked for a fact."""
    if tensorflow.missing == NOT_INSTALLED:
        return skipped(NO_TENSORFLOW)
    return unknown(tensorflow.missing or tensorflow.died or "it was not reached")


NO_GPU, NO_TENSORFLOW = "needs an NVIDIA GPU", "TensorFlow is not installed"
# The error of an import of a missing framework.
NOT_INSTALLED = "it is not installed"
