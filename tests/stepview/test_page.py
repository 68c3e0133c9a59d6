"""The page to look into a step: it adds up to the diagnosis, nothing vanishes, and nothing of others runs."""

from __future__ import annotations

import base64
import hashlib
import json
import lzma
import re
import zlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from gpuprobe.diagnosis.case import Case
from gpuprobe.diagnosis.diagnose import diagnose
from gpuprobe.diagnosis.recorded import recorded
from gpuprobe.errors import InputError
from gpuprobe.ledger.breakdown import Workings, break_down
from gpuprobe.ledger.records import DeviceBreakdown
from gpuprobe.simulate import xplane
from gpuprobe.simulate.engine import simulate
from gpuprobe.simulate.sessions import write_session
from gpuprobe.simulate.spec import Collective, Host, Input, Kernels, Recording, Spec
from gpuprobe.stepview.chrome import write_chrome
from gpuprobe.stepview.lanes import Lane, depth_of, lanes_of
from gpuprobe.stepview.page import render
from gpuprobe.stepview.strip import Strip, strip_of
from gpuprobe.stepview.thin import thinned
from gpuprobe.stepview.view import view_of
from gpuprobe.traces.read import read
from gpuprobe.units import PS_PER_MS
from gpuprobe.whatif.predict import predict
from gpuprobe.whatif.records import Replay
from tests.helpers.pages import Page
from tests.helpers.program import ROOT, Cli
from tests.helpers.simulated import specs
from tests.helpers.timelines import Made
from tests.report.test_page import HOSTILE

RECORDED = ROOT / "tests" / "recorded"
# The words, the style and the script of a page; its data come on top.
LARGEST_PAGE = 1_000_000
START_NS = 1_767_225_600_000_000_000
SLOW_LAUNCHES = Spec(name="slow launches", kernels=Kernels(count=60, mean_us=20.0), host=Host(dispatch_us=60.0))


@dataclass(frozen=True)
class Data:
    """The data of a page, as its script reads them."""

    header: dict[str, Any]
    columns: bytes

    @classmethod
    def of(cls, page: str) -> Data:
        found = re.search(r'id="data">([^<]*)<', page)
        assert found is not None
        whole = zlib.decompress(base64.b64decode(found[1]))
        size = int.from_bytes(whole[:4], "little")
        return cls(json.loads(whole[4 : 4 + size]), whole[4 + size :])

    def column(self, where: list[int]) -> np.ndarray:
        place, count, width = where
        return np.frombuffer(self.columns, f"<u{width}", count, place).astype(np.int64)

    def starts(self, where: list[int]) -> np.ndarray:
        return np.cumsum(self.column(where))


def breakdown_of(spec: Spec, folder: Path) -> Workings:
    xplane.write(simulate(spec), folder, START_NS)
    return break_down(read(folder))


def page_of(workings: Workings, *, replayed: bool = True) -> str:
    replay = predict(workings) if replayed else Replay(refused="nobody asked for it")
    case = Case(workings.breakdown, replay, workings=workings)
    return render(view_of(case, diagnose(case)))


def breakdown_in(strip: dict[str, Any], data: Data) -> dict[str, float]:
    """What the segments of a page's strip say of an average step, ms."""
    start, category = data.starts(strip["start"]), data.column(strip["category"])
    end = np.append(start[1:], strip["end"])
    first, last = strip["counted"]
    low, high = strip["steps"][first], [*strip["steps"], strip["end"]][last + 1]
    inside = np.clip(end, low, high) - np.clip(start, low, high)
    each = [float(inside[category == place].sum()) for place in range(len(strip["categories"]))]
    return {
        name: ticks * data.header["tick_ms"] / (last - first + 1)
        for name, ticks in zip(strip["categories"], each, strict=True)
    }


def assert_adds_up(strip: Strip, breakdown: DeviceBreakdown) -> None:
    """The segments give each category its time of the breakdown, to the picosecond."""
    first, last = strip.counted
    ends = [*strip.steps_ps[1:].tolist(), strip.end_ps]
    low, high = int(strip.steps_ps[first]), ends[last]
    end = np.append(strip.start_ps[1:], strip.end_ps)
    inside = np.clip(end, low, high) - np.clip(strip.start_ps, low, high)
    for place, name in enumerate(strip.categories):
        ms = float(inside[strip.category == place].sum()) / PS_PER_MS / breakdown.counted
        assert ms == pytest.approx(breakdown.ledger_ms[name], abs=1e-8), name


@hypothesis_settings(max_examples=10)
@given(spec=specs(), most=st.sampled_from([60, 100_000]))
def test_the_strip_is_the_ledgers_own_and_adds_up(
    tmp_path_factory: pytest.TempPathFactory, spec: Spec, most: int
) -> None:
    for found in breakdown_of(spec, tmp_path_factory.mktemp("trace")).devices:
        strip = strip_of(found, most)
        assert (strip.bin_ps > 0) <= (most == 60)
        if not strip.bin_ps or strip.counted == (0, len(strip.steps_ps) - 1):
            assert_adds_up(strip, found.breakdown)


@pytest.mark.parametrize("name", ["mlp", "text"])
def test_the_page_adds_up_to_the_printed_breakdown_of_a_recorded_trace(tmp_path: Path, name: str) -> None:
    trace = tmp_path / "of.xplane.pb"
    trace.write_bytes(lzma.decompress((RECORDED / f"{name}.xplane.pb.xz").read_bytes()))
    case = recorded(trace)
    page = render(view_of(case, diagnose(case)))
    assert "the trace begins" not in page, "of a processor no work is the one before a gap"
    data = Data.of(page)
    (strip,), (breakdown,) = data.header["strips"], case.breakdown.devices
    told = breakdown_in(strip, data)
    # Each begin and end is rounded to a tick: what is printed has three digits behind the millisecond.
    assert told == pytest.approx(breakdown.ledger_ms, abs=5e-4 * breakdown.counted)
    assert sum(told.values()) == pytest.approx(breakdown.step_ms, abs=1e-4)


def test_a_page_holds_every_event_with_its_launch(tmp_path: Path) -> None:
    workings = breakdown_of(SLOW_LAUNCHES, tmp_path)
    page = page_of(workings)
    data, timeline = Data.of(page), workings.timeline
    (device,) = timeline.devices
    lanes = data.header["lanes"]
    streams = [lane for lane in lanes if lane["kind"] == "stream"]
    assert sum(lane["length"][1] for lane in streams) == len(device.kernels) + len(device.copies)
    events = sum(len(thread.events) for thread in timeline.threads)
    assert sum(lane["length"][1] for lane in lanes) == events + len(device.kernels) + len(device.copies)
    kernels = max(streams, key=lambda lane: lane["length"][1])
    start, launch = data.starts(kernels["start"]), data.column(kernels["launch"])
    assert (launch <= start).all()
    by = {lanes[place]["kind"] for place in kernels["by"]}
    assert by == {"launching"}
    assert "none was merged" in page


def test_the_predicted_step_is_the_one_that_is_advised(tmp_path: Path) -> None:
    workings = breakdown_of(SLOW_LAUNCHES, tmp_path)
    case = Case(workings.breakdown, predict(workings), workings=workings)
    diagnosis = diagnose(case)
    view = view_of(case, diagnosis)
    assert diagnosis.primary is not None
    assert view.predicted is not None
    made = view.predicted.prediction
    assert made.gain == diagnosis.primary.predicted_gain
    assert view.predicted.share == 1
    assert view.predicted.length_ps / view.predicted.calls / PS_PER_MS == pytest.approx(made.step_ms)
    data = Data.of(render(view))
    base = data.header["predicted"]["base"]
    assert base == data.header["strips"][0]["steps"][workings.breakdown.devices[0].warmup]


def test_a_gap_tells_what_was_before_and_after_and_what_the_host_was_in() -> None:
    made = Made()
    for step in range(2):
        at = 20.0 * step
        made.host(at, at + 15, "train_function").host(at + 3, at + 11, "reading:ReadFile")
        made.kernel(at + 1, at + 2, at + 0.5, "void first<int>(float)").kernel(
            at + 12, at + 14, at + 11.5, "ns::second"
        )
    workings = break_down(made.timeline())
    rows = re.findall(r"<tr .*?</tr>", page_of(workings), flags=re.DOTALL)
    cells = [[" ".join(Page(cell).text.split()) for cell in row.split("</td>")] for row in rows]
    assert cells[0][:3] == ["10.0 ms", "1", "2.00 ms"]
    assert cells[0][3].startswith("host works itself 8.00 ms")
    assert cells[0][4].startswith("reading:ReadFile 8.00 ms")
    assert cells[0][5:7] == ["first", "second"]
    assert cells[-1][5:7] == ["the trace begins", "first"]


def test_half_a_trace_has_a_page_too() -> None:
    """Without threads of the host, without work of a device, and without a step."""
    whole = (
        Made().host(0, 4, "train_function").kernel(1, 2, 0.5).host(5, 9, "train_function").kernel(6, 7, 5.5).timeline()
    )
    for half in (replace(whole, threads=()), replace(whole, devices=())):
        assert Data.of(page_of(break_down(half))).header["lanes"]
    alone = break_down(Made().host(0, 1, "something").timeline())
    assert not alone.breakdown.devices
    assert "A trace without a step" in page_of(alone)
    nothing = Case(workings=break_down(replace(whole, threads=(), devices=())))
    with pytest.raises(InputError, match="no event"):
        view_of(nothing, diagnose(nothing))


def test_workers_of_one_job_stand_on_one_axis(tmp_path: Path) -> None:
    spec = Spec(collective=Collective(gpus=3, allreduce_ms=1.0, straggler=1, straggler_slowdown=1.8))
    data = Data.of(page_of(breakdown_of(spec, tmp_path)))
    strips = data.header["strips"]
    assert [strip["title"] for strip in strips] == ["/device:GPU:1", "/device:GPU:0", "/device:GPU:2"], "judged first"
    waits = [strip["ms"]["idle_peer"] for strip in strips]
    assert waits[0] < min(waits[1:])


def assert_harmless(page: str, found: Page) -> None:
    """The page loads nothing, and runs its own script alone: the policy names it by its hash."""
    assert not {"link", "img", "iframe", "object", "base", "form"} & set(found.tags)
    for tag, name, value in found.attributes:
        assert not name.startswith("on"), (tag, name)
        assert name not in {"src", "href", "style", "action"}, (tag, name, value)
    (policy,) = (
        dict(re.findall(r"([a-z-]+) ([^;]+)", value))
        for tag, name, value in found.attributes
        if (tag, name) == ("meta", "content") and "default-src" in value
    )
    assert policy["default-src"] == "'none'"
    for tag, directive in (("style", "style-src"), ("script", "script-src")):
        (text,) = re.findall(rf"<{tag}>(.*?)</{tag}>", page, flags=re.DOTALL)
        assert policy[directive] == f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def test_names_of_others_stay_text() -> None:
    hostile = f"</script><script>alert(1)</script>{HOSTILE}\x1b[31m\u202e"
    made = Made()
    for step in range(2):
        at = 20.0 * step
        made.host(at, at + 15, "train_function").host(at + 3, at + 11, hostile, thread=hostile)
        made.kernel(at + 1, at + 2, at + 0.5, hostile).kernel(at + 12, at + 14, at + 11.5, hostile)
    plain = made.timeline()
    timeline = replace(
        plain,
        source=f"/tmp/{HOSTILE}",
        warnings=(hostile,),
        devices=tuple(replace(device, host=hostile, facts={"model": hostile}) for device in plain.devices),
        threads=tuple(replace(thread, host=hostile) for thread in plain.threads),
    )
    page = page_of(break_down(timeline))
    found = Page(page)
    assert_harmless(page, found)
    assert found.tags.count("script") == 3
    assert "alert(1)" in found.text
    assert not re.search("[\x1b\u202e]", page)
    assert not re.search("[\x1b\u202e]", json.dumps(Data.of(page).header, ensure_ascii=False))


def test_a_page_without_its_data_is_small_and_a_simulation_says_so(tmp_path: Path) -> None:
    write_session(Spec(name="one", recording=Recording(window_s=1.0)), tmp_path / "study")
    case = recorded(tmp_path / "study")
    page = render(view_of(case, diagnose(case)))
    assert '<div class="ribbon">SIMULATED</div>' in page
    assert "(SIMULATED)</title>" in page
    (data,) = re.findall(r'id="data">([^<]*)<', page)
    assert len(page) - len(data) < LARGEST_PAGE


def lane_of(random: np.random.Generator, count: int) -> Lane:
    """Short events in a row, with a long one here and there, each above two that nest in it."""
    length = random.integers(1, 50, count)
    length[:: max(1, count // 7)] = 5_000
    start = np.cumsum(length + random.integers(0, 30, count)) - length
    inner = np.stack([start, start + length // 3], axis=1).reshape(-1), np.stack([length // 3, length // 2], axis=1)
    starts, ends = np.concatenate([start, inner[0]]), np.concatenate([start + length, inner[0] + inner[1].reshape(-1)])
    order = np.lexsort((-ends, starts))
    starts, ends = starts[order], ends[order]
    name = random.integers(0, 9, len(starts)).astype(np.int32)
    return Lane("launching", "one", "host", "", starts, ends, name, depth_of(starts, ends))


@hypothesis_settings(max_examples=20)
@given(seed=st.integers(0, 1000), count=st.integers(10, 300))
def test_what_is_thinned_is_joined_and_told_and_nothing_vanishes(seed: int, count: int) -> None:
    random = np.random.default_rng(seed)
    lanes = [lane_of(random, count), lane_of(random, count // 2)]
    events = sum(map(len, lanes))
    most = max(8, events // 3)
    found = thinned(lanes, most)
    assert sum(map(len, found.lanes)) <= most
    assert sum(int(lane.count.sum()) for lane in found.lanes) == events == found.events
    joined = sum(int(lane.count[lane.count > 1].sum()) for lane in found.lanes)
    assert (found.joined, found.stretches) == (joined, sum(int((lane.count > 1).sum()) for lane in found.lanes))
    for before, after in zip(lanes, found.lanes, strict=True):
        assert (np.diff(after.start_ps) >= 0).all()
        for depth in np.unique(before.depth):
            mine, now = before.depth == depth, after.depth == depth
            assert (before.end_ps - before.start_ps)[mine].sum() == after.busy_ps[now].sum()
        # What is longer stays as it was.
        long = before.end_ps - before.start_ps >= found.below_ps
        kept = set(zip(after.start_ps.tolist(), after.end_ps.tolist(), after.name.tolist(), strict=True))
        assert (
            set(zip(*(column[long].tolist() for column in (before.start_ps, before.end_ps, before.name)), strict=True))
            <= kept
        )


def test_few_events_are_left_as_they_are_and_a_page_says_what_was_joined(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workings = breakdown_of(msgspec.structs.replace(SLOW_LAUNCHES, steps=12), tmp_path)
    lanes = lanes_of(workings)
    assert thinned(lanes).lanes == tuple(lanes)
    events = sum(map(len, lanes))
    monkeypatch.setattr("gpuprobe.stepview.thin.thinned.__defaults__", (events // 4,))
    page = page_of(workings)
    assert f"Merged: of {events:,} events" in page
    assert sum(lane["length"][1] for lane in Data.of(page).header["lanes"]) <= events // 4


@pytest.mark.parametrize(
    "spec",
    [SLOW_LAUNCHES, Spec(input=Input(feed="tf_data", map_ms=9.0, prefetch=0)), Spec(recording=Recording(style="2020"))],
)
def test_the_export_for_perfetto_accounts_to_the_same_step(tmp_path: Path, spec: Spec) -> None:
    workings = breakdown_of(spec, tmp_path)
    for name in ("a.trace.json", "a.trace.json.gz"):
        write_chrome(workings, tmp_path / name)
        again = break_down(read(tmp_path / name)).breakdown
        for before, after in zip(workings.breakdown.devices, again.devices, strict=True):
            assert (after.name, after.steps) == (before.name, before.steps)
            assert after.ledger_ms == pytest.approx(before.ledger_ms, abs=1e-6)
    document = json.loads((tmp_path / "a.trace.json").read_text())
    phases = [event["ph"] for event in document["traceEvents"]]
    assert phases.count("s") == phases.count("f") > 0, "arrows from launches to their work"
    names = {event["args"]["name"] for event in document["traceEvents"] if event["ph"] == "M"}
    assert "step-time breakdown (gpuprobe)" in names


def test_diagnose_writes_both_beside_its_answer(tmp_path: Path, cli: Cli) -> None:
    xplane.write(simulate(SLOW_LAUNCHES), tmp_path, START_NS)
    page, chrome = tmp_path / "step.html", tmp_path / "step.json.gz"
    done = cli("diagnose", tmp_path, "--html", page, "--chrome", chrome, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["devices"]
    assert str(page) in done.stderr
    assert Data.of(page.read_text()).header["predicted"]
    assert chrome.stat().st_size > 0
    log = tmp_path / "gpu.csv"
    log.write_text(
        "timestamp, utilization.gpu [%]\n" + "".join(f"2026/01/01 00:00:{s:02d}.000, 9 %\n" for s in range(30))
    )
    refused = cli("diagnose", log, "--html", tmp_path / "none.html")
    assert refused.returncode == 3
    assert "no step to show" in refused.stderr
    assert not (tmp_path / "none.html").exists()
