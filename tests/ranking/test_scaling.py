"""Several devices beside one, against studies whose truth is known: efficiency, parts that add up, predictions."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest

from gpuprobe.ledger.records import DeviceBreakdown, Spread, TraceBreakdown
from gpuprobe.ranking import ring
from gpuprobe.ranking.load import load
from gpuprobe.ranking.rank import rank
from gpuprobe.ranking.rates import Interval
from gpuprobe.ranking.ring import transfer_ms
from gpuprobe.ranking.scaling import LostTime, ScalingPoint
from gpuprobe.ranking.traced import Traced
from gpuprobe.recording import STUDY_FILE, run_folder
from gpuprobe.records import Scale, save
from gpuprobe.report import scaling as words
from gpuprobe.report.write import rendered
from gpuprobe.strategies.scaling import scaled
from tests.helpers.studies import SimulatedStrategy, simulate_study

if TYPE_CHECKING:
    from gpuprobe.ranking.load import Loaded
    from gpuprobe.ranking.scaling import LostBy, Scaling
    from gpuprobe.records import Role

# One device takes 40 ms for a batch of 32; 10 ms of each step do not depend on the batch, whatever shares it.
ONE_MS, FIXED_MS, MIB = 40.0, 10.0, 100.0
BESIDE_MS = 2.0
# What 2 and 4 devices take for a ring of 100 MiB at 20 GB/s.
LINK = 20.0


def alone_ms(devices: int) -> float:
    return FIXED_MS + (ONE_MS - FIXED_MS) / devices


def truth(devices: int) -> float:
    return alone_ms(devices) + BESIDE_MS + transfer_ms(devices, MIB, LINK)


def part(role: Role, devices: int, step_ms: float, batch_size: int = 32, *, weak: bool = False) -> SimulatedStrategy:
    scale = Scale(devices=devices, role=role, weak=weak)
    name = f"{role}_{devices}"
    return SimulatedStrategy(name=name, step_ms=step_ms, batch_size=batch_size, scale=scale, gradients_mib=MIB)


def strong(*counts: int, apart: bool = True) -> list[SimulatedStrategy]:
    made = [part("one", 1, ONE_MS), part("xla", 1, ONE_MS / 1.5)]
    for count in counts:
        made.append(part("share", count, alone_ms(count), 32 // count))
        made += [part("apart", count, alone_ms(count) + BESIDE_MS)] if apart else []
        made.append(part("spread", count, truth(count)))
    return made


def measured(folder: Path, strategies: list[SimulatedStrategy], *, gpu: bool = True, **request: object) -> Loaded:
    study = simulate_study(folder, strategies, gpu=gpu)
    save(msgspec.structs.replace(study, request=msgspec.structs.replace(study.request, **request)), folder / STUDY_FILE)
    return load(folder)


def scaling_in(loaded: Loaded) -> Scaling:
    assert loaded.ranking.scaling is not None
    return loaded.ranking.scaling


def test_the_missing_part_is_told_apart_and_adds_up(tmp_path: Path) -> None:
    found = scaling_in(measured(tmp_path, strong(2, 4)))
    for point in found.points:
        count = point.devices
        assert point.step_ms is not None
        assert point.step_ms == pytest.approx(point.ideal_ms + sum(lost.ms.value for lost in point.lost))
        assert point.step_ms == pytest.approx(truth(count), rel=0.02)
        parts = {lost.by: lost.ms for lost in point.lost}
        expected: dict[tuple[LostBy, ...], float] = {
            ("smaller_batch",): alone_ms(count) - ONE_MS / count,
            ("beside",): BESIDE_MS,
            ("exchange",): transfer_ms(count, MIB, LINK),
        }
        assert list(parts) == list(expected)
        for by, ms in expected.items():
            assert parts[by].low <= ms <= parts[by].high
        assert point.efficiency is not None
        assert point.efficiency.low <= ONE_MS / count / truth(count) <= point.efficiency.high
    assert found.xla_gain is not None
    assert found.xla_gain.value == pytest.approx(1.5, rel=0.03)


def test_a_scaling_study_names_what_its_settings_and_runs_prove(tmp_path: Path) -> None:
    flawed = measured(tmp_path / "flawed", strong(2))
    (found,) = scaling_in(flawed).findings
    assert (found.cause, found.confidence) == ("xla_off_under_distribution", "high")
    assert found.severity == pytest.approx(1 / 3, rel=0.1)
    assert f"(`{found.cause}`)" in rendered(flawed).text
    healthy = [one for one in strong(2) if one.name != "xla_1"]
    assert scaling_in(measured(tmp_path / "healthy", [*healthy, part("xla", 1, ONE_MS)])).findings == ()


def test_what_workers_lose_beside_each_other_is_not_blamed_on_cores_that_nobody_saw_short(tmp_path: Path) -> None:
    runs = [part("one", 1, ONE_MS), part("share", 2, 25.0, 16), part("apart", 2, 50.0), part("spread", 2, 55.0)]
    found = scaling_in(measured(tmp_path, runs, gpu=False, workers=(2,)))
    assert found.points[0].lost[1].ms.low > 0
    assert found.findings == ()


def test_what_no_run_tells_apart_is_lost_by_both(tmp_path: Path) -> None:
    found = scaling_in(measured(tmp_path, strong(2, apart=False)))
    assert [lost.by for lost in found.points[0].lost] == [("smaller_batch",), ("beside", "exchange")]
    assert found.points[0].lost[1].ms.value == pytest.approx(truth(2) - alone_ms(2), abs=1.5)


@pytest.mark.parametrize(
    ("unmeasured", "left"),
    [
        (["2-share_2", "1-apart_2"], [("smaller_batch",), ("beside", "exchange")]),
        (["2-one_1", "2-xla_1", "1-share_2"], [("smaller_batch", "beside"), ("exchange",)]),
        # The step is in round 1 alone, and nothing of the chain in that round.
        (["1-share_2", "1-apart_2", "1-one_1", "1-xla_1", "2-spread_2"], []),
    ],
)
def test_where_no_round_has_two_runs_the_next_part_is_both(
    tmp_path: Path, unmeasured: list[str], left: list[tuple[LostBy, ...]]
) -> None:
    measured(tmp_path, strong(2))
    for run in unmeasured:
        shutil.rmtree(run_folder(tmp_path, int(run[0]), run[2:]))
    loaded = load(tmp_path)
    (point,) = scaling_in(loaded).points
    assert [lost.by for lost in point.lost] == left
    assert ("Where the time beyond the ideal step went" in rendered(loaded).text) is bool(left)
    assert point.step_ms == pytest.approx(truth(2), rel=0.02)
    if left:
        assert point.step_ms == pytest.approx(point.ideal_ms + sum(lost.ms.value for lost in point.lost))


def test_weak_scaling_has_no_smaller_batch(tmp_path: Path) -> None:
    step_ms = ONE_MS + BESIDE_MS + transfer_ms(2, MIB, LINK)
    both = [part("apart", 2, ONE_MS + BESIDE_MS, 64, weak=True), part("spread", 2, step_ms, 64, weak=True)]
    found = scaling_in(measured(tmp_path, [part("one", 1, ONE_MS), *both], weak=True))
    (point,) = found.points
    assert (point.samples, [lost.by for lost in point.lost]) == (64, [("beside",), ("exchange",)])
    assert point.ideal_ms == pytest.approx(ONE_MS, rel=0.02)
    assert point.efficiency is not None
    assert point.efficiency.value == pytest.approx(ONE_MS / step_ms, rel=0.03)


def test_a_prediction_is_never_fitted_to_what_it_foretells(tmp_path: Path) -> None:
    alone = scaling_in(measured(tmp_path / "two", strong(2)))
    assert alone.points[0].predicted_ms is None
    both = scaling_in(measured(tmp_path / "both", strong(2, 4)))
    for point in both.points:
        assert point.predicted_ms is not None
        # What replicas lose beside each other it cannot know; the link was fitted on another number.
        assert point.predicted_ms == pytest.approx(truth(point.devices) - BESIDE_MS, rel=0.1)


@pytest.mark.parametrize(
    ("latency_us", "counts", "told_us"), [(150.0, (2, 4, 8), 150.0), (0.0, (2, 4, 8), 0.0), (150.0, (2, 8), 0.0)]
)
def test_rate_and_latency_are_fitted_to_other_numbers_of_devices(
    latency_us: float, counts: tuple[int, ...], told_us: float
) -> None:
    points = [
        ScalingPoint(
            devices=count, samples=32, ideal_ms=10.0, alone_ms=12.0, step_ms=30.0, lost=(lost_to(count, latency_us),)
        )
        for count in counts
    ]
    last = ring.with_predictions(points, MIB, None)[-1]
    assert last.latency_us == pytest.approx(told_us, abs=0.1)
    if len(counts) > 2:
        assert last.link_gb_per_s == pytest.approx(LINK)
        assert last.predicted_ms == pytest.approx(12.0 + transfer_ms(8, MIB, LINK, latency_us))
    given = ring.with_predictions(points, MIB, 5.0)[-1]
    assert (given.link_gb_per_s, given.latency_us) == (5.0, 0.0)


def lost_to(devices: int, latency_us: float) -> LostTime:
    took = transfer_ms(devices, MIB, LINK, latency_us)
    return LostTime(by=("exchange",), ms=Interval(value=took, low=0.9 * took, high=1.1 * took, n=8, rounds=2))


def test_a_link_foretells_devices_that_are_not_here(tmp_path: Path) -> None:
    found = measured(tmp_path, [part("one", 1, ONE_MS), part("share", 8, alone_ms(8), 4)], link_gb_per_s=LINK)
    (point,) = scaling_in(found).points
    assert (point.devices, point.step_ms, point.efficiency, point.lost) == (8, None, None, ())
    assert point.predicted_ms == pytest.approx(alone_ms(8) + transfer_ms(8, MIB, LINK), rel=0.02)
    assert words.scaling_headline(scaling_in(found)) == ""
    assert "as given" in rendered(found).text


def test_why_nothing_is_predicted_is_what_was_lacking(tmp_path: Path) -> None:
    no_share = [one for one in strong(2) if one.name != "share_2"]
    no_size = [replace(one, gradients_mib=None) for one in strong(2)]
    for name, strategies, link, why in (
        ("link", strong(2), None, "no other number of devices showed an exchange to fit a link to; --link GB/S gives"),
        ("share", no_share, LINK, "one device alone with its part of the batch was not measured"),
        ("size", no_size, LINK, "how large the gradients are is not known"),
    ):
        text = rendered(measured(tmp_path / name, strategies, link_gb_per_s=link)).text
        assert f"Nothing is predicted: {why}" in text


def test_the_ring_sends_nearly_twice_the_gradients() -> None:
    # 2 (N - 1) / N times 1000 MiB over 1 GB/s.
    assert transfer_ms(2, 1000, 1.0) == pytest.approx(1048.576)
    assert transfer_ms(4, 1000, 1.0) == pytest.approx(1.5 * 1048.576)


def test_the_report_leads_with_it(tmp_path: Path) -> None:
    loaded = measured(tmp_path, strong(2, 4))
    report = rendered(loaded)
    first = report.text.splitlines()[0]
    assert "4 devices are " in first
    assert "the exchange of gradients costs" in first
    assert "Where the time beyond the ideal step went" in report.text
    assert "plots/scaling.svg" in report.pictures
    assert "From one device to several" in report.page
    # A probe is no way to train, however fast.
    assert all(row.loss_difference for row in loaded.ranking.rows if row.strategy.startswith(("share", "apart")))


def test_other_studies_do_not_scale(tmp_path: Path) -> None:
    assert measured(tmp_path, [SimulatedStrategy(name="numpy", step_ms=50.0)]).ranking.scaling is None


def test_the_strategies_are_those_of_the_numbers_asked_for() -> None:
    names = [strategy.name for strategy in scaled((1, 2, 4), weak=False)]
    assert names[:2] == ["tfdata_prefetch", "one_device_xla"]
    assert names[2:5] == ["share_2", "mirrored_2", "apart_2"]
    changes = ["packs_4", "mirrored_steps_4", "mirrored_xla_4", "larger_global_batch_4", "fp16_gradients_4"]
    assert names[5:] == ["share_4", "mirrored_4", "apart_4", *changes]
    weak = [strategy.name for strategy in scaled((2,), weak=True)]
    assert weak == ["tfdata_prefetch", "one_device_xla", "mirrored_weak_2", "apart_weak_2"]


def test_parts_that_contradict_each_other_name_no_cause(tmp_path: Path) -> None:
    # Without an exchange slower than with one: another program ran beside that run.
    runs = [part("one", 1, ONE_MS), part("share", 2, 25.0, 16), part("apart", 2, 90.0), part("spread", 2, 40.0)]
    loaded = measured(tmp_path, runs)
    (point,) = scaling_in(loaded).points
    assert point.contradicts
    assert point.exchange_ms is None
    assert "cost" not in words.scaling_headline(scaling_in(loaded))
    assert "Measure again" in rendered(loaded).text


def test_workers_are_called_so(tmp_path: Path) -> None:
    loaded = measured(tmp_path, strong(3), workers=(1, 3))
    assert "3 workers are " in rendered(loaded).text.splitlines()[0]
    assert "the workers beside each other" in rendered(loaded).text
    assert "MultiWorkerMirroredStrategy" in rendered(loaded).text


@pytest.mark.parametrize("gpu", [True, False])
def test_workers_of_several_hosts_are_not_described_as_those_of_one(tmp_path: Path, gpu: bool) -> None:
    one_host, own_hosts = (
        rendered(measured(tmp_path / name, strong(2), gpu=gpu, workers=(2,), worker_index=index)).text
        for name, index in (("one", None), ("own", 0))
    )
    assert ("processes of one host" in one_host) is not gpu
    assert "processes of one host" not in own_hosts
    assert "as on a host of its own" in own_hosts
    assert ("says nothing about GPUs" in own_hosts) is not gpu


def test_traces_of_the_runs_divide_what_is_beyond_the_noise(tmp_path: Path) -> None:
    loaded = measured(tmp_path, strong(2))
    step_ms = {"share_2": alone_ms(2), "apart_2": alone_ms(2) + BESIDE_MS, "spread_2": truth(2)}
    slower = {"share_2": {}, "apart_2": {"idle_launch": BESIDE_MS}}
    slower["spread_2"] = {"idle_launch": BESIDE_MS, "gpu_collective": 4.0}
    traces = {
        run.spec.strategy: Traced(run, made_up(step_ms[run.spec.strategy], **slower[run.spec.strategy]), None)
        for run in loaded.runs.values()
        if run.spec.strategy in step_ms
    }
    scaling = rank(loaded.study, list(loaded.runs.values()), {}, traces).scaling
    assert scaling is not None
    grew = {lost.by: {part.kind: part.ms for part in lost.grew} for lost in scaling.points[0].lost}
    assert grew["smaller_batch",] == {}
    assert grew["beside",]["host"] == pytest.approx(BESIDE_MS, rel=0.1)
    # No exchange was matched.
    assert grew["exchange",]["exchange"] == pytest.approx(4.0, rel=0.1)
    assert "What the traces show of these parts" not in rendered(loaded).text
    ranking = msgspec.structs.replace(loaded.ranking, scaling=scaling)
    assert "What the traces show of these parts" in rendered(replace(loaded, ranking=ranking)).text


def made_up(step_ms: float, **slower: float) -> TraceBreakdown:
    device = DeviceBreakdown(
        name="/device:GPU:0",
        host="one",
        kind="gpu",
        step_ms=step_ms,
        steps=8,
        ledger_ms={"gpu_compute": step_ms - sum(slower.values()), **slower},
        spread=Spread(median_ms=step_ms, p5_ms=step_ms, p95_ms=step_ms, outliers=()),
    )
    return TraceBreakdown(source="", format="xplane", devices=(device,))
