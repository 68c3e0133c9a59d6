"""A worker that lives on batches made ahead is late only once they are used up; until then it proves nothing."""

from __future__ import annotations

import pytest

from gpuprobe.ledger.breakdown import breakdown_of
from gpuprobe.ledger.pipeline_pace import making_ms, steps_fed_from_before
from gpuprobe.ledger.step_waits import is_beyond_chance
from tests.helpers.timelines import Made
from tests.ledger.test_step_waits import job

PREFETCH = "Iterator::Root::Prefetch"
STEPS, STEP_MS = 6, 100.0


def fed(making: float, waits_from: int) -> int:
    """Steps that the GPU fills for 100 ms, of which those from `waits_from` on first wait 40 ms for their batch."""
    made, at = Made(), 0.0
    for step in range(STEPS):
        waits_ms = 40.0 if step >= waits_from else 0.05
        ends = at + waits_ms + STEP_MS
        made.host(at, ends - 0.1, "train", step=step).host(at, ends - 1, "train_function")
        made.host(at, at + waits_ms, "IteratorGetNextOp::DoCompute").host(
            at, at + waits_ms, PREFETCH, "tf_data_get_next"
        )
        made.kernel(at + waits_ms + 0.5, ends - 0.5, launch=at + waits_ms + 0.3)
        at = ends
    made.kernel(at, at + 1, launch=at - 0.1)
    for number in range(int(at / making)):
        made.host(making * number, making * (number + 1), f"{PREFETCH}::Map", "tf_data_iterator_resource")
    breakdown = breakdown_of(made.timeline())
    host, device = breakdown.hosts[0], breakdown.devices[0]
    assert making_ms(host.iterators) == pytest.approx(making)
    return steps_fed_from_before(host, device)


@pytest.mark.parametrize(("making", "waits_from", "steps"), [(140, 2, 2), (140, 0, 0), (140, STEPS, 0), (60, 2, 0)])
def test_steps_before_the_first_wait_lived_on_batches_of_before(making: float, waits_from: int, steps: int) -> None:
    assert fed(making, waits_from) == steps


def test_they_do_not_speak_for_a_worker_that_is_late_ever_after() -> None:
    waits = job([0.0] * 6, [0.0, 0.0, 1.9, 25.6, 25.7, 23.9]).waits
    assert is_beyond_chance(waits, 1) is False
    assert is_beyond_chance(waits, 1, fed_from_before=2) is True, "the third step took the last batch made before"
    assert is_beyond_chance(job([0.0] * 6, [0.0, 0.0, 1.9, 25.6, 0.0, 5.0]).waits, 1, fed_from_before=2) is False
