"""What disturbed a GPU in a turn, from hand-written readings and from a driver that is played."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gpuprobe import telemetry
from gpuprobe.measure.gpu_disturbance import GpuDisturbance, watching_gpu
from tests.helpers.waiting import until

COLUMNS = ("sm_clock_mhz", "throttle_reasons", "other_sm_percent", "other_memory_mib", "memory_free_mib")
POWER_CAP, THERMAL, SYNC_BOOST = 0x4, 0x20, 0x10


class Card:
    """Readings of GPU 0, written block by block."""

    def __init__(self, path: Path) -> None:
        self.path, self.t_ns = path, 1
        path.write_text("t_ns,said," + ",".join(f"gpu0_{name}" for name in COLUMNS) + "\n")
        self.beside = GpuDisturbance(path, 0)

    def block(self, pid: int = 1, clock: float = 1500.0, **values: float) -> str:
        self.beside.begin()
        for _ in range(10):
            self.read(**{"sm_clock_mhz": clock, "throttle_reasons": 0.0, **values})
        return self.beside.disturbance(pid)

    def read(self, **row: float) -> None:
        self.t_ns += 100_000_000
        cells = [f"{row[name]:g}" if name in row else "" for name in COLUMNS]
        with self.path.open("a") as file:
            file.write(f"{self.t_ns},," + ",".join(cells) + "\n")


@pytest.fixture
def card(tmp_path: Path) -> Card:
    return Card(tmp_path / "turns.csv")


def test_a_clock_is_held_against_the_runs_own_fastest_block(card: Card) -> None:
    assert card.block(pid=1, clock=1500.0) == ""
    assert card.block(pid=2, clock=1100.0) == "", "what computes otherwise draws other power"
    assert card.block(pid=1, clock=1290.0) == ""
    assert card.block(pid=1, clock=1270.0) == "the GPU's clock had fallen to 1,270 MHz"


@pytest.mark.parametrize(("reasons", "marked"), [(0, False), (POWER_CAP, False), (SYNC_BOOST, False), (THERMAL, True)])
def test_heat_is_a_disturbance_and_the_power_limit_alone_is_none(card: Card, reasons: int, marked: bool) -> None:
    assert bool(card.block(throttle_reasons=float(reasons))) == marked


def test_heat_in_the_middle_of_a_block_marks_it_and_no_later_one(card: Card) -> None:
    card.beside.begin()
    for reasons in (0.0, float(THERMAL | POWER_CAP), 0.0):
        card.read(throttle_reasons=reasons)
    assert card.beside.disturbance(1) == "heat or the board lowered the GPU's clock"
    assert card.block() == "", "what was over before it is not its own"
    card.read(throttle_reasons=float(THERMAL))
    card.beside.begin()
    assert card.beside.disturbance(1) != "", "it was hot when the block began, and nothing has told otherwise"


def test_what_others_compute_or_take_there(card: Card) -> None:
    assert card.block(other_sm_percent=9.0, other_memory_mib=400.0) == "", "a desktop was there before"
    assert card.block(other_sm_percent=35.0) == "other programs took 35 % of the GPU"
    assert card.block(other_sm_percent=0.0, other_memory_mib=600.0) == ""
    assert card.block(other_memory_mib=1400.0) == "another program took 1,000 MiB of the GPU's memory"
    assert card.block(other_memory_mib=400.0, memory_free_mib=800.0) == "", "it has gone"
    assert card.beside.free_mib == 800.0


def test_nothing_is_said_where_nothing_is_read(tmp_path: Path) -> None:
    beside = GpuDisturbance(tmp_path / "none.csv", 0)
    beside.begin()
    assert beside.disturbance(1) == ""
    assert beside.free_mib is None
    with watching_gpu(None) as nobody:
        assert nobody is None


def test_the_sampler_reads_what_is_asked_of_it_and_heat_that_has_gone(driver: Path, tmp_path: Path) -> None:
    # The process with number 1 is always there, and never ours.
    with driver.open("a") as script:
        script.write("processes 1:300\nthrottle 32 0@2\n")
    with telemetry.sampling(tmp_path / "turns.csv", os.getpid()):
        beside = GpuDisturbance(tmp_path / "turns.csv", 0)
        beside.begin()
        until(lambda: None not in {beside.free_mib, beside._value("other_memory_mib")}, "the memory of the played card")
        until(lambda: beside.free_mib and beside._value("throttle_reasons") == 0, "the played card to cool down")
        read = {name for name in COLUMNS if beside._value(name) is not None}
        assert "heat" in beside.disturbance(1)
    assert {"sm_clock_mhz", "throttle_reasons", "memory_free_mib", "other_memory_mib"} <= read
