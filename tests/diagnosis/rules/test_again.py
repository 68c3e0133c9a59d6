"""What one traced step shows once is no work that is done once where the window's steps take as long."""

from __future__ import annotations

import pytest

from gpuprobe.diagnosis.case import Case
from gpuprobe.diagnosis.diagnose import diagnose
from gpuprobe.diagnosis.records import Finding
from gpuprobe.ledger.breakdown import breakdown_of
from gpuprobe.records import Signal
from tests.helpers.timelines import Made

STEP_MS = 20.0


def judged(event: str, window_ms: float | None) -> Finding:
    """One step of 20 ms, of which the host is in the event for 12 and launches kernels at a pace for the rest."""
    made = Made().host(0, STEP_MS, "train", step=0).host(0, STEP_MS - 0.1, "train_function").host(0.1, 12, event)
    for number in range(38):
        at = 12.1 + 0.2 * number
        made.kernel(at + 0.05, at + 0.15, launch=at)
    clock = Signal(name="window_call_ms", unit="ms", source="test", value=window_ms, low=window_ms, high=window_ms)
    found = diagnose(Case(breakdown_of(made.timeline()), settings=(clock,) if window_ms else ())).primary
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("window_ms", "cause"),
    [(None, "one_time_work"), (8.0, "one_time_work"), (20.0, "recompiling"), (18.0, "recompiling")],
)
def test_compiling_that_the_window_has_as_well_comes_again(window_ms: float | None, cause: str) -> None:
    found = judged("XlaCompile", window_ms)
    assert found.cause == cause
    assert found.confidence != "high"


def test_a_window_that_is_slower_by_more_has_something_else_in_it() -> None:
    found = judged("XlaCompile", 60.0)
    assert (found.cause, found.confidence) == ("one_time_work", "low")


@pytest.mark.parametrize(("window_ms", "cause"), [(8.0, "one_time_work"), (20.0, "recompiling")])
def test_so_does_what_loads_kernels(window_ms: float, cause: str) -> None:
    found = judged("cuModuleLoadDataEx", window_ms)
    assert (found.cause, found.confidence != "high") == (cause, True)
