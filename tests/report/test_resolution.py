"""What a report begins with: how small a difference could be told, and who was too busy for more."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from gpuprobe.ranking.disturbances import Disturbances, disturbances_of
from gpuprobe.ranking.load import Loaded, load
from gpuprobe.records import Evidence, Outcome, Phase, Run, RunSpec, Signal
from gpuprobe.report.charts import Bars
from gpuprobe.report.resolution import resolution, untold
from gpuprobe.report.study_answer import of_study
from gpuprobe.report.verdict import verdict
from tests.helpers.studies import SimulatedStrategy, simulate_study

ALIKE = tuple(SimulatedStrategy(name=name, step_ms=50.0) for name in "abc")


def real(loaded: Loaded, **changes: object) -> Loaded:
    """The same study as if it had been measured, on a machine like that."""
    study = msgspec.structs.replace(
        loaded.study, environment=msgspec.structs.replace(loaded.study.environment, simulated=False, cores=2)
    )
    ranking = msgspec.structs.replace(loaded.ranking, **changes)
    return Loaded(loaded.folder, study, loaded.runs, loaded.telemetry, ranking)


def test_the_first_line_says_how_small_a_difference_could_be_told(tmp_path: Path) -> None:
    simulate_study(tmp_path, ALIKE)
    loaded = load(tmp_path)
    assert loaded.ranking.resolution is not None
    assert 0 < loaded.ranking.resolution < 0.05
    assert verdict(loaded).where.endswith("or more could be told here.")
    assert "Differences from `a` of" in verdict(loaded).where
    (tmp_path / "one").mkdir()
    simulate_study(tmp_path / "one", ALIKE[:1])
    one = load(tmp_path / "one")
    assert resolution(one.ranking, one.study) == ""


@pytest.mark.parametrize(("value", "told"), [(8.9, "of 890 % or more"), (20_154.9, "Not even a tenfold difference")])
def test_a_study_that_told_nothing_gives_no_figure_for_it(tmp_path: Path, value: float, told: str) -> None:
    simulate_study(tmp_path, ALIKE)
    loaded = real(load(tmp_path), resolution=value)
    assert told in resolution(loaded.ranking, loaded.study)
    words = dict(of_study(loaded).chips)["smallest difference that could be told"]
    assert words == ("890 %" if value < 9 else "more than tenfold")


def test_the_first_line_says_who_was_busy_where_little_could_be_told(tmp_path: Path) -> None:
    simulate_study(tmp_path, ALIKE)
    loaded = load(tmp_path)
    first, *rest = loaded.ranking.rows
    rows = (msgspec.structs.replace(first, beyond_baseline="faster"), *rest)
    busy = Disturbances(foreign_cores=1.44, turns=8, disturbed=6, reasons=("others",))
    told = verdict(real(loaded, resolution=0.3, disturbances=busy, rows=rows)).where
    assert told.endswith(
        "could be told here: other programs took 1.4 of 2 processors, and 6 of 8 turns were disturbed."
    )
    assert verdict(real(loaded, resolution=0.3, rows=rows, disturbances=Disturbances())).where.endswith(
        "could be told here."
    )
    assert verdict(real(loaded, resolution=0.09, rows=rows, disturbances=busy)).where.endswith("could be told here.")
    alike = verdict(real(loaded, resolution=0.3, disturbances=busy))
    assert alike.where.endswith("could be told here."), "the verdict says it"
    assert "1.4 of 2" in alike.verdict


def test_a_drifting_machine_tells_less(tmp_path: Path) -> None:
    found = []
    for name, spread in (("calm", 0.03), ("restless", 1.5)):
        (tmp_path / name).mkdir()
        simulate_study(tmp_path / name, [SimulatedStrategy(name=one, step_ms=400.0, spread=spread) for one in "abc"])
        told = load(tmp_path / name).ranking.resolution
        assert told is not None
        found.append(told)
    assert found[1] > 5 * found[0]


@pytest.mark.parametrize(
    ("foreign", "disturbed", "who"),
    [
        (1.44, 0, "other programs took 1.4 of 2 processors. End them, or"),
        (0.1, 6, "memory was short, and 6 of 8 turns were disturbed. Try at a calmer time, or"),
    ],
)
def test_who_was_busy_and_what_to_do(tmp_path: Path, foreign: float | None, disturbed: int, who: str) -> None:
    simulate_study(tmp_path, ALIKE)
    seen = Disturbances(
        foreign_cores=foreign, turns=8, disturbed=disturbed, reasons=("memory was short",), pace=(8.0, 14.0)
    )
    loaded = real(load(tmp_path), resolution=0.3, disturbances=seen)
    said = verdict(loaded).verdict
    assert said.startswith(f"This machine was too busy to rank them: {who}")
    assert "--budget" in said


@pytest.mark.parametrize(
    ("pace", "title", "begin"),
    [
        (
            (8.0, 14.0),
            "the machine's speed changed",
            "This machine's speed changed too much to rank them: from turn to",
        ),
        ((13.5, 14.0), "the study was too short", "The study was too short to rank them. Give it more time"),
        (None, "the study was too short", "The study was too short to rank them. Give it more time"),
    ],
)
def test_nobody_is_called_busy_whom_nobody_saw(
    tmp_path: Path, pace: tuple[float, float] | None, title: str, begin: str
) -> None:
    simulate_study(tmp_path, ALIKE)
    seen = Disturbances(foreign_cores=0.0, turns=8, pace=pace, pace_of="a")
    loaded = real(load(tmp_path), resolution=0.3, disturbances=seen)
    found = of_study(loaded)
    assert found.title.startswith(f"Could not tell which of {len(loaded.ranking.rows)} strategies is fastest: {title}")
    assert ("smallest difference that could be told", "30 %") in found.chips
    assert found.bars is not None
    assert isinstance(found.bars.drawn, Bars)
    assert len(found.bars.drawn.rows) == 1, "no gain is shown where none could be told"
    said = verdict(loaded).verdict
    assert said.startswith(begin)
    assert ("`a` ran 8.0 to 14 steps a second" in said) is (pace == (8.0, 14.0))
    assert "busy to rank" not in said


def test_nothing_is_missed_where_something_was_told_or_is_still_to_be_told(tmp_path: Path) -> None:
    simulate_study(tmp_path, ALIKE)
    loaded = load(tmp_path)
    assert not untold(real(loaded, resolution=0.04).ranking, real(loaded).study)
    assert "too short" in verdict(real(loaded, resolution=0.3)).line
    assert "too short" not in verdict(real(loaded, resolution=0.3), provisional=True).line
    first, *rest = loaded.ranking.rows
    differs = real(loaded, resolution=0.3, rows=(msgspec.structs.replace(first, beyond_baseline="faster"), *rest))
    assert not untold(differs.ranking, differs.study)
    assert not untold(msgspec.structs.replace(loaded.ranking, resolution=0.3), loaded.study), "none was there"


def test_what_others_took_is_the_median_of_the_windows_and_marks_are_counted() -> None:
    def told(cores: float) -> Evidence:
        return Evidence(signals=(Signal(name="other_cpu_cores", unit="cores", source="psutil", value=cores),))

    turns = [
        Phase(name="turn", start_ns=0, end_ns=1, lap=lap, disturbed="others" if lap > 2 else "") for lap in (1, 2, 3)
    ]
    run = Run(
        spec=RunSpec(strategy="a", round=1, seed=0, batch_size=32),
        outcome=Outcome(state="done"),
        phases=(Phase(name="window", start_ns=0, end_ns=1), *turns),
    )
    found = disturbances_of([run], [told(0.2), told(1.4), told(1.5), Evidence()])
    assert found == Disturbances(foreign_cores=1.4, turns=3, disturbed=1, reasons=("others",))
    assert disturbances_of([], []) == Disturbances()


def test_reasons_are_counted_by_kind_and_told_with_the_median_figure() -> None:
    texts = (
        "another program took 1,024 MiB of the GPU's memory",
        "others took 1.3 of 2 processors",
        "others took 0.9 of 2 processors; the processors' clock had fallen to 1,200 MHz",
        "others took 1.1 of 2 processors; memory was short and was swapped in",
        "the processors' clock had fallen to 900 MHz",
        "the processors' clock had fallen to 1,100 MHz",
        "others took 1.2 of 2 processors",
        "others took 0.4 of 2 processors",
    )
    turns = [Phase(name="turn", start_ns=0, end_ns=1, lap=lap, disturbed=words) for lap, words in enumerate(texts, 1)]
    run = Run(
        spec=RunSpec(strategy="a", round=1, seed=0, batch_size=32), outcome=Outcome(state="done"), phases=tuple(turns)
    )
    found = disturbances_of([run], [])
    assert found.disturbed == len(texts)
    assert found.reasons == (
        "others took 1.1 of 2 processors",
        "the processors' clock had fallen to 1,100 MHz",
        "another program took 1,024 MiB of the GPU's memory",
        "memory was short and was swapped in",
    )
