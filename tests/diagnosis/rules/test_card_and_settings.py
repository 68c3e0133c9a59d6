"""Rules on the card, the settings and the meters: each just above and just below what decides, and on no evidence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gpuprobe import thresholds
from gpuprobe.diagnosis.advised import advised
from gpuprobe.diagnosis.causes import CAUSES as CATALOGUE
from gpuprobe.diagnosis.causes import CauseId
from gpuprobe.diagnosis.records import Finding, NotEvaluated
from gpuprobe.diagnosis.rules import card_and_settings, differential, gpu_state, meters, telemetry, trace
from gpuprobe.errors import InputError
from gpuprobe.evidence.card import card_of, card_signals, mfu
from gpuprobe.records import Evidence, Settings, Signal

T = thresholds.DEFAULTS
VOLTA = {"has_tensor_cores": True, "compute_capability": 7.0, "share.gpu_compute": 0.8}
HOT = {"throttled_heat_fraction": 0.5, "power_cap_fraction": 0.0, "sm_clock_peak_mhz": 900.0, "boost_mhz": 1000.0}
FULL = {"kernel_fraction": 0.95, "share.gpu_compute": 1.0}
METER = {"utilization_percent": 90.0}
RESTING = {"utilization_p95_percent": 0.0}
# The causes of the design, each by its id.
CAUSES = (
    "input_bound", "launch_bound", "batch_too_small", "copy_bound", "sync_every_step", "host_between_steps",
    "eager_or_retracing", "recompiling", "compute_bound", "tensor_cores_unused", "fp16_without_tensor_cores",
    "throttled", "pcie_degraded", "gpu_shared", "gpu_memory_tight", "collective_bound", "straggler", "not_on_gpu",
    "wrong_meter", "profiler_perturbed",
)  # fmt: skip


def evidence(**values: Any) -> Evidence:
    return Evidence(
        signals=tuple(Signal(name=name, unit="", source="test", value=value) for name, value in values.items())
    )


def causes(**values: Any) -> set[str]:
    return {finding.cause for finding in card_and_settings.decide(evidence(**values))[0]}


@pytest.mark.parametrize(
    ("cause", "above", "below"),
    [
        (
            "tensor_cores_unused",
            {**VOLTA, "eligible_time_fraction": T.tensor_eligible_fraction, "tensor_core_time_fraction": 0.0},
            {**VOLTA, "eligible_time_fraction": T.tensor_eligible_fraction - 0.01, "tensor_core_time_fraction": 0.0},
        ),
        (
            "tensor_cores_unused",
            {**VOLTA, "eligible_time_fraction": 0.6, "tensor_core_time_fraction": T.tensor_used_fraction - 0.001},
            {**VOLTA, "eligible_time_fraction": 0.6, "tensor_core_time_fraction": T.tensor_used_fraction},
        ),
        (
            "not_on_gpu",
            {"device_kind": "cpu", "utilization_p95_percent": 100 * T.at_rest - 1},
            {"device_kind": "cpu", "utilization_p95_percent": 100 * T.at_rest},
        ),
        (
            "not_on_gpu",
            {"device_kind": "cpu", "utilization_p95_percent": 0.0},
            {"device_kind": "gpu", "utilization_p95_percent": 0.0},
        ),
        (
            "throttled",
            {**HOT, "sm_clock_mhz": 1000 * (1 - T.clocks_down) - 1},
            {**HOT, "sm_clock_mhz": 1000 * (1 - T.clocks_down) + 1},
        ),
        (
            "throttled",
            {**HOT, "sm_clock_mhz": 500.0, "throttled_heat_fraction": T.throttled_fraction},
            {**HOT, "sm_clock_mhz": 500.0, "throttled_heat_fraction": T.throttled_fraction - 0.01},
        ),
        (
            "batch_too_small",
            {**FULL, "sm_efficiency": T.sm_filled - 0.01},
            {**FULL, "sm_efficiency": T.sm_filled},
        ),
        (
            "gpu_shared",
            {"other_sm_percent": 100 * T.shared_fraction},
            {"other_sm_percent": 100 * T.shared_fraction - 1},
        ),
        (
            "pcie_degraded",
            {"pcie_generation_fraction": 1.0, "pcie_width_fraction": 0.5, "share.copy": 2 * T.pcie_share},
            {"pcie_generation_fraction": 1.0, "pcie_width_fraction": 0.5, "share.copy": 2 * T.pcie_share - 0.01},
        ),
        (
            "pcie_degraded",
            {"pcie_generation_fraction": 1.0, "pcie_width_fraction": T.pcie_part, "share.copy": 0.9},
            {"pcie_generation_fraction": 1.0, "pcie_width_fraction": T.pcie_part + 0.01, "share.copy": 0.9},
        ),
        (
            "gpu_memory_tight",
            {"memory_peak_fraction": T.memory_full, "memory_jump_fraction": 0.0},
            {"memory_peak_fraction": T.memory_full - 0.01, "memory_jump_fraction": 0.0},
        ),
        (
            "gpu_memory_tight",
            {"memory_peak_fraction": 0.95, "memory_jump_fraction": T.memory_jump - 0.01},
            {"memory_peak_fraction": 0.95, "memory_jump_fraction": T.memory_jump},
        ),
        (
            "not_on_gpu",
            {**RESTING, "memory_peak_mib": T.context_mib - 1, "cpu_cores": 1.0},
            {**RESTING, "memory_peak_mib": T.context_mib, "cpu_cores": 1.0},
        ),
        (
            "not_on_gpu",
            {**RESTING, "memory_peak_mib": 0.0, "cpu_cores": T.at_work_cores},
            {**RESTING, "memory_peak_mib": 0.0, "cpu_cores": T.at_work_cores - 0.01},
        ),
        (
            "fp16_without_tensor_cores",
            {"compute_dtype": "float16", "has_tensor_cores": False},
            {"compute_dtype": "float16", "has_tensor_cores": True},
        ),
        (
            "fp16_without_tensor_cores",
            {"compute_dtype": "float16", "has_tensor_cores": False},
            {"compute_dtype": "float32", "has_tensor_cores": False},
        ),
        (
            "straggler",
            {"straggler_ratio": T.straggler_ratio, "straggler_share": 0.05},
            {"straggler_ratio": T.straggler_ratio - 0.01, "straggler_share": 0.05},
        ),
        (
            "eager_or_retracing",
            {"eager_share": T.eager_share, "step_ms": 10.0},
            {"eager_share": T.eager_share - 0.01, "step_ms": 10.0},
        ),
        (
            "eager_or_retracing",
            {"eager_share": 0.0, "step_ms": 10.0, "graphs_built": 1.0, "share.idle_compile": T.compile_share},
            {"eager_share": 0.0, "step_ms": 10.0, "graphs_built": 1.0, "share.idle_compile": T.compile_share - 0.01},
        ),
        (
            "wrong_meter",
            {**METER, "kernel_fraction": 0.89 - T.meters_apart},
            {**METER, "kernel_fraction": 0.91 - T.meters_apart},
        ),
        (
            "wrong_meter",
            {**METER, "kernel_fraction": 0.9, "sm_efficiency": 0.3},
            {**METER, "kernel_fraction": 0.9, "sm_efficiency": 0.8},
        ),
        (
            "profiler_perturbed",
            {"profiler_slowdown": T.profiler_slowdown},
            {"profiler_slowdown": T.profiler_slowdown - 0.01},
        ),
    ],
)
def test_a_rule_fires_just_above_and_not_just_below(cause: str, above: dict[str, Any], below: dict[str, Any]) -> None:
    assert cause in causes(**above)
    assert cause not in causes(**below)


@pytest.mark.parametrize(("exchange_ms", "confidence"), [(0.2, "high"), (0.0, "medium")])
def test_only_devices_that_exchange_are_known_to_wait_for_each_other(exchange_ms: float, confidence: str) -> None:
    (found,), _ = card_and_settings.decide(
        evidence(straggler_ratio=4.0, straggler_share=0.6, exchange_volume_ms=exchange_ms)
    )
    assert (found.cause, found.confidence) == ("straggler", confidence)


@pytest.mark.parametrize(
    ("rated", "confidence"),
    [({"boost_mhz": 1000.0, "sm_clock_mhz": 990.0}, None), ({"sm_clock_mhz": 990.0}, "medium"), ({}, "medium")],
)
def test_heat_alone_tells_only_where_the_rated_clock_is_unknown(
    rated: dict[str, float], confidence: str | None
) -> None:
    heat = {"throttled_heat_fraction": 0.5, "power_cap_fraction": 0.0}
    found, _ = card_and_settings.decide(evidence(**heat, **rated))
    assert [finding.confidence for finding in found] == ([confidence] if confidence else [])


def test_a_power_cap_without_clocks_is_undecided() -> None:
    found, undecided = card_and_settings.decide(evidence(throttled_heat_fraction=0.0, power_cap_fraction=0.9))
    assert found == ()
    assert {reason.cause: reason.reason for reason in undecided}["throttled"] == "sm_clock_mhz was not gathered"


def test_a_program_that_only_has_the_gpu_open_is_a_note() -> None:
    ((idle,), _), ((busy,), _) = (
        card_and_settings.decide(evidence(other_gpu_processes=2.0, other_sm_percent=percent)) for percent in (0.0, 50.0)
    )
    assert (idle.cause, idle.severity, idle.confidence) == ("gpu_shared", 0.0, "medium")
    assert (busy.cause, busy.severity, busy.confidence) == ("gpu_shared", 0.5, "high")


@pytest.mark.parametrize(
    ("beside", "found"),
    [
        ({"utilization_percent": 50.0}, True),
        ({"utilization_percent": 9.0}, False),
        ({"utilization_percent": 50.0, "share.copy": 0.0}, False),
    ],
)
def test_a_slow_link_matters_at_work_and_where_copies_take_time(beside: dict[str, float], found: bool) -> None:
    link = {"pcie_generation_fraction": 1.0, "pcie_width_fraction": 0.5}
    assert ("pcie_degraded" in causes(**link, **beside)) is found


def test_no_evidence_decides_nothing() -> None:
    found, undecided = card_and_settings.decide(Evidence())
    assert found == ()
    lost = {cause.id for cause in CATALOGUE.values() if cause.cost}
    assert {reason.cause for reason in undecided} == {rule.__name__ for rule in card_and_settings.RULES} | lost
    assert all(reason.reason for reason in undecided)


@pytest.mark.parametrize("cause", CAUSES)
def test_every_cause_is_not_evaluated_on_no_evidence_and_has_plain_words(cause: CauseId) -> None:
    rooms = (trace, differential, telemetry, card_and_settings)
    undecided = [reason for room in rooms for reason in room.decide(Evidence())[1] if reason.cause == cause]
    assert undecided
    assert all(reason.reason for reason in undecided)
    assert not [found for room in rooms for found in room.decide(Evidence())[0]]
    assert CATALOGUE[cause].words


def test_half_precision_is_no_loss_on_the_cards_of_7_5_that_have_no_tensor_cores() -> None:
    half = {"compute_dtype": "float16", "has_tensor_cores": False}
    assert "fp16_without_tensor_cores" in causes(**half, compute_capability=6.1)
    assert "fp16_without_tensor_cores" not in causes(**half, compute_capability=7.5)


def test_a_gpu_whose_memory_is_the_command_s_from_the_start_is_used() -> None:
    seen = {"utilization_percent": 4.0, "utilization_p95_percent": 9.0, "cpu_cores": 2.0}
    for used_mib, others, found in ((5000.0, 0.0, False), (5000.0, 2.0, True), (500.0, 0.0, True)):
        memory = Signal(name="memory_peak_mib", unit="MiB", source="test", value=used_mib, low=used_mib)
        signals = (*evidence(**seen, other_gpu_processes=others).signals, memory)
        result = gpu_state.not_on_gpu(Evidence(signals=signals), T)
        assert (result is not None) is found


def test_a_card_that_no_table_holds_tells_its_clock_in_the_trace() -> None:
    hot = {"throttled_heat_fraction": 1.0, "power_cap_fraction": 0.0, "sm_clock_mhz": 600.0, "share.gpu_compute": 0.9}
    known = gpu_state.throttled(evidence(**hot, device_clock_mhz=1200.0), T)
    assert isinstance(known, Finding)
    assert known.severity == pytest.approx(0.45)
    assert known.confidence == "high"
    table = gpu_state.throttled(evidence(**hot, boost_mhz=800.0, device_clock_mhz=1200.0), T)
    assert isinstance(table, Finding)
    assert table.severity == pytest.approx(0.225)


def test_a_missing_signal_gives_its_reason() -> None:
    missing = Signal(name="profiler_slowdown", unit="1", source="test", missing="no trace was captured")
    undecided = meters.profiler_perturbed(Evidence(signals=(missing,)), T)
    assert isinstance(undecided, NotEvaluated)
    assert undecided.reason == "profiler_slowdown: no trace was captured"


def test_the_advice_knows_the_card() -> None:
    unused = {"eligible_time_fraction": 0.6, "tensor_core_time_fraction": 0.0, "share.gpu_compute": 0.8}
    for capability, policy in ((7.0, "mixed_float16"), (8.0, "mixed_bfloat16")):
        known = evidence(has_tensor_cores=True, compute_capability=capability, **unused)
        (found,) = advised(card_and_settings.decide(known)[0], known, T)
        assert policy in found.code
    assert causes(has_tensor_cores=False, compute_capability=6.1, **unused) == set()


@pytest.mark.parametrize(
    ("name", "capability", "tensor_cores"),
    [
        ("NVIDIA GeForce GTX 1060 3GB", "6.1", False),
        ("NVIDIA GeForce GTX 1650", "7.5", False),
        ("Tesla T4", "7.5", True),
        ("A card of tomorrow", "8.6", True),
        ("A card of tomorrow", "13.0", True),
        ("Tesla K80", "3.7", False),
        ("Tesla M60", "5.2", False),
        ("NVIDIA T500", "7.5", False),
        ("NVIDIA GeForce MX450", "7.5", False),
        ("NVIDIA A100-SXM4-40GB MIG 1g.5gb", "8.0", True),
        ("A card of tomorrow", "", None),
        ("", "", None),
    ],
)
def test_tensor_cores_are_known_by_card_and_else_by_compute_capability(
    name: str, capability: str, tensor_cores: bool | None
) -> None:
    signal = Evidence(signals=card_signals(name, compute_capability=capability)).get("has_tensor_cores")
    assert signal is not None
    assert signal.value is tensor_cores
    assert (signal.missing is None) == (tensor_cores is not None)


def test_mfu_is_arithmetic_over_the_peak_and_zero_is_missing() -> None:
    settings = Settings(
        device="GPU:0", dtype_policy="float32", compute_dtype="float32", jit_compile=False, batch_size=32,
        feed_dtype="float32", steps_per_execution=1, optimizer="adam", intra_op_threads=0, inter_op_threads=0,
        onednn=None, tf32=False,
    )  # fmt: skip
    card = card_of("NVIDIA GeForce GTX 1060 3GB")
    assert card is not None
    # 9 SMs x 128 lanes x 2 x 1.5 GHz is 3.456 TFLOP/s.
    signal = mfu(settings, card, 0.3456e12, sm_clock_mhz=1500.0)
    assert signal.value == pytest.approx(0.1)
    assert mfu(settings, card, None, 1500.0).missing == "the arithmetic of a step was not counted"
    assert mfu(settings, None, 1e12, None).missing == "the card's peak is not known"


def test_thresholds_are_read_and_wrong_ones_named(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text("copy_share = 0.3\n")
    mine = thresholds.read(file)
    assert (mine.copy_share, mine.input_share) == (0.3, T.input_share)
    for text, said in (
        ("copy_shar = 0.3", "did you mean copy_share"),
        ("copy_share = 'much'", "copy_share"),
        ("copy_share = ", "no thresholds"),
        ("copy_share = 15", "<= 1.0"),
    ):
        file.write_text(text)
        with pytest.raises(InputError, match=said):
            thresholds.read(file)
    with pytest.raises(InputError, match="cannot be read"):
        thresholds.read(tmp_path / "none.toml")


def test_the_list_of_thresholds_is_a_file_of_them(tmp_path: Path) -> None:
    file = tmp_path / "all.toml"
    file.write_text(thresholds.listing())
    assert thresholds.read(file) == T
    assert "SageMaker Debugger" in file.read_text()


def test_other_thresholds_reach_every_kind_of_evidence() -> None:
    strict = thresholds.Thresholds(compute_fraction=0.5, input_share=0.9)
    full = evidence(device_kind="gpu", kernel_fraction=0.6, **{"share.gpu_compute": 0.6, "share.idle_input": 0.3})
    at_work = evidence(utilization_percent=60.0)
    fed = Evidence(signals=(Signal(name="input_share", unit="1", source="test", value=0.08, low=0.06, high=0.1),))
    for rules, seen, cause, other in (
        (trace, full, "input_bound", "compute_bound"),
        (differential, fed, "input_bound", "compute_bound"),
    ):
        assert [finding.cause for finding in rules.decide(seen)[0] if finding.primary] == [cause]
        assert [finding.cause for finding in rules.decide(seen, strict)[0] if finding.primary] == [other]
    assert telemetry.decide(at_work)[0] == ()
    assert [finding.cause for finding in telemetry.decide(at_work, strict)[0]] == ["compute_bound"]


@pytest.mark.parametrize(("dtype", "confidence"), [("float16", "high"), ("bfloat16", "medium"), ("float32", None)])
def test_halves_on_a_processor(dtype: str, confidence: str | None) -> None:
    known: dict[str, Any] = {"device_kind": "cpu", "compute_dtype": dtype, "share.cpu_compute": 0.9}
    signals = tuple(Signal(name=name, unit="", source="test", value=value) for name, value in known.items())
    found = card_and_settings.fp16_without_tensor_cores(Evidence(signals=signals), T)
    assert (found.confidence if isinstance(found, Finding) else None) == confidence
