"""How a finding reads: its evidence in words."""

from __future__ import annotations

from gpuprobe.diagnosis.records import Finding
from gpuprobe.records import Signal
from gpuprobe.report.findings import evidence_in_words
from gpuprobe.report.signals import signal_in_words

OF_RUN = "of the time without what comes once"


def test_of_several_shares_of_a_run_the_last_alone_says_what_they_are_shares_of() -> None:
    shares = [
        Signal(name=f"run_share.{part}", unit=OF_RUN, source="clock", value=value)
        for part, value in (("steps", 0.5), ("validation", 0.3), ("checkpoint", 0.1))
    ]
    wall = Signal(name="run_wall_s", unit="s", source="clock", value=60.0)
    found = Finding(
        cause="validation",
        primary=True,
        severity=0.3,
        confidence="high",
        claim="Validation takes long.",
        evidence=(*shares, wall),
        fix="Validate less often.",
    )
    assert evidence_in_words(found) == ["validation: 30 %", f"checkpoint: 10 % {OF_RUN}", "the run took 60.0 s"]


def test_the_events_that_the_host_was_in_are_told_in_words_and_not_by_the_name_of_the_signal() -> None:
    signal = Signal(
        name="proof.idle_input",
        unit="ms over all steps",
        source="trace, events: Next::Wait (python), Next::Copy (tf_data)",
        value=235.0,
    )
    said = signal_in_words(signal)
    assert said == "the host was in Next::Wait (python) for 235 ms over all traced steps, and in Next::Copy (tf_data)"
