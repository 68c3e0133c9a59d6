"""What the simulator writes: traces that others read, telemetry with NVML's meaning, specs in TOML, the demo."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from msgspec.structs import replace

from gpuprobe import telemetry
from gpuprobe.errors import InputError
from gpuprobe.ranking.load import load
from gpuprobe.ranking.ranking import Ranking
from gpuprobe.recording import load_runs, load_study
from gpuprobe.simulate import spec_file, xplane
from gpuprobe.simulate.engine import simulate
from gpuprobe.simulate.session import Kind
from gpuprobe.simulate.sessions import TRUTH_FILE, write_session
from gpuprobe.simulate.spec import Card, Collective, Copies, Host, Input, Kernels, Recording, Spec
from gpuprobe.traces import xplane_pb2
from tests.helpers.planted import Planted
from tests.helpers.program import ROOT, Cli
from tests.helpers.simulated import SMALL, specs

SPEC = Spec(kernels=SMALL, steps=3, host=Host(sync_every=1))
# The step's time as XProf's overview gives it, in a process of its own: it logs much, and keeps caches by the file.
OVERVIEW = """
import json, sys
from xprof.convert import raw_to_tool_data
data, _ = raw_to_tool_data.xspace_to_tool_data([sys.argv[1]], "overview_page", {})
parts = [part.get("p", {}) for part in json.loads(data)]
print(next(part["steptime_ms_average"] for part in parts if "steptime_ms_average" in part))
"""


def trace(spec: Spec) -> xplane_pb2.XSpace:
    return xplane_pb2.XSpace.FromString(xplane.encode(simulate(spec), 10**18).SerializeToString())


def plane(space: xplane_pb2.XSpace, name: str) -> xplane_pb2.XPlane:
    return next(found for found in space.planes if found.name == name)


def stats(of: xplane_pb2.XPlane, event: xplane_pb2.XEvent | xplane_pb2.XPlane) -> dict[str, object]:
    found: dict[str, object] = {}
    for stat in event.stats:
        value = getattr(stat, str(stat.WhichOneof("value")))
        is_name = stat.WhichOneof("value") == "ref_value"
        found[of.stat_metadata[stat.metadata_id].name] = of.stat_metadata[value].name if is_name else value
    return found


@given(specs())
@settings(max_examples=25, deadline=None)
def test_every_trace_is_read_back_with_all_its_operations(spec: Spec) -> None:
    spec = replace(spec, recording=replace(spec.recording, style="current"))
    space = trace(spec)
    lines = [line for found in space.planes if "GPU" in found.name for line in found.lines]
    count = sum(len(line.events) for line in lines)
    launched = len(simulate(spec).ops)
    assert all(line.name.startswith("Stream #") for line in lines)
    assert count == launched if not spec.recording.dropped_share else count <= launched
    assert all(event.duration_ps >= 0 for line in lines for event in line.events)
    for line in lines:
        ends = [event.offset_ps + event.duration_ps for event in line.events]
        assert all(end <= event.offset_ps for end, event in zip(ends, line.events[1:], strict=False))


def test_every_kernel_joins_its_launch() -> None:
    space = trace(SPEC)
    host, device = plane(space, "/host:CPU"), plane(space, "/device:GPU:0")
    launched = {
        stats(host, event)["correlation_id"]: host.event_metadata[event.metadata_id].name
        for line in host.lines
        for event in line.events
        if "correlation_id" in stats(host, event)
    }
    for line in device.lines:
        for event in line.events:
            found = stats(device, event)
            copied = device.event_metadata[event.metadata_id].name.startswith("Memcpy")
            assert launched[found["correlation_id"]].startswith("cuMemcpy" if copied else "cuLaunchKernel")
            assert ("memcpy_details" if copied else "kernel_details") in found


def test_today_the_clock_is_unix_and_every_call_is_marked() -> None:
    space = trace(SPEC)
    environment = stats(plane(space, "Task Environment"), plane(space, "Task Environment"))
    assert environment["profile_start_time"] == 10**18 - xplane.LEAD_NS
    host = plane(space, "/host:CPU")
    marked = [
        event for line in host.lines for event in line.events if host.event_metadata[event.metadata_id].name == "train"
    ]
    assert len(marked) == SPEC.steps
    assert marked[0].offset_ps == 1000 * xplane.LEAD_NS


def test_in_2020_there_is_one_step_on_a_line_of_its_own_and_no_unix_clock() -> None:
    space = trace(replace(SPEC, recording=Recording(style="2020")))
    assert [found.name for found in space.planes] == ["/host:CPU", "/device:GPU:0"]
    device = plane(space, "/device:GPU:0")
    steps = next(line for line in device.lines if line.name == "Steps")
    streams = [line for line in device.lines if line.name.startswith("Stream #")]
    begin = min(event.offset_ps for line in streams for event in line.events)
    end = max(event.offset_ps + event.duration_ps for line in streams for event in line.events)
    assert [(event.offset_ps, event.offset_ps + event.duration_ps) for event in steps.events] == [(begin, end)]
    assert "Stream #13(Compute)" in [line.name for line in streams]
    host = plane(space, "/host:CPU")
    assert {"train_function", "MemcpyD2H"} <= {metadata.name for metadata in host.event_metadata.values()}


def test_what_is_not_recorded_is_not_in_the_trace() -> None:
    blind = trace(replace(SPEC, recording=Recording(host_events=False, correlated=False, dropped_share=0.5)))
    assert "/host:CPU" not in [found.name for found in blind.planes]
    device = plane(blind, "/device:GPU:0")
    events = [event for line in device.lines for event in line.events]
    assert not any("correlation_id" in stats(device, event) for event in events)
    assert 0.3 < len(events) / len(simulate(SPEC).ops) < 0.7
    assert "Detected GPU events dropped" in blind.warnings[0]


def test_on_the_cpu_there_is_no_gpu_plane() -> None:
    space = trace(replace(SPEC, card=Card(on_gpu=False)))
    assert not [found for found in space.planes if "GPU" in found.name]


@pytest.mark.parametrize("style", ["current", "2020"])
def test_xprof_finds_the_step(tmp_path: Path, style: str) -> None:
    spec = replace(SPEC, recording=Recording(style=style))  # type: ignore[arg-type]
    session = simulate(spec)
    path = xplane.write(session, tmp_path, 10**18)
    command = [sys.executable, "-c", OVERVIEW, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert float(done.stdout.split()[-1]) == pytest.approx(session.step_ms, rel=0.25)


def test_nvml_says_how_much_of_its_period_a_kernel_ran(tmp_path: Path) -> None:
    waiting = replace(
        SPEC, input=Input(map_ms=9.0, parallel_calls=1, prefetch=0), kernels=replace(SMALL, dtype="float32")
    )
    told = write_session(replace(waiting, recording=Recording(window_s=3.0)), tmp_path)
    (folder, run), *others = load_runs(tmp_path).items()
    assert not others
    window = run.phase("window")
    assert window is not None
    recorded = telemetry.read(folder / "telemetry.csv")
    _, said = recorded.series("gpu0_utilization_percent")
    assert np.array_equal(said, said.round())
    late = recorded.t_ns > window.start_ns + 10**9
    busy = told.devices[0].ledger_ms["gpu_compute"] / told.step_ms
    assert recorded.columns["gpu0_utilization_percent"][late].mean() == pytest.approx(100 * busy, abs=4)
    assert (np.diff(recorded.columns["tree_cpu_s"]) >= 0).all()


def test_throttling_sharing_and_missing_telemetry_show_in_the_recording(tmp_path: Path) -> None:
    hot = replace(SPEC, card=Card(clock_fraction=0.6, other_process_share=0.3), recording=Recording(window_s=1.0))
    write_session(hot, tmp_path / "hot")
    write_session(replace(hot, recording=Recording(window_s=1.0, telemetry=False, trace=False)), tmp_path / "none")
    (folder, run), *_ = load_runs(tmp_path / "hot").items()
    window = run.phase("window")
    assert window is not None
    summary = telemetry.summarize(telemetry.read(folder / "telemetry.csv"), window.start_ns, window.end_ns)
    held, clock = summary.signal("throttled_fraction", gpu=0), summary.signal("sm_clock_mhz", gpu=0)
    used = summary.signal("memory_used_mib", gpu=0)
    assert held is not None
    assert held.value == 1.0
    assert clock is not None
    assert clock.value == pytest.approx(0.6 * hot.card.clock_mhz, rel=0.01)
    assert used is not None
    assert used.value == hot.card.memory_used_mib + hot.card.other_process_mib
    (folder, run), *_ = load_runs(tmp_path / "none").items()
    assert not (folder / "telemetry.csv").exists()
    assert run.trace is not None
    assert run.trace.path is None


def test_the_recorded_steps_are_those_of_the_truth(tmp_path: Path) -> None:
    spec = replace(SPEC, host=Host(steps_per_execution=2), recording=Recording(window_s=2.0))
    told = write_session(spec, tmp_path)
    loaded = load(tmp_path)
    assert loaded.ranking.rows[0].samples_per_s.value == pytest.approx(told.samples_per_s, rel=0.02)
    assert load_study(tmp_path).environment.simulated
    assert loaded.ranking.rows[0].settings.steps_per_execution == 2


def test_several_gpus_are_all_recorded(tmp_path: Path) -> None:
    spec = replace(SPEC, collective=Collective(gpus=2, allreduce_ms=1.0), recording=Recording(window_s=1.0))
    told = write_session(spec, tmp_path)
    assert [device.name for device in told.devices] == ["/device:GPU:0", "/device:GPU:1"]
    assert len(load_study(tmp_path).environment.gpus) == 2
    (folder, _), *_ = load_runs(tmp_path).items()
    assert telemetry.read(folder / "telemetry.csv").gpus == (0, 1)
    names = {
        metadata.name
        for found in trace(spec).planes
        if "GPU:1" in found.name
        for metadata in found.event_metadata.values()
    }
    assert any("AllReduce" in name for name in names)
    assert any(op.kind is Kind.COLLECTIVE for op in simulate(spec).ops)


def test_the_schema_is_a_spec_that_holds_the_defaults(tmp_path: Path) -> None:
    text = spec_file.schema()
    path = tmp_path / "spec.toml"
    path.write_text(text)
    assert spec_file.read(path) == Spec()
    for key in ("dispatch_us", "other_process_share", "wddm_batch", "shuffle_fill_ms"):
        before = text[: text.index(f"\n{key} = ")]
        assert before.splitlines()[-1].startswith("# ")
        assert len(before.splitlines()[-1]) > 10


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[hots]\n", "did you mean host?"),
        ("[host]\ndispatch = 1\n", "did you mean host.dispatch_us?"),
        ("[host]\nzzz = 1\n", "--schema lists every key"),
        ("[host]\ndispatch_us = -1\n", "host.dispatch_us"),
        ("[host]\nwddm_batch = 5000\n", "wddm_batch is larger"),
        ("[collective]\nstraggler = 1\n", "straggler names a GPU that is not there"),
        ('[kernels]\ndtype = "int4"\n', "int4"),
        ("host = 3\n", "host"),
        ("[host\n", "not TOML"),
        ("\xff", "not TOML"),
    ],
)
def test_a_wrong_spec_is_one_clear_line(tmp_path: Path, text: str, expected: str) -> None:
    path = tmp_path / "spec.toml"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(InputError, match=r"spec\.toml") as caught:
        spec_file.read(path)
    assert expected in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_the_command_writes_recording_and_truth(cli: Cli, tmp_path: Path) -> None:
    spec, out = tmp_path / "spec.toml", tmp_path / "out"
    spec.write_text("steps = 2\n[kernels]\ncount = 20\n[host]\ncallback_ms = 50\n[recording]\nwindow_s = 1\n")
    done = cli("simulate", spec, "--out", out)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("SIMULATED")
    assert json.loads((out / TRUTH_FILE).read_text())["primary"] == "host_between_steps"
    assert "SIMULATED" in cli("report", out).stdout + (out / "report.md").read_text()
    again = cli("simulate", spec, "--out", out)
    assert again.returncode == 4
    assert "not empty" in again.stderr
    assert cli("simulate", spec).returncode == 2


def cells_of(text: str, heading: str) -> list[list[str]]:
    """The rows of the first table below a heading, without its head."""
    lines = text.partition(f"\n## {heading}\n")[2].partition("\n## ")[0].splitlines()
    return [line.strip("| ").split(" | ") for line in lines if line.startswith("| ")][1:]


def assert_tables_add_up(text: str, ranking: Ranking) -> None:
    shares = cells_of(text, "Step-time breakdown")
    assert len(shares) == len(ranking.rows)
    for _, _, *parts in shares:
        # Each is rounded to a percent, or a tenth below ten.
        assert sum(float(part.removesuffix(" %")) for part in parts) == pytest.approx(100, abs=0.5 * len(parts))
    ranked = cells_of(text, "Ranking")
    assert [row[1].strip("*") for row in ranked] == [row.strategy for row in ranking.rows]
    baseline = next(row for row in ranking.rows if row.strategy == ranking.baseline)
    for cells, row in zip(ranked, ranking.rows, strict=True):
        assert int(cells[0].removesuffix(" =")) == row.rank
        if row is not baseline:
            ratio = row.samples_per_s.value / baseline.samples_per_s.value
            assert float(cells[4].partition("x")[0]) == pytest.approx(ratio, rel=0.02)
    for strategy, _, _, predicted, measured, *miss in cells_of(text, "Predicted against measured"):
        if "x" in predicted and not predicted.startswith("none"):
            told, was = (float(cell.partition("x")[0]) for cell in (predicted, measured))
            assert float(miss[0].removesuffix(" %")) == pytest.approx(100 * (was / told - 1), abs=1), strategy


def test_the_demo_tells_the_story_on_a_page_marked_simulated(planted: Planted) -> None:
    demo = planted.demo
    assert "SIMULATED" in planted.demo_said
    text = (demo / "report.md").read_text()
    assert text.index("SIMULATED") < text.index("## Ranking")
    ranking = load(demo).ranking
    assert len(ranking.rows) == 12
    baseline = ranking.row("python_feed")
    assert baseline is not None
    assert baseline.epoch_s is not None
    assert baseline.epoch_s.value == pytest.approx(170, rel=0.03)
    busy = next(signal for signal in baseline.telemetry if signal.name == "utilization_percent")
    assert busy.value == pytest.approx(20, abs=2)
    for page in (demo / "plots").glob("*.svg"):
        assert "SIMULATED" in page.read_text(), page.name
    assert len(list(demo.glob("runs/1-*/trace/plugins/profile/*/*.xplane.pb"))) == 11
    answer = text[: text.index("\n## Where the step went")]
    for question in ("**Verdict.** Of each 103 ms step of `python_feed` in its trace the GPU spent 20 % ", "**Why.**",
                     "(`launch_bound`), with high confidence", "**Next.** `xla` first", "predicted 3.", "measured 4.1",
                     "fewer updates an epoch", "**Gain.**", "**How sure.**", "2 min 49 s"):  # fmt: skip
        assert question in answer
    story = (ROOT / "README.md").read_text().partition("## The story")[2].partition("\n## ")[0]
    quoted = " ".join(line[2:] for line in story.splitlines() if line.startswith(">"))
    for sentence in re.split(r"(?<=\.) +(?=[A-Z`*])", quoted):
        assert " ".join(sentence.split()) in answer, "the README is to tell it in the report's own words"
    for name in ("answer", "ledger"):
        pictures = (demo / "plots" / f"{name}.svg", ROOT / "docs" / f"demo-{name}.svg")
        made, shown = ([one.text for one in ET.parse(file).iter() if one.tag.endswith("text")] for file in pictures)
        assert made == shown, "the README is to show the demo's own pictures"
    # The recorded terminal is narrower: lines break elsewhere and bars are shorter, but every word is the program's.
    recording = ET.parse(ROOT / "docs" / "demo-terminal.svg")
    lines = [one.text or "" for one in recording.iter() if one.tag.endswith("text")][2:]
    words = [word for line in lines for word in re.findall(r"[A-Za-z_]{3,}|\d[\d.,]*", line) if len(set(word)) > 2]
    said = {"reports", *re.findall(r"[A-Za-z_]{3,}|\d[\d.,]*", planted.demo_said)}
    assert words
    assert said.issuperset(words), "record it again: python docs/site/terminal.py > docs/demo-terminal.svg"
    assert "+ model.compile(optimizer, loss, jit_compile=True" in answer
    assert "recision" not in answer, "a card of compute capability 6.1 is not to compute in 16 bits"
    assert_tables_add_up(text, ranking)
    # `tuned` is found from the baseline on, each change chosen by the trace of what was kept before it, and measured.
    search = ranking.search("tuned")
    assert search is not None
    assert (search.start, search.following) == ("python_feed", None)
    assert len(search.kept) >= 2
    foretold = {one.change.rpartition("_")[0]: one.gain.ratio for one in ranking.predictions}
    first = search.steps[0]
    assert first.expected.ratio == pytest.approx(foretold["launches_fused"])
    assert first.expected.ratio == max(gain for change, gain in foretold.items() if change != "batch_times")
    for step in search.steps:
        assert step.expected.by == "trace"
        assert step.gain is not None
        assert step.kept == (step.gain.low > 1)
        foretold_gain = step.expected.predicted
        assert foretold_gain is not None
        assert (foretold_gain.low or 0) <= step.gain.value <= (foretold_gain.high or 0)
        run = f"2-tuned-{step.run}" if step.run else f"2-{step.measured_as}"
        assert (demo / "runs" / run / "run.json").is_file()
    assert first.gain is not None
    assert first.gain.value == pytest.approx(first.expected.ratio, rel=0.06)
    assert "predicts 1.98x (1.69 to 2.05), and 1.89x (" in answer, "predicted on the baseline, and measured there"
    worst = max(abs(step.error or 0.0) for step in search.steps)
    assert f"{100 * worst:.0f} % at most" in answer, "the search's own misses count"
    tuned = ranking.row("tuned")
    assert tuned is not None
    assert tuned.speedup is not None
    assert search.steps[-1].speedup is not None
    assert tuned.speedup.value == pytest.approx(search.steps[-1].speedup.value, rel=0.02)
    assert "what is learnt" in next(one.reason for one in search.left if one.expected.change == "large_batch")
    assert text.index("## How tuned was found") < text.index("| 1 | `xla` | 1.9")


def test_kernels_and_copies_are_named_for_what_they_do() -> None:
    fused = replace(SPEC, kernels=Kernels(count=40, fused=4, dtype="float32"), copies=Copies(on_card_mib=8.0))
    device = plane(trace(fused), "/device:GPU:0")
    names = {metadata.name for metadata in device.event_metadata.values()}
    assert any(name.startswith("fusion_") for name in names)
    assert {"MemcpyH2D", "MemcpyD2D", "MemcpyD2H"} <= names
    half = plane(trace(SPEC), "/device:GPU:0")
    assert any("s1688" in metadata.name for metadata in half.event_metadata.values())
