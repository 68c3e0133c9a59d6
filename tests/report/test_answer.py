"""The first screen: the finding with its figures as the title, the time before and after, what could not be told."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from gpuprobe.diagnosis.records import Diagnosis, Finding
from gpuprobe.ledger.records import DeviceBreakdown
from gpuprobe.ranking.load import load
from gpuprobe.records import Gain
from gpuprobe.report.answer import Answer, of_diagnosis
from gpuprobe.report.charts import Bars
from gpuprobe.report.headline import finding_headline
from gpuprobe.report.study_answer import of_study
from gpuprobe.report.write import write
from gpuprobe.simulate.sessions import write_session
from gpuprobe.simulate.spec import Recording, Spec
from tests.helpers.program import ROOT
from tests.helpers.studies import STORY, SimulatedStrategy, simulate_study

FEED = SimulatedStrategy(name="python_feed", step_ms=30.0)


def answer(folder: Path, *strategies: SimulatedStrategy, **options: object) -> Answer:
    simulate_study(folder, strategies, **options)  # type: ignore[arg-type]
    return of_study(load(folder))


def rows(found: Answer) -> list[tuple[str, float]]:
    assert found.bars is not None
    assert isinstance(found.bars.drawn, Bars)
    return [(bar.label, bar.value) for bar in found.bars.drawn.rows]


def breakdown(**ledger_ms: float) -> DeviceBreakdown:
    """Return the breakdown of a GPU's step of 100 ms."""
    device = next(row.breakdown for row in load(ROOT / "reports" / "example").ranking.rows if row.breakdown is not None)
    return replace(device, kind="gpu", ledger_ms=ledger_ms, step_ms=sum(ledger_ms.values()), counted=4)


def finding(cause: str, severity: float, **others: object) -> Finding:
    made = Finding(
        cause="unattributed", primary=True, severity=severity, confidence="high", claim="", evidence=(), fix=""
    )
    return replace(made, cause=cause, **others)


def test_the_title_holds_the_cause_its_share_and_what_the_fastest_takes(tmp_path: Path) -> None:
    found = answer(tmp_path, *STORY)
    assert found.title.startswith("The next batch comes too late (50 % of the step). `xla`: 2 min 5")
    assert found.title.endswith(" an epoch.")
    assert ("cause", "input_bound, python_feed") in found.chips
    assert ("confidence", "high") in found.chips
    assert "numpy` alone" in found.change
    (before, now), *_, (after, then) = rows(found)
    assert (before, after) == ("before: python_feed", "after: xla")
    assert now == pytest.approx(109, rel=0.02)
    assert then == pytest.approx(40, rel=0.02)


def test_without_a_gpu_the_first_words_say_so(tmp_path: Path) -> None:
    assert answer(tmp_path, *STORY, gpu=False).title.startswith("No GPU here. ")


def test_strategies_that_tie_have_no_winner(tmp_path: Path) -> None:
    found = answer(tmp_path, FEED, SimulatedStrategy(name="numpy", step_ms=30.1, against="python_feed"))
    assert found.title.endswith("No strategy is faster than `python_feed` beyond the noise.")
    assert len(rows(found)) == 1


def test_what_trains_otherwise_is_no_winner(tmp_path: Path) -> None:
    numpy = SimulatedStrategy(name="numpy", step_ms=29.9, against="python_feed")
    large = SimulatedStrategy(name="big", step_ms=40.0, batch_size=256, against="numpy", loss_offset=1.0)
    assert "No strategy of the same loss curve is faster" in answer(tmp_path / "a", FEED, numpy, large).title
    # Two strategies have no band of losses: the larger batch is told with its price.
    found = answer(tmp_path / "b", FEED, replaced(large, against="python_feed", loss_offset=0.0))
    assert "compare the accuracy before you adopt it" in found.change
    assert rows(found)[-1][1] == pytest.approx(5, rel=0.05), "for as many samples as a step of the baseline"


def replaced(strategy: SimulatedStrategy, **fields: object) -> SimulatedStrategy:
    return SimulatedStrategy(**{**strategy.__dict__, **fields})


def test_nothing_measured_and_one_strategy_alone(tmp_path: Path) -> None:
    dead = SimulatedStrategy(name="a", step_ms=10.0, state="killed")
    assert answer(tmp_path / "dead", dead, rounds=1).title.startswith("No run finished: `a`, killed")
    found = answer(tmp_path / "one", FEED)
    assert found.title.startswith("What limits the training is not known. 4")
    assert "predicted" not in found.title


def test_a_healthy_training_is_told_what_would_help_and_promised_nothing(tmp_path: Path) -> None:
    write_session(Spec(name="one", recording=Recording(window_s=2.0)), tmp_path / "study")
    found = of_study(write(tmp_path / "study"))
    assert "GPU busy 100 % of the step: the device itself is the limit." in found.title
    assert found.change.startswith("Feeding it faster gains little. Make the work cheaper")
    assert (found.code, len(rows(found))) == ("", 1)
    assert "predicted" not in found.title + found.change


@pytest.mark.parametrize(
    ("told", "device", "title"),
    [
        (
            finding("launch_bound", 0.55),
            breakdown(gpu_compute=20, idle_queue=55, idle_between_steps=25),
            "GPU idle 80 % of the step, 55 % because the host starts the kernels more slowly than the GPU runs them",
        ),
        (
            finding("input_bound", 0.60),
            breakdown(gpu_compute=40, idle_input=60),
            "GPU idle 60 % of the step: the next batch comes too late",
        ),
        (
            finding("input_bound", 0.60, confidence="low"),
            breakdown(gpu_compute=40, idle_input=60),
            "GPU idle 60 % of the step, perhaps because the next batch comes too late",
        ),
        (
            finding("copy_bound", 0.50),
            breakdown(gpu_compute=40, gpu_copy_h2d=50, idle_launch=10),
            "Copies take the time (50 % of the step)",
        ),
        (
            finding("compute_bound", 0.96),
            breakdown(gpu_compute=96, idle_launch=4),
            "GPU busy 96 % of the step: the device itself is the limit",
        ),
        (
            finding("startup", 0.70, of="run"),
            breakdown(gpu_compute=96, idle_launch=4),
            "Most of the run passes before its first step: 70 % of the run",
        ),
        (
            finding("unattributed", 0.0),
            breakdown(gpu_compute=60, idle_launch=40),
            "GPU idle 40 % of the step, and what limits it is not known",
        ),
        (
            finding("unattributed", 0.0),
            breakdown(gpu_compute=45, unattributed=55),
            "No event explains 55 % of the step, and what limits it is not known",
        ),
        (
            finding("input_bound", 0.5, confidence="low"),
            None,
            "Perhaps the next batch comes too late (50 % of the step)",
        ),
        (finding("a_later_cause", 0.5), None, "A_later_cause (50 % of the step)"),
    ],
)
def test_a_finding_as_a_title(told: Finding, device: DeviceBreakdown | None, title: str) -> None:
    assert finding_headline(told, device) == title


def test_a_diagnosis_tells_what_is_predicted_as_such() -> None:
    device = breakdown(gpu_compute=40, idle_input=60)
    gain = Gain(ratio=2.0, low=1.6, high=2.5)
    first = finding(
        "input_bound", 0.6, predicted_gain=gain, fix="Prefetch.", code="+ ds.prefetch(2)", claim="It waits. So."
    )
    found = of_diagnosis(Diagnosis(source="", format="", devices=(device,), findings=(first,)), device)
    assert found.title.endswith(" Predicted with the change: 100 ms -> 50.0 ms a step.")
    assert rows(found) == [("before", 100), ("after the change", 50)]
    assert found.bars is not None
    assert "before: 100 ms, measured" in found.bars.said
    assert "after the change: 50.0 ms, predicted, 40.0 ms to 62.5 ms" in found.bars.said
    assert found.why == "It waits."
    alone = of_diagnosis(Diagnosis(source="", format="", devices=(), findings=(first,)), None)
    assert alone.bars is None
    assert ("evidence", "readings, no trace") in alone.chips
    empty = of_diagnosis(Diagnosis(source="", format="chrome", devices=(), findings=(first,)), None)
    assert ("evidence", "a trace without a step") in empty.chips
    whole = of_diagnosis(Diagnosis(source="", format="", devices=(), findings=(replace(first, of="run"),)), None)
    assert ("evidence", "the clock over the whole run") in whole.chips
