"""Causes that lie outside the steps, from the wall time of a whole run; and which cause then leads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from gpuprobe.diagnosis.case import Case
from gpuprobe.diagnosis.causes import CAUSES
from gpuprobe.diagnosis.diagnose import diagnose
from gpuprobe.diagnosis.records import Finding
from gpuprobe.diagnosis.rules import whole_run as rules
from gpuprobe.diagnosis.whole_run import in_short, tells_of_process, weighed
from gpuprobe.evidence.whole_run_signals import whole_run_signals
from gpuprobe.ledger.breakdown import breakdown_of
from gpuprobe.records import Evidence, Signal
from gpuprobe.report.whole_run import run_figure
from gpuprobe.thresholds import DEFAULTS
from tests.helpers.timelines import Made
from tests.helpers.whole_runs import breakdown

if TYPE_CHECKING:
    from gpuprobe.diagnosis.causes import CauseId
    from gpuprobe.evidence.whole_run import RunBreakdown


def found_in(run: RunBreakdown) -> list[Finding]:
    return list(rules.decide(whole_run_signals(run))[0])


def of_step(cause: CauseId, severity: float, confidence: Any = "high") -> Finding:
    return Finding(
        cause=cause,
        primary=True,
        severity=severity,
        confidence=confidence,
        claim="By the trace.",
        evidence=(),
        fix=CAUSES[cause].fix,
    )


def test_a_healthy_run_has_no_such_cause() -> None:
    healthy = breakdown(
        imports=(9, 1),
        build=(5, 1),
        first_call=(6, 1),
        steps=(100, 1000),
        epoch_start=(1, 5),
        epoch_first_call=(0.5, 4),
        between_epochs=(1, 5),
        validation=(8, 5),
        fit=(0.5, 1),
        named=("callback", "ProgbarLogger", 2.0, 1000),
    )
    assert found_in(healthy) == []


def test_a_shuffle_buffer_that_fills_at_each_epoch_is_found_beside_a_healthy_step() -> None:
    run = breakdown(first_call=(2, 1), steps=(30, 380), epoch_start=(0.1, 20), epoch_first_call=(9.9, 19), fit=(0.2, 1))
    (only,) = found_in(run)
    assert (only.cause, only.confidence, only.of) == ("epoch_start", "medium", "run"), "some of it any epoch costs"
    assert 0.2 < only.severity < 0.25
    assert "the iterator starts again" in only.claim
    longer = breakdown(steps=(20, 380), epoch_start=(9, 20), fit=(0.2, 1))
    assert found_in(longer)[0].confidence == "high"
    ending = breakdown(steps=(20, 380), epoch_start=(1, 20), between_epochs=(9, 20))
    assert "at the end of an epoch" in found_in(ending)[0].claim
    first = weighed([of_step("compute_bound", 0.97)], [only], run)[0]
    assert (first.cause, first.primary) == ("epoch_start", True)


def test_epochs_of_one_step_pay_what_an_epoch_costs_for_each() -> None:
    run = breakdown(epoch_start=(3, 500), epoch_first_call=(1, 499), between_epochs=(5, 500), fit=(0.1, 1))
    (only,) = found_in(run)
    assert only.cause == "epoch_start"
    assert "an epoch has only one step" in only.claim
    assert "steps_per_epoch" in only.fix


def test_one_epoch_alone_has_nothing_between_epochs() -> None:
    assert found_in(breakdown(epoch_start=(9, 1), steps=(10, 100), fit=(0.1, 1))) == []


@pytest.mark.parametrize(
    ("parts", "named", "cause", "said"),
    [
        ({"validation": (30, 10)}, None, "validation", "3.00 s each time"),
        ({}, ("checkpoint", "ModelCheckpoint", 30, 10), "checkpointing", "`ModelCheckpoint` saves the model"),
        ({}, ("callback", "Histograms", 30, 10), "host_between_steps", "most of it in `Histograms`"),
        ({"first_call_again": (30, 4)}, None, "compiled_again", "4 of them were traced"),
        ({"retracing": (30, 17)}, None, "eager_or_retracing", "17 calls built their graph again"),
        ({"build": (200, 1)}, None, "startup", "3 min 20 s for imports"),
        ({"fit": (0.1, 9), "between_trainings": (30, 8)}, None, "between_trainings", "3.75 s each time"),
    ],
)
def test_what_takes_much_of_a_run_is_named(parts: Any, named: Any, cause: str, said: str) -> None:
    steps: dict[str, Any] = {"steps": (60.0, 600), "epoch_start": (0.1, 10), "fit": (0.1, 1), "first_call": (1.0, 1)}
    (only,) = found_in(breakdown(named=named, **{**steps, **parts}))
    assert only.cause == cause
    assert said in only.claim
    little: dict[str, Any] = {name: (seconds / 30, times) for name, (seconds, times) in parts.items()}
    less = (*named[:2], named[2] / 30, named[3]) if named else None
    assert found_in(breakdown(named=less, **{**steps, **little})) == [], "below its threshold it is none"


def test_a_second_function_that_is_compiled_is_no_habit() -> None:
    assert found_in(breakdown(steps=(10, 100), first_call_again=(5, 1))) == []


def test_many_fits_and_predicts_of_one_step_are_one_cause() -> None:
    run = breakdown(
        fit=(6, 110),
        epoch_start=(1, 110),
        epoch_first_call=(0.3, 109),
        first_call=(1, 1),
        between_trainings=(1, 300),
        named=("predict", "of one batch", 15, 330),
    )
    (only,) = found_in(run)
    assert only.cause == "many_small_fits"
    assert "`fit` was called 110 times for one step each and `predict` 330 times for one batch each" in only.claim
    assert tells_of_process(run)
    step = of_step("batch_too_small", 0.9)
    first, beside = weighed([step], [only], run)
    assert (first.cause, beside.cause, beside.symptom_of, beside.primary) == (
        "many_small_fits",
        "batch_too_small",
        "many_small_fits",
        False,
    )


def test_a_few_fits_of_many_steps_are_no_small_ones() -> None:
    assert found_in(breakdown(fit=(3, 3), epoch_start=(1, 3), steps=(5, 900))) == []


def test_the_steps_cause_leads_where_it_costs_more_of_the_run() -> None:
    run = breakdown(steps=(70, 700), validation=(30, 10), epoch_start=(0.1, 10))
    validation = found_in(run)
    assert [one.cause for one in weighed([of_step("input_bound", 0.8)], validation, run)] == [
        "input_bound",
        "validation",
    ]
    assert [one.cause for one in weighed([of_step("input_bound", 0.3)], validation, run)] == [
        "validation",
        "input_bound",
    ]


def test_where_the_trace_tells_nothing_the_run_leads_and_the_rest_is_not_said() -> None:
    run = breakdown(steps=(70, 700), validation=(30, 10), epoch_start=(0.1, 10))
    assert [one.cause for one in weighed([of_step("unattributed", 0.0, "low")], found_in(run), run)] == ["validation"]


def test_one_cause_that_both_name_is_one_finding_with_the_callbacks_name() -> None:
    run = breakdown(steps=(50, 500), named=("callback", "Histograms", 50, 500))
    (only,) = weighed([of_step("host_between_steps", 0.74)], found_in(run), run)
    assert only.primary
    assert "`Histograms`" in only.claim


def test_a_run_that_was_cut_off_is_less_sure() -> None:
    (only,) = found_in(breakdown(complete=False, steps=(60, 600), validation=(40, 10)))
    assert only.confidence == "medium"


def test_a_run_without_an_account_decides_nothing() -> None:
    found, undecided = rules.decide(Evidence(), DEFAULTS)
    assert found == ()
    assert {one.cause for one in undecided} == {
        "many_small_fits",
        "epoch_start",
        "validation",
        "checkpointing",
        "startup",
        "compiled_again",
        "between_trainings",
    }


def test_what_the_script_evaluates_itself_is_validation_too() -> None:
    (only,) = found_in(breakdown(steps=(60, 600), evaluate=(20, 10), validation=(20, 10)))
    assert only.cause == "validation"
    assert only.severity == pytest.approx(0.4)
    assert "2.00 s each time" in only.claim


def test_many_fits_of_many_steps_each_may_wait_for_their_epochs() -> None:
    (only,) = found_in(breakdown(fit=(2, 20), steps=(60, 2000), epoch_start=(30, 20)))
    assert only.cause == "epoch_start"


def test_a_case_with_an_account_of_its_run_is_diagnosed_by_it() -> None:
    run = breakdown(steps=(60, 600), validation=(40, 10))
    found = diagnose(Case(whole_run=run))
    assert found.primary is not None
    assert (found.primary.cause, found.whole_run) == ("validation", run)
    assert [finding.primary for finding in found.findings].count(True) == 1
    healthy = diagnose(Case(whole_run=breakdown(steps=(60, 600))))
    assert healthy.primary is not None
    assert healthy.primary.cause == "unattributed"


def test_in_short_the_largest_parts_come_first() -> None:
    run = breakdown(imports=(9, 1), steps=(60, 600), validation=(30, 10), tail=(0.5, 1), fit=(0.4, 1))
    assert in_short(run) == "99.9 s: steps 60 %, validation 30 %, imports 9.0 %, tail 0.5 %"


def test_start_up_leads_only_where_nothing_comes_again_and_again() -> None:
    run = breakdown(imports=(20, 1), build=(300, 1), steps=(60, 600), validation=(30, 10))
    found = found_in(run)
    assert [one.cause for one in found] == ["validation", "startup"]
    alone = breakdown(build=(300, 1), steps=(60, 600))
    assert weighed([of_step("input_bound", 0.2)], found_in(alone), alone)[0].cause == "input_bound"
    assert weighed([of_step("compute_bound", 0.9)], found_in(alone), alone)[0].cause == "startup"


@pytest.mark.parametrize(
    ("name", "unit", "value", "words"),
    [
        ("run_s.checkpoint", "s", 22.2, "checkpoint: 22.2 s"),
        ("run_share.between_epochs", "of the run", 0.056, "between epochs: metrics, Keras itself: 5.6 % of the run"),
        ("run_times.predict", "", 110.0, "predict: 110 times"),
        ("run_epochs", "", 60.0, "60 epochs"),
        ("run_calls_per_epoch", "", 1.0, "1 step an epoch"),
        ("run_name.checkpoint", "", "ModelCheckpoint", ""),
        ("run_eagerly", "", True, None),
    ],
)
def test_a_figure_of_a_run_is_told_in_words(name: str, unit: str, value: float | str, words: str | None) -> None:
    assert run_figure(Signal(name=name, unit=unit, source="clock", value=value)) == words


@pytest.mark.parametrize(
    ("shuffled", "confidence"), [("samples", "high"), ("sources", "medium"), ("nothing", "medium")]
)
def test_a_shuffle_before_the_map_or_none_at_all_fills_no_buffer_of_samples(shuffled: str, confidence: str) -> None:
    run = breakdown(steps=(5, 300), epoch_start=(10, 15), fit=(0.2, 1))
    stage = Signal(name="shuffled", unit="", source="trace", value=shuffled)
    (only,) = rules.decide(Evidence(signals=(*whole_run_signals(run).signals, stage)))[0]
    assert (only.cause, only.confidence) == ("epoch_start", confidence)
    late = shuffled == "samples"
    assert ("fills its shuffle buffer" in only.claim) is late
    assert ("+ ds = ds.shuffle(size).map(load)" in only.code) is late


def test_epochs_of_arrays_are_made_longer_since_they_have_no_shuffle_buffer() -> None:
    made = whole_run_signals(breakdown(steps=(10, 3000), epoch_start=(1, 60), epoch_first_call=(5, 59), fit=(0.2, 1)))
    kinds = ("arrays", "a tf.data dataset")
    told = [Signal(name="data_kind", unit="", source="fit", value=kind) for kind in kinds]
    arrays, dataset = (rules.decide(Evidence(signals=(*made.signals, kind)))[0][0] for kind in told)
    assert "from_tensor_slices((x, y))" in arrays.code
    assert "shuffle buffer" not in arrays.claim
    assert "shuffle(size)" in dataset.code


@pytest.mark.parametrize(("start_s", "confidence", "leads"), [(12, "medium", True), (4, "low", False)])
def test_what_keras_itself_takes_for_an_epoch_of_many_steps_is_a_hint_at_first(
    start_s: float, confidence: str, leads: bool
) -> None:
    run = breakdown(steps=(10, 3000), epoch_start=(start_s, 30), fit=(0.2, 1))
    kind = Signal(name="data_kind", unit="", source="fit", value="arrays")
    (only,) = rules.decide(Evidence(signals=(*whole_run_signals(run).signals, kind)))[0]
    assert (only.cause, only.confidence) == ("epoch_start", confidence)
    first = weighed([of_step("batch_too_small", 0.3)], [only], run)[0]
    assert (first.cause == "epoch_start") == leads


def test_a_graph_for_each_of_a_few_shapes_is_a_hint() -> None:
    (seldom,) = found_in(breakdown(steps=(5.8, 596), retracing=(0.6, 3)))
    assert (seldom.cause, seldom.confidence) == ("eager_or_retracing", "low")
    (often,) = found_in(breakdown(steps=(5.8, 40), retracing=(0.6, 3)))
    assert often.confidence == "high"


@pytest.mark.parametrize("imports", [(0.2, 1), (6, 1)])
def test_a_full_device_is_less_sure_beside_slow_epochs_however_long_the_start_took(imports: tuple[float, int]) -> None:
    made = Made()
    for step in range(5):
        at = 100.0 * step
        made.host(at, at + 99, "train", step=step).host(at, at + 99, "PjitFunction(train_step)")
        made.kernel(at + 1, at + 99, launch=at + 0.5)
    of_steps = breakdown_of(made.timeline())
    alone = diagnose(Case(of_steps, whole_run=breakdown(imports=imports, steps=(12, 120), fit=(0.1, 1)))).primary
    run = breakdown(imports=imports, steps=(12, 120), epoch_start=(1.0, 12), checkpoint=(1.2, 12), fit=(0.1, 1))
    beside = diagnose(Case(of_steps, whole_run=run)).primary
    assert alone is not None
    assert beside is not None
    assert (alone.cause, alone.confidence) == (beside.cause, "high") == ("compute_bound", "high")
    assert beside.confidence == "medium"
    assert "of the run passes in saving the model" in beside.claim
