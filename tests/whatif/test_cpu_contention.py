"""What-if where training and input pipeline share a processor's cores, against a scheduler played step by step."""

from __future__ import annotations

import pytest

from gpuprobe.ledger.breakdown import break_down
from gpuprobe.whatif.predict import predict
from gpuprobe.whatif.records import Replay
from gpuprobe.whatif.run_facts import Known
from tests.helpers.timelines import Made

STEPS = 12
CORES = 2
COMPUTES, PYTHON = "resize/ResizeBicubic:ResizeBicubic", "PyFunc:PyFunc"


def played_ms(own: float, making: float, width: float, maker: float, *, first: bool = False) -> float:
    """Play a scheduler: a step of the training beside the making of a batch, each so many ms long alone.

    It is fair to both, or lets the making have its core `first`.
    """
    left, lasted, tick = [own, making], 0.0, 0.001
    while max(left) > 0:
        wanted = (width if left[0] > 0 else 0) + (maker if left[1] > 0 else 0)
        pace = min(1.0, CORES / wanted) if wanted else 1.0
        paces = ((CORES - maker) / width if left[1] > 0 else 1.0, 1.0) if first else (pace, pace)
        left = [part - tick * each for part, each in zip(left, paces, strict=True)]
        lasted += tick
    return lasted


def inline(own: float, making: float, does: str) -> Made:
    """Trace a pipeline that makes each batch when it is asked for."""
    made = Made()
    for step in range(STEPS):
        at, ready = step * (own + making), step * (own + making) + making
        made.host(at, at + own + making, "train", step=step).host(at, at + own + making, "train_function")
        made.host(at, ready, "IteratorGetNextOp::DoCompute", "get_next").host(at, ready, "Iterator::Root", "get_next")
        made.host(at, ready, "Iterator::Root::Map", "get_next").host(at, ready, does, "tf_data_private_threadpool")
        made.host(ready, ready + own, "dense/MatMul:MatMul", "tf_Compute")
    return made


def ahead(own: float, making: float, does: str) -> Made:
    """Trace a pipeline whose batches are made beside the training, both as long as that made them."""
    made, period = Made(), max(own, making)
    for step in range(STEPS):
        at, ready = step * period, step * period + (period - own)
        made.host(at, at + period, "train", step=step).host(at, at + period, "train_function")
        made.host(at, max(ready, at + 0.01), "IteratorGetNextOp::DoCompute", "get_next")
        made.host(at, max(ready, at + 0.01), "Iterator::Root::Prefetch", "get_next")
        made.host(ready, at + period, "dense/MatMul:MatMul", "tf_Compute")
        made.host(ready, ready + making, "Iterator::Root::Prefetch::Map", "tf_data_iterator_resource")
        made.host(ready, ready + making, does, "tf_data_private_threadpool")
    return made


def replayed(made: Made, busy_cores: float | None, cores: int | None = CORES, others: float = 0.0) -> Replay:
    timeline = made.timeline()
    known = Known(cores=cores, busy_cores=busy_cores, other_cores=others)
    found = predict(break_down(timeline), known)
    assert found.refused is None
    return found


def step_ms(found: Replay, change: str) -> float:
    made = found.of(change)
    assert made is not None
    assert made.low_ms <= made.step_ms <= made.high_ms
    return made.step_ms


@pytest.mark.parametrize(("own", "making"), [(40.0, 30.0), (30.0, 40.0), (40.0, 5.0)])
@pytest.mark.parametrize("width", [1.0, 1.5, 2.0])
def test_a_prefetch_takes_from_the_training_the_cores_that_it_wants(own: float, making: float, width: float) -> None:
    busy = (width * own + making) / (own + making)
    found = replayed(inline(own, making, COMPUTES), busy)
    assert step_ms(found, "prefetch") == pytest.approx(played_ms(own, making, width, 1.0), rel=0.03)
    # Nothing was beside the training as it was.
    assert step_ms(found, "input_free") == pytest.approx(own, rel=0.03)


@pytest.mark.parametrize("width", [1.0, 1.5, 2.0])
def test_a_training_is_quicker_without_the_pipeline_beside_it(width: float) -> None:
    period = played_ms(40.0, 30.0, width, 1.0)
    found = replayed(ahead(period, 30.0 + period - 40.0, COMPUTES), (width * 40.0 + 30.0) / period)
    assert found.steady_ms == pytest.approx(period, rel=0.02)
    # The cores that were used are the fewest that the training wants: the less they are, the more is left open.
    alone = found.of("input_free")
    assert alone is not None
    assert alone.low_ms <= 40.0 <= alone.high_ms * 1.01
    assert alone.step_ms == pytest.approx(40.0, rel=0.05 if width == CORES else 0.17)


@pytest.mark.parametrize("width", [1.0, 1.5, 2.0])
def test_a_machine_that_is_always_full_leaves_open_how_many_cores_the_training_wants(width: float) -> None:
    period = played_ms(30.0, 40.0, width, 1.0)
    found = replayed(ahead(30.0 + period - 40.0, period, COMPUTES), (width * 30.0 + 40.0) / period).of("input_free")
    assert found is not None
    assert found.low_ms <= 30.0 <= found.high_ms


@pytest.mark.parametrize("width", [1.5, 2.0])
@pytest.mark.parametrize("making", [20.0, 30.0])
def test_the_range_holds_a_scheduler_that_lets_the_pipeline_go_first(width: float, making: float) -> None:
    period = played_ms(40.0, making, width, 1.0, first=True)
    traced = replayed(ahead(period, making, COMPUTES), (width * 40.0 + making) / period).of("input_free")
    assert traced is not None
    assert traced.low_ms <= 40.0 <= traced.high_ms
    before = replayed(inline(40.0, making, COMPUTES), (width * 40.0 + making) / (40.0 + making)).of("prefetch")
    assert before is not None
    assert before.low_ms <= period <= before.high_ms


def test_a_map_on_every_core_leaves_the_training_some_of_it() -> None:
    found = replayed(inline(40.0, 30.0, COMPUTES), (2.0 * 40 + 30) / 70).of("parallel_map")
    assert found is not None
    assert 0 < found.low_ms <= found.step_ms <= found.high_ms < 200


def test_a_map_that_only_waits_takes_no_core() -> None:
    found = replayed(inline(40.0, 30.0, PYTHON), 2.0 * 40 / 70)
    assert step_ms(found, "prefetch") == pytest.approx(40.0, rel=0.15)
    # Had Python computed, the process would have used more.
    busier = replayed(inline(40.0, 30.0, PYTHON), (2.0 * 40 + 30) / 70)
    assert step_ms(busier, "prefetch") > 1.1 * step_ms(found, "prefetch")


def test_cores_that_other_programs_use_are_not_there_to_share() -> None:
    busy = inline(40.0, 30.0, COMPUTES)
    assert step_ms(replayed(busy, 1.0), "prefetch") == pytest.approx(40.0, rel=0.03)
    assert step_ms(replayed(busy, 1.0, others=1.0), "prefetch") == pytest.approx(70.0, rel=0.03)


def test_where_nobody_saw_how_many_cores_were_busy_the_range_holds_all_that_may_be() -> None:
    made = replayed(inline(40.0, 30.0, COMPUTES), None).of("prefetch")
    assert made is not None
    for width in (1.0, 1.5, 2.0):
        assert made.low_ms <= played_ms(40.0, 30.0, width, 1.0) <= made.high_ms


def test_with_cores_to_spare_nothing_is_shared() -> None:
    assert step_ms(replayed(inline(40.0, 30.0, COMPUTES), 1.5, cores=16), "prefetch") == pytest.approx(40.0, rel=0.01)
    assert step_ms(replayed(inline(40.0, 30.0, COMPUTES), None, cores=None), "prefetch") == pytest.approx(
        40.0, rel=0.01
    )
