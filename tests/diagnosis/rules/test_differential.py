"""Each rule just above and just below its threshold, and on no evidence at all."""

from __future__ import annotations

from typing import Any

import pytest

from gpuprobe.diagnosis.records import Finding, NotEvaluated
from gpuprobe.diagnosis.rules import differential, placement
from gpuprobe.diagnosis.rules.differential import decide
from gpuprobe.diagnosis.rules.rule import Rule
from gpuprobe.records import Evidence, Signal
from gpuprobe.thresholds import DEFAULTS


def signal(name: str, value: float | bool, spread: float = 0.01) -> Signal:
    low, high = (None, None) if isinstance(value, bool) else (value - spread, value + spread)
    return Signal(name=name, unit="1", source="test", value=value, low=low, high=high)


def evidence(*, gpu: Any = True, device: Any = True, **values: float) -> Evidence:
    known = [signal("gpu", gpu), signal("device_is_gpu", device)]
    return Evidence(
        signals=(*known, *(signal(name.replace("gain_", "gain."), value) for name, value in values.items()))
    )


def primary(of: Evidence) -> str | None:
    found, _ = decide(of)
    assert sum(finding.primary for finding in found) <= 1
    return next((finding.cause for finding in found if finding.primary), None)


@pytest.mark.parametrize(("share", "cause"), [(0.051, "input_bound"), (0.049, "compute_bound")])
def test_input(share: float, cause: str) -> None:
    assert primary(evidence(input_share=share)) == cause


def test_an_input_share_within_the_noise_is_no_finding() -> None:
    noisy = Signal(name="input_share", unit="1", source="test", value=0.2, low=-0.1, high=0.5)
    found, undecided = decide(Evidence(signals=(signal("gpu", True), signal("device_is_gpu", True), noisy)))
    assert found == ()
    assert any(reason.cause == "compute_bound" and "noise" in reason.reason for reason in undecided)


@pytest.mark.parametrize("name", ["xla", "steps_per_execution"])
@pytest.mark.parametrize(("saved", "found"), [(0.16, "launch_bound"), (0.14, "compute_bound")])
def test_launches(name: str, saved: float, found: str) -> None:
    assert primary(evidence(input_share=0.0, **{f"gain_{name}": 1 / (1 - saved)})) == found


@pytest.mark.parametrize(("saved", "found"), [(0.21, "batch_too_small"), (0.19, "compute_bound")])
def test_batch(saved: float, found: str) -> None:
    assert primary(evidence(input_share=0.0, gain_large_batch=1 / (1 - saved))) == found


@pytest.mark.parametrize(("saved", "found"), [(0.11, "tensor_cores_unused"), (0.09, "compute_bound")])
def test_precision(saved: float, found: str) -> None:
    assert primary(evidence(input_share=0.0, gain_mixed_precision=1 / (1 - saved))) == found


def test_a_gpu_that_is_not_used_is_told_by_the_settings() -> None:
    (found,), _ = placement.decide(evidence(device=False))
    assert (found.cause, found.primary) == ("not_on_gpu", True)
    assert placement.decide(evidence(device=True)) == ((), ())
    assert placement.decide(evidence(gpu=False, device=False)) == ((), ())


def test_a_severity_is_of_the_baselines_step_whatever_the_change_was_made_to() -> None:
    slow = evidence(input_share=0.6, gain_xla=2.0)
    over = (
        Signal(name="over.xla", unit="", source="test", value="cached"),
        Signal(name="over_share.xla", unit="of the step", source="test", value=0.4),
    )
    found, _ = decide(Evidence(signals=(*slow.signals, *over)))
    severities = {one.cause: one.severity for one in found}
    assert severities == {"input_bound": pytest.approx(0.6), "launch_bound": pytest.approx(0.2)}
    gain = next(one.measured_gain for one in found if one.cause == "launch_bound")
    assert gain is not None
    assert (gain.ratio, gain.over) == (2.0, "cached")


def test_without_a_gpu_nothing_is_said_about_launches() -> None:
    found, undecided = decide(evidence(gpu=False, device=False, input_share=0.0, gain_xla=2.0))
    assert [finding.cause for finding in found] == ["compute_bound"]
    assert "processor" in found[0].claim
    assert {reason.cause for reason in undecided} >= {"launch_bound", "batch_too_small", "tensor_cores_unused"}


def test_the_stage_is_the_change_that_gained_most() -> None:
    found, _ = decide(evidence(input_share=0.5, gain_numpy=1.3, gain_tfdata_prefetch=1.6))
    assert (found[0].cause, found[0].stage) == ("input_bound", "no_prefetch")
    assert found[0].measured_gain is not None
    assert found[0].predicted_gain is not None
    assert found[0].predicted_gain.ratio == pytest.approx(2.0)


def test_two_causes_of_one_size_tie() -> None:
    found, _ = decide(evidence(input_share=0.30, gain_xla=1 / (1 - 0.25)))
    assert found[0].ties_with == "launch_bound"


@pytest.mark.parametrize("rule", [*differential.RULES, differential.compute_bound])
def test_no_evidence_is_not_evaluated_never_a_crash(rule: Rule) -> None:
    result = rule(Evidence(), DEFAULTS)
    assert isinstance(result, NotEvaluated)
    assert result.reason


def test_a_claim_names_its_evidence() -> None:
    found, _ = decide(evidence(input_share=0.5, gain_xla=1.4))
    assert all(isinstance(finding, Finding) and finding.evidence for finding in found)
