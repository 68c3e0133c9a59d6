"""The report, from disk alone: its words, its figures, its plots, and the copy that is fit to publish."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from gpuprobe.errors import InputError, OutputError
from gpuprobe.recording import RUN_FILE, STUDY_FILE, load_runs
from gpuprobe.records import to_json
from gpuprobe.report.write import write
from gpuprobe.sharing.prefilter import prefilter_of
from gpuprobe.sharing.protobuf import Rewriting, rewritten
from gpuprobe.sharing.publish import publish
from gpuprobe.simulate.sessions import write_session
from gpuprobe.simulate.spec import Recording, Spec
from tests.helpers.program import Cli
from tests.helpers.studies import STORY, SimulatedStrategy, simulate_study


def report(folder: Path, *strategies: SimulatedStrategy, **options: object) -> str:
    simulate_study(folder, strategies, **options)  # type: ignore[arg-type]
    write(folder)
    return (folder / "report.md").read_text()


def test_the_verdict_comes_first_and_a_simulation_says_so(tmp_path: Path) -> None:
    text = report(tmp_path, *STORY)
    top = text[: text.index("## Ranking")]
    assert "SIMULATED" in top
    assert "Simulated on NVIDIA GeForce GTX 1060 3GB" in top
    assert "**Verdict.** `xla` is the fastest of 5 strategies" in top
    assert "2.7" in top
    assert "simulated: it shows how gpuprobe reasons" in top
    assert "getting the next batch" in top


def test_what_is_faster_and_trains_otherwise_is_no_gain_and_is_told(tmp_path: Path) -> None:
    off = SimulatedStrategy(name="off", step_ms=30.0, against="xla", loss_offset=1.0)
    top, _, _ = report(tmp_path, *STORY, off).partition("## Ranking")
    assert "`xla` is the fastest of 5 strategies with the same loss curve" in top
    assert "`off` is " in top
    assert " as fast, but its loss curve differs." in top
    assert "as fast as `xla` but its loss curve differs (loss " in top
    assert "The single change that gained most is `off`" not in top


def test_what_was_not_measured_is_not_claimed(tmp_path: Path) -> None:
    late = SimulatedStrategy(name="late", step_ms=10.0, against="xla")
    simulate_study(tmp_path, [*STORY, late])
    for run in (tmp_path / "runs").glob("*-late"):
        shutil.rmtree(run)
    write(tmp_path)
    top, _, _ = (tmp_path / "report.md").read_text().partition("## Ranking")
    assert "1 of 6 strategies were not measured." in top
    only = tmp_path / "only"
    simulate_study(only, [SimulatedStrategy(name="python_feed", step_ms=30.0)])
    write(only)
    assert "**Gain.** No change was measured." in (only / "report.md").read_text()


def test_a_cause_that_nothing_tells_is_said_to_lack_its_trace_first(tmp_path: Path) -> None:
    simulate_study(tmp_path, [SimulatedStrategy(name="python_feed", step_ms=30.0)], gpu=False)
    for table in tmp_path.glob("runs/*/telemetry.csv"):
        table.unlink()
    write(tmp_path)
    text = (tmp_path / "report.md").read_text()
    assert "What limits the training is not known: there is no trace" in text
    assert "**Next.** A trace of the baseline is missing: " in text


def test_table_and_json_agree(tmp_path: Path) -> None:
    _, _, text = report(tmp_path, *STORY).partition("## Ranking")
    text = text.partition("\n## ")[0]
    rows = json.loads((tmp_path / "report.json").read_text())["rows"]
    lines = [line for line in text.splitlines() if line.startswith("| ") and "**" in line]
    assert len(lines) == len(rows) == len(STORY)
    for line, row in zip(lines, rows, strict=True):
        assert f"**{row['strategy']}**" in line
        assert f"{float(format(row['samples_per_s']['value'], '.3g')):g}" in line
        assert row["epoch_s"]["value"] * row["samples_per_s"]["value"] == pytest.approx(50_000)


def test_without_a_gpu_it_is_said_first_and_empty_columns_go(tmp_path: Path) -> None:
    text = report(tmp_path, *STORY, gpu=False)
    assert text.index("There is no GPU here") < text.index("**Verdict.**")
    header = next(line for line in text.splitlines() if line.startswith("| rank"))
    assert "GPU" not in header
    assert "Left out, empty in every row: GPU utilization" in text


def test_nothing_measured_gives_a_report_that_says_so(tmp_path: Path) -> None:
    text = report(tmp_path, SimulatedStrategy(name="a", step_ms=10.0, state="killed"), rounds=1)
    assert "No run finished." in text
    assert "- **a**, round 1: killed" in text


def test_plots_are_pictures_named_in_the_text(tmp_path: Path) -> None:
    text = report(tmp_path, *STORY)
    for name in ("throughput", "utilization", "step-times", "losses"):
        assert f"](plots/{name}.svg)" in text
        assert (tmp_path / "plots" / f"{name}.svg").read_bytes().startswith(b"<?xml")


def test_it_is_written_again_without_tensorflow(tmp_path: Path) -> None:
    simulate_study(tmp_path, STORY)
    program = f"""
import sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {{"tensorflow", "keras"}}:
            raise AssertionError(f"the report imports {{name}}")
sys.meta_path.insert(0, Refuse())
sys.argv = ["gpuprobe", "report", {str(tmp_path)!r}]
from gpuprobe.cli._app import main
main()
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "report.md").exists()


@pytest.mark.parametrize("content", ["", "{", "[]", '{"schema": 1}', "null"])
def test_a_damaged_record_is_one_clear_line(tmp_path: Path, content: str) -> None:
    simulate_study(tmp_path, STORY[:1], rounds=1)
    (tmp_path / STUDY_FILE).write_text(content)
    with pytest.raises(InputError, match=r"study\.json"):
        write(tmp_path)


def test_a_newer_schema_is_refused_by_name(cli: Cli, tmp_path: Path) -> None:
    simulate_study(tmp_path, STORY[:1], rounds=1)
    record = json.loads((tmp_path / STUDY_FILE).read_text())
    (tmp_path / STUDY_FILE).write_text(json.dumps({**record, "schema": 99}))
    done = cli("report", tmp_path)
    assert done.returncode == 3
    assert "newer gpuprobe (schema 99" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_folder_that_is_no_study_is_one_clear_line(cli: Cli, tmp_path: Path) -> None:
    for place in (tmp_path, tmp_path / "nowhere"):
        done = cli("report", place)
        assert done.returncode == 3
        assert done.stderr.startswith("gpuprobe: ")
        assert len(done.stderr.splitlines()) == 1


def test_a_shared_copy_holds_nothing_private(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "home" / "someone"
    study = home / "study"
    study.mkdir(parents=True)
    monkeypatch.setenv("HOME", str(home))
    simulate_study(study, STORY[:2], rounds=1)
    trace = study / "runs" / "1-numpy" / "trace" / "plugins" / "profile" / "now" / "secret-machine.xplane.pb"
    trace.parent.mkdir(parents=True)
    # An XSpace with a plane (field 1) that names a path, and its host (field 4).
    path = str(home).encode() + b"/train.py"
    plane = bytes([0x12, len(path)]) + path
    trace.write_bytes(bytes([0x0A, len(plane)]) + plane + b"\x22\x0esecret-machine")
    (study / "runs" / "1-numpy" / "log.txt").write_text("secret-machine")
    telemetry = study / "runs" / "1-numpy" / "telemetry.csv"
    told = '# gpu0 {"name": "Tesla T4", "uuid": "GPU-1234", "serial": "0042"}\n# host {"system": "Linux secret"}\n'
    said = "1700000000000000000,gpu0: other_process: secret-job (pid 7); gpu0.fan_percent: not_supported: no fan\n"
    telemetry.write_text(telemetry.read_text() + told + said)
    publish(study, tmp_path / "public")
    shared = (tmp_path / "public" / "runs" / "1-numpy" / "telemetry.csv").read_text()
    assert "Tesla T4" in shared
    assert "not_supported" in shared
    assert not any(secret in shared for secret in ("GPU-1234", "0042", "secret"))
    copied = [path for path in (tmp_path / "public").rglob("*") if path.is_file()]
    assert {"host.xplane.pb", "report.html", "report.md"} <= {path.name for path in copied}
    for content in [path.read_bytes() for path in copied]:
        assert b"secret-machine" not in content
        assert str(home).encode() not in content
    assert not any(path.name == "log.txt" for path in copied)
    with pytest.raises(OutputError, match="exists already"):
        publish(study, tmp_path / "public")


def test_a_copy_without_its_traces_tells_what_they_said(tmp_path: Path) -> None:
    study = tmp_path / "study"
    write_session(Spec(recording=Recording(window_s=2.0)), study)
    (trace,) = study.rglob("*.xplane.pb")
    trace.rename(trace.with_name("secret-machine.xplane.pb"))
    publish(study, tmp_path / "public", traces=False)
    for path in (tmp_path / "public").rglob("*.*"):
        assert path.is_dir() or b"secret-machine" not in path.read_bytes(), path
    assert not list((tmp_path / "public").rglob("*.xplane.pb"))
    report = (tmp_path / "public" / "report.md").read_text()
    assert "## Step-time breakdown" in report
    assert "Look into the traces" not in report
    write(tmp_path / "public")
    assert (tmp_path / "public" / "report.md").read_text() == report
    (tmp_path / "public" / "report.json").unlink()
    assert "The results of the traces are lost" in (write(tmp_path / "public").ranking.notes[-1])


def test_bytes_that_are_no_xspace_stay_as_they_are() -> None:
    prefilter, how = prefilter_of(["secret"], []), Rewriting(lambda _text, _key: "other", lambda _text: "other")
    for content in (b"", b"\xff", b"\x0a\xff\xff", b"\x07"):
        assert rewritten(content, prefilter, how) == content


def test_run_records_are_read_back_as_they_were_written(tmp_path: Path) -> None:
    simulate_study(tmp_path, STORY[:2], rounds=1)
    runs = load_runs(tmp_path)
    assert [run.spec.strategy for run in runs.values()] == ["numpy", "python_feed"]
    for folder, run in runs.items():
        assert to_json(run) == (folder / RUN_FILE).read_bytes()


def test_the_step_of_each_strategy_is_accounted_for(tmp_path: Path) -> None:
    write_session(Spec(name="plain"), tmp_path / "study")
    loaded = write(tmp_path / "study")
    breakdown = loaded.ranking.rows[0].breakdown
    assert breakdown is not None
    report = (tmp_path / "study" / "report.md").read_text()
    _, _, section = report.partition("## Step-time breakdown")
    assert "gpu_compute" in section.partition("\n## ")[0]
