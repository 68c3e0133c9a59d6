"""A study with a file that cannot be read: what it was of is named with the reason, and the others count."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from gpuprobe.errors import InputError
from gpuprobe.measure.folder import recover
from gpuprobe.ranking.load import load
from gpuprobe.recording import load_runs, search_file
from gpuprobe.search.next_run import next_combination
from gpuprobe.simulate.sessions import write_session
from gpuprobe.simulate.spec import Spec
from tests.helpers.program import Cli, run_cli
from tests.helpers.studies import STORY, simulate_study

# As a full disk, an editor, another program and another version leave a record.
BROKEN: dict[str, Callable[[bytes], bytes]] = {
    "cut off": lambda whole: whole[: len(whole) // 2],
    "empty": lambda _: b"",
    "null": lambda _: b"null",
    "no text": lambda _: b"\xff\xfe\x00",
    "another kind": lambda _: b'{"schema": 1}',
    "newer": lambda whole: whole.replace(b'"schema": 1', b'"schema": 99', 1),
}


def spoil(path: Path, how: str = "cut off") -> None:
    path.write_bytes(BROKEN[how](path.read_bytes()))


@pytest.fixture
def study(tmp_path: Path) -> Path:
    folder = tmp_path / "study"
    simulate_study(folder, STORY[:3], rounds=2)
    return folder


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("session")
    write_session(Spec(), folder)
    return folder


@pytest.mark.parametrize("how", BROKEN)
def test_a_run_that_cannot_be_read_is_named_and_the_others_are_ranked(study: Path, how: str) -> None:
    spoil(study / "runs" / "1-numpy" / "run.json", how)
    spoil(study / "runs" / "2-numpy" / "run.json", how)
    done = run_cli("report", study)
    assert done.returncode == 0
    told = done.stderr.splitlines()
    assert [line.partition(", run.json: ")[0] for line in told] == [
        f"gpuprobe: numpy, round {number}: unreadable" for number in (1, 2)
    ]
    text = (study / "report.md").read_text()
    assert "**numpy**, round 1: unreadable. run.json: " in text
    assert str(study.parent) not in text
    assert [row.strategy for row in load(study).ranking.rows] == ["tfdata_cache_prefetch", "python_feed"]


def test_one_round_that_cannot_be_read_leaves_the_other(study: Path, cli: Cli, tmp_path: Path) -> None:
    before = tmp_path / "before"
    shutil.copytree(study, before)
    spoil(study / "runs" / "1-numpy" / "run.json")
    assert {row.strategy: row.samples_per_s.rounds for row in load(study).ranking.rows}["numpy"] == 1
    done = cli("compare", before, study, "--fail-below", 0.5)
    assert (done.returncode, done.stderr) == (0, "")
    assert "B: numpy, round 1, is unreadable and left out: run.json: " in done.stdout


def test_a_study_that_cannot_be_read_is_the_end_of_a_comparison(study: Path, cli: Cli, tmp_path: Path) -> None:
    shutil.copytree(study, tmp_path / "other")
    spoil(tmp_path / "other" / "study.json")
    done = cli("compare", study, tmp_path / "other")
    (line,) = done.stderr.splitlines()
    assert done.returncode == 3
    assert line.startswith(f"gpuprobe: {tmp_path}/other/study.json: not a study record of gpuprobe (")


def test_all_runs_unreadable_is_told_and_no_crash(study: Path, cli: Cli) -> None:
    for path in study.glob("runs/*/run.json"):
        spoil(path)
    done = cli("report", study)
    assert (done.returncode, done.stderr.count("unreadable")) == (0, 6)
    assert "No run finished." in (study / "report.md").read_text()
    assert cli("predict", "--from", study).returncode == 3


def test_telemetry_that_cannot_be_read_is_named(study: Path, cli: Cli) -> None:
    (study / "runs" / "2-numpy" / "telemetry.csv").write_bytes(b"\x00\xff no telemetry")
    assert cli("report", study).returncode == 0
    said = "The telemetry of `numpy`, round 2, is left out: telemetry.csv: not a telemetry recording"
    assert said in (study / "report.md").read_text()
    done = cli("compare", study / "runs" / "1-numpy", study / "runs" / "2-numpy")
    assert (done.returncode, done.stderr) == (0, "")
    assert "B: Left out: " in done.stdout


def test_a_search_that_cannot_be_read_is_named_and_decided_again(study: Path, cli: Cli) -> None:
    simulate_study(study.parent / "tuned", STORY)
    folder = study.parent / "tuned"
    record = (folder / "study.json").read_text()
    (folder / "study.json").write_text(record.replace('"combines": false', '"combines": true'))
    name = load_runs(folder)[folder / "runs" / "1-xla"].spec.strategy
    search_file(folder, name).write_bytes(b"{")
    assert cli("report", folder).returncode == 0
    report = (folder / "report.md").read_text()
    assert f"The search for `{name}` is lost: search-{name}.json: not a search record" in report
    next_combination(folder, name)
    assert search_file(folder, name).read_bytes() != b"{"


@pytest.mark.parametrize("file", ["run.json", "telemetry.csv", "../../study.json"])
def test_a_trace_is_diagnosed_without_what_lies_beside_it(session: Path, tmp_path: Path, cli: Cli, file: str) -> None:
    shutil.copytree(session, tmp_path / "S")
    run = tmp_path / "S" / "runs" / "1-simulated"
    (run / file).write_bytes(b"{")
    done = cli("diagnose", run)
    assert (done.returncode, done.stderr) == (0, "")
    assert "compute_bound" in done.stdout
    assert "Note: Left out: " in done.stdout
    shutil.rmtree(run / "trace")
    if file == "run.json":
        assert cli("diagnose", run).returncode == 3


def test_a_broken_trace_in_a_study_leaves_the_ranking(session: Path, tmp_path: Path, cli: Cli) -> None:
    shutil.copytree(session, tmp_path / "S")
    (trace,) = (tmp_path / "S").glob("runs/*/trace/**/*.xplane.pb")
    trace.write_bytes(trace.read_bytes()[:1000])
    done = cli("report", tmp_path / "S")
    assert (done.returncode, done.stderr) == (0, "")
    text = (tmp_path / "S" / "report.md").read_text()
    assert "The trace of simulated is left out: trace/" in text
    assert str(tmp_path) not in text.partition("does not count")[2].partition("\n")[0]


def test_a_run_that_was_cut_off_with_a_broken_specification_is_recovered_with_the_others(study: Path) -> None:
    for name in ("1-numpy", "2-python_feed", "1-tuned-2"):
        (study / "runs" / name).mkdir(exist_ok=True)
        (study / "runs" / name / "run.json").unlink(missing_ok=True)
        (study / "runs" / name / "spec.json").write_bytes(b"{")
    assert len(recover(study)) == 3
    spec = load_runs(study)[study / "runs" / "1-tuned-2"].spec
    assert (spec.round, spec.strategy, spec.step) == (1, "tuned", 2)


def test_the_curves_of_a_training_that_diverged_are_read_back_and_drawn(tmp_path: Path) -> None:
    from gpuprobe.measure.checkpoint import EpochRow, read_curves, save_curves
    from gpuprobe.report.curves import curves

    rows = [
        EpochRow(
            epoch=number,
            train_loss=loss,
            train_accuracy=0.1,
            test_loss=loss,
            test_accuracy=0.1,
            learning_rate=1.0,
            epoch_s=1.0,
        )
        for number, loss in ((1, 2.5), (2, None), (3, None))
    ]
    save_curves(rows, tmp_path)
    assert read_curves(tmp_path) == rows
    assert b"nan" not in curves(rows).lower()


def test_curves_that_cannot_be_read_are_one_error(tmp_path: Path) -> None:
    from gpuprobe.measure.checkpoint import CURVES_FILE, read_curves

    for content in (b"epoch,train_loss\n1,much\n", b"\xff\xfe", b"epoch\n\x00\n"):
        (tmp_path / CURVES_FILE).write_bytes(content)
        with pytest.raises(InputError, match="not the curves of a training"):
            read_curves(tmp_path)
