"""The account of a trace with its findings, as one record: what `gpuprobe diagnose --json` prints."""

from __future__ import annotations

from gpuprobe.diagnosis.evidence import evidence_of
from gpuprobe.diagnosis.trace import diagnose
from gpuprobe.ledger.records import Account
from gpuprobe.records import Finding, NotEvaluated, Signal  # noqa: TC001 - msgspec reads the annotations


class Diagnosis(Account, frozen=True, kw_only=True):
    """An account, what it proves, and what it cannot tell. The primary finding comes first.

    `telemetry` are the readings that belong to it, of the trace's time where the two have one clock.
    """

    findings: tuple[Finding, ...] = ()
    not_evaluated: tuple[NotEvaluated, ...] = ()
    telemetry: tuple[Signal, ...] = ()

    @property
    def primary(self) -> Finding | None:
        """The finding that leads, None where the trace proves nothing."""
        return next((finding for finding in self.findings if finding.primary), None)


def diagnosed(account: Account, telemetry: tuple[Signal, ...] = ()) -> Diagnosis:
    """Apply the rules to an account, and keep the readings of the telemetry beside it."""
    evidence = evidence_of(account)
    findings, not_evaluated = diagnose(evidence)
    fields = {name: getattr(account, name) for name in account.__struct_fields__}
    return Diagnosis(**fields, findings=findings, not_evaluated=not_evaluated, telemetry=telemetry)
