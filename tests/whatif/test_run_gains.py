"""What the remedy of a cause outside the steps gains, held against what the removal of its part gives."""

from __future__ import annotations

from typing import Any

import pytest

from gpuprobe.diagnosis.case import Case
from gpuprobe.diagnosis.causes import CAUSES
from gpuprobe.diagnosis.diagnose import diagnose
from gpuprobe.evidence.whole_run import breakdown_of_wall
from gpuprobe.evidence.whole_run_signals import whole_run_signals
from gpuprobe.records import Evidence, Gain, Signal, WallPart
from gpuprobe.report.findings import diagnosis_in_words
from gpuprobe.whatif import run_gains, run_savings
from tests.helpers.whole_runs import S, breakdown, wall


def gain(cause: Any, run: Any, alone: tuple[float, float] | None = None) -> Gain | str:
    """Return the gain; `alone` is what a call of the step takes, and what it computes, in ms."""
    traced = (
        ()
        if alone is None
        else (Signal(name=run_savings.ALONE, unit="ms", source="test", value=alone[0], low=alone[1], high=alone[0]),)
    )
    return run_gains.gain(Evidence(signals=(*whole_run_signals(run).signals, *traced)), cause)


def told(cause: Any, run: Any, alone: tuple[float, float] | None = None) -> Gain:
    made = gain(cause, run, alone)
    assert isinstance(made, Gain), made
    assert made.low is not None
    assert made.high is not None
    assert made.most is not None
    assert made.low <= made.ratio <= made.high <= made.most
    assert made.over == run_gains.OVER
    return made


def test_saving_once_an_epoch_in_place_of_every_second_batch_leaves_what_that_costs() -> None:
    run = breakdown(steps=(10, 1000), epoch_start=(0.1, 20), named=("checkpoint", "ModelCheckpoint", 30, 500))
    made = told("checkpointing", run)
    assert made.ratio == pytest.approx(40.1 / (10.1 + 30 * 20 / 500), rel=1e-3)


def test_a_step_after_a_save_is_slower_than_others_and_may_gain_that_too() -> None:
    run = breakdown(steps=(10, 1000), epoch_start=(0.1, 20), named=("checkpoint", "ModelCheckpoint", 30, 500))
    plain, traced = told("checkpointing", run), told("checkpointing", run, (4.0, 2.0))
    assert plain.ratio == traced.ratio
    assert plain.high is not None
    assert traced.high is not None
    assert traced.most is not None
    assert plain.high < traced.high < traced.most


def test_what_comes_once_an_epoch_already_comes_every_fifth_time() -> None:
    run = breakdown(steps=(10, 1000), epoch_start=(0.1, 20), validation=(30, 20))
    made = told("validation", run)
    assert made.ratio == pytest.approx(40.1 / (10.1 + 30 / 5), rel=1e-3)
    assert made.low is not None
    assert made.low < 40.1 / (10.1 + 30 / 2), "half of it goes at least"


def test_epochs_of_one_step_gain_by_what_the_trace_shows_of_a_step() -> None:
    run = breakdown(epoch_start=(3, 500), epoch_first_call=(4, 499), first_call=(1, 1), between_epochs=(3, 500))
    assert gain("epoch_start", run) == run_savings.NO_STEP
    made = told("epoch_start", run, (0.8, 0.2))
    # 499 steps of 0.4 ms (as a call in a row starts its operations three times as fast), and what an epoch costs once
    # in a hundred steps.
    assert made.ratio == pytest.approx(10 / (499 * 0.0004 + 6 / 100), rel=1e-2)
    assert made.most is not None
    assert made.most > 10 / (499 * 0.0002), "no step takes less than its operations compute"


def test_a_shuffle_buffer_gains_by_what_its_filling_takes() -> None:
    run = breakdown(steps=(20, 3800), epoch_start=(10, 20), between_epochs=(1, 20))
    made = told("epoch_start", run)
    assert made.ratio == pytest.approx(31 / 21, rel=1e-3)


def test_calls_that_trace_anew_become_calls_like_others() -> None:
    plain = told("eager_or_retracing", breakdown(steps=(1, 100), retracing=(30, 100)))
    assert plain.ratio == pytest.approx(31 / 2, rel=1e-3)
    alone = told("eager_or_retracing", breakdown(retracing=(30, 100)), (2.0, 0.1))
    assert alone.ratio == pytest.approx(30 / (100 * (0.0001 + 0.0019 / 3)), rel=1e-3)
    assert alone.most is not None
    assert alone.most > 30 / 0.01, "the operations alone are what is left at least"
    assert told("compiled_again", breakdown(steps=(1, 100), first_call_again=(9, 5))).ratio == pytest.approx(
        10 / (1 + 5 * 0.01), rel=1e-3
    )


def test_small_fits_and_predicts_become_single_calls() -> None:
    run = breakdown(
        fit=(6, 110),
        epoch_start=(1, 110),
        epoch_first_call=(0.6, 109),
        between_trainings=(0.1, 300),
        named=("predict", "of one batch", 15, 330),
    )
    made = told("many_small_fits", run, (1.0, 0.1))
    step = 0.0001 + 0.0009 / 3
    left = 0.1 + 109 * (step + 0.0003) + 330 * (step / 2 + 0.0003)
    assert made.ratio == pytest.approx(22.7 / left, rel=0.02)


def test_what_comes_once_has_no_gain_and_says_why() -> None:
    found = diagnose(Case(whole_run=breakdown(build=(300, 1), steps=(60, 600))))
    assert found.primary is not None
    assert found.primary.cause == "startup"
    assert diagnosis_in_words(found).next.endswith(f"No gain is predicted: {run_gains.ONCE_ONLY}.")


def test_the_verdict_tells_the_gain_over_the_run_with_the_most_that_it_can_be() -> None:
    found = diagnose(Case(whole_run=breakdown(steps=(60, 600), epoch_start=(0.1, 10), validation=(40, 10))))
    said = diagnosis_in_words(found).next
    assert "Predicted gain: 1.47x (" in said
    assert "at most " in said
    assert said.endswith(f", over {run_gains.OVER}.")


def test_a_part_that_differs_from_time_to_time_has_a_wider_range() -> None:
    def run(*seconds: float) -> Any:
        saves = WallPart(
            kind="checkpoint",
            name="Saves",
            total_ns=round(sum(seconds) * S),
            times=len(seconds),
            squares_s2=sum(one**2 for one in seconds),
        )
        made = wall(steps=(10, 1000), epoch_start=(0.1, 10))
        return breakdown_of_wall(type(made)(started_ns=0, ended_ns=0, parts=(*made.parts, saves)))

    even, odd = told("checkpointing", run(*[1.0] * 10)), told("checkpointing", run(*[0.1] * 5, *[1.9] * 5))
    assert even.ratio == odd.ratio
    assert even.high is not None
    assert odd.high is not None
    assert even.low is not None
    assert odd.low is not None
    assert odd.low < even.low
    assert odd.high > even.high


def test_what_came_once_for_long_and_stays_widens_the_range() -> None:
    def run(*starts_s: float) -> Any:
        starts = WallPart(
            kind="epoch_start",
            total_ns=round(sum(starts_s) * S),
            times=len(starts_s),
            squares_s2=sum(one**2 for one in starts_s),
        )
        made = wall(steps=(4, 400), named=("checkpoint", "ModelCheckpoint", 18, 400))
        return breakdown_of_wall(type(made)(started_ns=0, ended_ns=0, parts=(*made.parts, starts)))

    even, once = told("checkpointing", run(*[1.0] * 8)), told("checkpointing", run(*[0.1] * 7, 7.3))
    assert even.ratio == pytest.approx(once.ratio)
    assert even.high is not None
    assert once.high is not None
    assert once.high > 1.5 * even.high


def test_every_gain_is_that_of_a_cause_of_the_catalogue() -> None:
    assert set(run_savings.SAVINGS) <= set(CAUSES)
