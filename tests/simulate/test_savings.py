"""The truth of a session: what removing each flaw saves in the simulator, and no rule of the diagnosis."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from msgspec.structs import replace

import gpuprobe.simulate
from gpuprobe.simulate.engine import simulate, steady, steady_ms
from gpuprobe.simulate.removal import REMOVALS, removable, without
from gpuprobe.simulate.savings import LEAST, NOTHING, accepted, savings
from gpuprobe.simulate.spec import Card, Copies, Host, Input, Kernels, Recording, Spec, WholeRun
from gpuprobe.simulate.truth import tell
from tests.helpers.program import ROOT
from tests.helpers.simulated import SMALL

HEALTHY = Spec(kernels=SMALL, steps=4)
FAST = replace(HEALTHY, kernels=Kernels(count=40, mean_us=20.0))


def test_what_a_cause_costs_is_the_session_run_again_without_it() -> None:
    slow = replace(HEALTHY, input=Input(map_ms=40.0, parallel_calls=1))
    again = replace(slow, input=Input(map_ms=0.0, batch_ms=0.0, get_next_us=0.0, parallel_calls=1))
    assert savings(slow)["input_bound"] == pytest.approx(1 - steady_ms(again) / steady_ms(slow))


def test_the_largest_saving_leads_and_what_is_within_a_tenth_of_it_ties() -> None:
    assert accepted({"input_bound": 0.50, "launch_bound": 0.451, "copy_bound": 0.44}) == ("input_bound", "launch_bound")


def test_below_a_twentieth_of_the_time_there_is_no_cause_and_just_above_it_both_are_right() -> None:
    assert accepted({"input_bound": 0.04}) == (NOTHING,)
    assert accepted({"input_bound": 0.052}) == ("input_bound", NOTHING)
    assert accepted({"input_bound": 0.07}) == ("input_bound",)
    assert accepted({}) == (NOTHING,)


def test_flaws_that_hide_each_other_count_for_what_each_alone_costs() -> None:
    # Batches are made beside the launching, and both take as long: no single removal shortens the step.
    both = replace(FAST, host=Host(dispatch_us=195.0), input=Input(map_ms=8.0, parallel_calls=1))
    for cause in ("input_bound", "launch_bound"):
        assert 1 - steady_ms(without(both, (cause,))) / steady_ms(both) < LEAST
    assert set(accepted(savings(both))) == {"input_bound", "launch_bound"}
    assert savings(both)["launch_bound"] > 0.5


def test_a_removal_that_contains_another_counts_for_what_it_saves_beyond_it() -> None:
    narrow = replace(HEALTHY, card=Card(pcie_fraction=0.1), copies=Copies(batch_mib=20.0))
    assert accepted(savings(narrow)) == ("pcie_degraded",)
    # The same copies on a sound link are as long as the kernels: most of it is theirs.
    large = replace(HEALTHY, card=Card(pcie_fraction=0.9), copies=Copies(batch_mib=200.0))
    assert accepted(savings(large)) == ("copy_bound",)


def test_without_readings_a_hot_card_looks_like_a_larger_network() -> None:
    hot = replace(HEALTHY, card=Card(clock_fraction=0.5))
    assert tell(hot).accepted == ("throttled",)
    blind = tell(replace(hot, recording=Recording(telemetry=False)))
    assert (blind.primary, blind.accepted, blind.healthy) == ("throttled", ("throttled", NOTHING), False)
    narrow = replace(HEALTHY, card=Card(pcie_fraction=0.1), copies=Copies(batch_mib=20.0))
    assert tell(replace(narrow, recording=Recording(telemetry=False))).accepted == ("pcie_degraded", "copy_bound")


@pytest.mark.parametrize("kind", ["code_loading", "autotuning", "specialising"])
def test_what_is_done_once_costs_the_trace_and_no_long_training(kind: str) -> None:
    host = Host(once_ms=100.0, once_kind=kind, once_call=1)  # type: ignore[arg-type]
    once = replace(HEALTHY, host=host)
    # What XLA compiles for one shape, and what it compiles again, look alike in a trace.
    alike = ("recompiling",) if kind == "specialising" else ()
    assert accepted(savings(once)) == ("one_time_work", *alike)
    assert steady_ms(once) == pytest.approx(steady_ms(HEALTHY))
    longest = max(range(4), key=lambda call: simulate(once).call_ms[call])
    assert longest == 1


def test_where_the_first_of_several_steps_holds_it_all_the_steps_after_it_are_the_training() -> None:
    first = replace(HEALTHY, host=Host(once_ms=100.0, once_call=0))
    assert tell(first).accepted == ("one_time_work", NOTHING)
    assert not tell(first).healthy
    assert tell(replace(first, recording=Recording(style="2020"))).accepted == ("one_time_work",)


def test_a_clock_and_readings_show_what_python_does_between_steps_without_the_trace_s_host() -> None:
    slow = replace(HEALTHY, host=Host(callback_ms=50.0))
    blind = Recording(host_events=False, correlated=False)
    assert tell(replace(slow, recording=blind)).answerable
    assert not tell(replace(slow, recording=replace(blind, telemetry=False))).answerable


@pytest.mark.parametrize(
    ("run", "cause"),
    [
        (WholeRun(steps_per_epoch=100, epoch_start_ms=400.0), "epoch_start"),
        (WholeRun(steps_per_epoch=100, validation_ms=400.0), "validation"),
        (WholeRun(steps_per_epoch=100, checkpoint_ms=400.0), "checkpointing"),
        (WholeRun(steps_per_epoch=100, epochs=2, startup_s=2.0), "startup"),
        (WholeRun(steps_per_epoch=100, epochs=2, first_call_s=2.0), NOTHING),
        (WholeRun(steps_per_epoch=1000, epoch_start_ms=100.0), NOTHING),
    ],
)
def test_what_surrounds_the_steps_counts_by_its_share_of_the_run(run: WholeRun, cause: str) -> None:
    assert accepted(savings(replace(HEALTHY, run=run))) == (cause,)


def test_the_mean_step_is_that_of_the_whole_session() -> None:
    mixed = replace(HEALTHY, host=Host(sync_every=2, callback_ms=5.0, wddm_batch=4, steps_per_execution=2))
    assert steady_ms(mixed) == pytest.approx(steady(mixed).step_ms)


def test_no_cause_is_removed_from_a_session_that_does_not_have_it() -> None:
    plain = replace(
        HEALTHY,
        host=Host(dispatch_us=0.0, launch_us=0.001, function_call_us=0.0, callback_ms=0.0),
        input=Input(map_ms=0.0, batch_ms=0.0, get_next_us=0.0),
    )
    assert {removal.cause for removal in removable(plain)} == {"copy_bound"}
    assert len({removal.cause for removal in REMOVALS}) == len(REMOVALS)
    assert accepted(savings(plain)) == (NOTHING,)


def test_the_truth_knows_nothing_of_the_diagnosis_and_its_thresholds() -> None:
    (folder,) = gpuprobe.simulate.__path__
    for path in Path(folder).glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [one.name for one in node.names] if isinstance(node, ast.Import | ast.ImportFrom) else []
            for name in names:
                assert not {"thresholds", "diagnosis", "rules", "evidence"} & set(name.split(".")), path.name


def test_the_page_shows_the_table_of_removals() -> None:
    page = (ROOT / "docs" / "simulated-truth.md").read_text()
    table = page.split("removal.py -->\n")[1].split("<!-- end")[0].splitlines()[2:]
    assert table == [f"| `{removal.cause}` | {removal.words} |" for removal in REMOVALS]
