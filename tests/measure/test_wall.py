"""The clock of a process, and the breakdown that is made of it: whatever happens, the parts add up to the wall time."""

from __future__ import annotations

import random
from typing import Any, get_args

import pytest

from gpuprobe.evidence.whole_run import breakdown_of_run, breakdown_of_wall
from gpuprobe.evidence.whole_run_signals import whole_run_signals
from gpuprobe.measure.wall import WallClock
from gpuprobe.records import Outcome, PartKind, Phase, PhaseName, Run, RunSpec, Wall
from gpuprobe.report import whole_run
from tests.helpers.whole_runs import S, wall

KINDS: list[PartKind] = list(get_args(PartKind))


@pytest.mark.parametrize("seed", range(40))
def test_the_parts_add_up_whatever_happens_in_whatever_order(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts begin now or earlier, go back to those before, give time to others, and are looked at in between."""
    chance, now = random.Random(seed), 1_000 * S
    monkeypatch.setattr("time.time_ns", lambda: now)
    clock, started = WallClock("imports", now - 3 * S), now - 3 * S
    before, looked = {}, started
    for _ in range(chance.randrange(200)):
        # A clock that is set back gives no time away.
        now += chance.choice([0, 1, 17, S, S // 3, -S // 7])
        deed = chance.randrange(5)
        if deed == 0:
            clock.begin(chance.choice(KINDS), chance.choice(["", "A"]))
        elif deed == 1:
            clock.begin(chance.choice(KINDS), at_ns=now - chance.randrange(2 * S))
        elif deed == 2:
            former = clock.begin("callback", "A")
            now += chance.randrange(S)
            clock.resume(former)
        elif deed == 3:
            clock.move(chance.choice(KINDS), "callback", "B", took_ns=chance.randrange(S), times=1)
        else:
            before, looked = clock.tally(), clock.since_ns
    for found in (clock.wall(started, complete=True), clock.wall(looked, before, complete=True)):
        assert sum(part.total_ns for part in found.parts) == found.ended_ns - found.started_ns
    assert all(part.total_ns >= 0 for part in clock.wall(started, complete=True).parts)


@pytest.mark.parametrize("seed", range(40))
def test_the_breakdown_adds_up_to_the_wall_time(seed: int) -> None:
    chance = random.Random(seed)
    kinds = chance.sample(KINDS, chance.randrange(1, len(KINDS)))
    parts: dict[str, Any] = {kind: (chance.uniform(0.01, 90), chance.randrange(1, 60)) for kind in kinds}
    found = breakdown_of_wall(wall(**parts))
    assert found is not None
    assert sum(row.seconds for row in found.rows) == pytest.approx(found.wall_s)
    assert sum(row.share for row in found.rows) == pytest.approx(1)
    assert all(row.seconds > 0 for row in found.rows)
    assert found.goodput == pytest.approx(found.seconds("steps") / found.wall_s)
    assert 0 <= found.recurring_s <= found.wall_s + 1e-9


def test_what_the_first_call_of_an_epoch_takes_longer_is_the_epochs_start() -> None:
    found = breakdown_of_wall(wall(steps=(9.0, 90), epoch_start=(0.1, 10), epoch_first_call=(6.0, 10)))
    assert found is not None
    assert found.seconds("steps") == pytest.approx(10.0), "ten of the calls, at the pace of the others"
    assert found.seconds("epoch_start") == pytest.approx(5.1)
    assert (found.calls, found.epochs) == (100, 10)


def test_where_an_epoch_has_one_call_that_call_is_a_step() -> None:
    found = breakdown_of_wall(wall(epoch_start=(1.0, 50), epoch_first_call=(2.0, 50)))
    assert found is not None
    assert found.seconds("steps") == pytest.approx(2.0)
    assert found.seconds("epoch_start") == pytest.approx(1.0)


def test_a_planned_run_is_told_by_its_phases_and_its_startup_is_no_flaw() -> None:
    names: list[PhaseName] = ["start", "build", "warmup", "held", "settle", "window", "trace"]
    phases = tuple(
        Phase(name=name, start_ns=place * 100 * S, end_ns=(place + 1) * 100 * S) for place, name in enumerate(names)
    )
    spec = RunSpec(strategy="numpy", round=1, seed=0, batch_size=8)
    run = Run(spec=spec, outcome=Outcome(state="done"), phases=phases)
    found = breakdown_of_run(run)
    assert found is not None
    assert [(row.part, row.seconds) for row in found.rows] == [
        ("imports", 100),
        ("build", 100),
        ("first_call", 100),
        ("steps", 200),
        ("held", 100),
        ("gpuprobe", 100),
    ]
    missing = whole_run_signals(found).get("run_share.startup")
    assert missing is not None
    assert missing.value is None
    assert breakdown_of_run(Run(spec=spec, outcome=Outcome(state="done"))) is None


def test_the_table_says_all_of_the_wall_time() -> None:
    found = breakdown_of_wall(wall(imports=(8, 1), steps=(90, 900), tail=(0.1, 1), between_epochs=(0.2, 4)))
    assert found is not None
    rows = whole_run.run_part_lines(found)
    assert [(row.what, row.time) for row in rows] == [
        ("start-up: Python and imports", "8.00 s"),
        ("steps", "90.0 s"),
        ("everything else", "0.300 s"),
    ]
    assert whole_run.run_headline(found).startswith("Where the wall time went: 98.3 s, of which steps took 92 %")
    assert whole_run.run_parts_table({"numpy": found, "xla": found})[1][:2] == ["numpy", "98.3 s"]


def test_a_wall_time_of_nothing_has_no_breakdown() -> None:
    assert breakdown_of_wall(Wall(started_ns=5, ended_ns=5, parts=())) is None
