"""Exchanges between devices: what is transfer, what is waiting, and who is waited for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpuprobe.diagnosis.case import Case
from gpuprobe.diagnosis.diagnose import diagnose
from gpuprobe.errors import InputError
from gpuprobe.evidence.breakdown import main_device
from gpuprobe.ledger.breakdown import breakdown_of
from gpuprobe.ledger.exchanges import match
from gpuprobe.records import RunSpec, save
from gpuprobe.traces.find import called_apart, find
from gpuprobe.traces.read import read
from gpuprobe.traces.timeline import Events, Kernels, Timeline
from gpuprobe.units import PS_PER_MS
from tests.helpers.program import ROOT
from tests.helpers.timelines import Made

if TYPE_CHECKING:
    from collections.abc import Sequence

RANKS = ROOT.parent / "shared" / "traces" / "pytorch" / "dlrm-8-ranks"
ALL_REDUCE = "ncclDevKernel_AllReduce_Sum_f32_RING_LL"


def of_several(parts: Sequence[Timeline]) -> Timeline:
    """Put timelines made by hand side by side: a host each."""
    names = tuple(dict.fromkeys(name for part in parts for name in part.names))
    devices, threads = [], []
    for number, part in enumerate(parts):
        place = np.array([names.index(name) for name in part.names], np.int32)
        for device in part.devices:
            kernels = replace(device.kernels, name=place[device.kernels.name])
            copies = replace(device.copies, name=place[device.copies.name])
            devices.append(replace(device, host=f"worker{number}", kernels=kernels, copies=copies))
        for thread in part.threads:
            old = thread.events
            events = Events(old.start_ps, old.duration_ps, place[old.name], old.correlation)
            threads.append(replace(thread, host=f"worker{number}", events=events))
    return replace(parts[0], names=names, devices=tuple(devices), threads=tuple(threads))


def worker(comes_ms: Sequence[float], ends_ms: Sequence[float], clock_ms: float = 0.0) -> Timeline:
    """A GPU that comes to its exchanges at some times and leaves them at others, by a clock of its own."""
    made = Made()
    for came, ended in zip(comes_ms, ends_ms, strict=True):
        made.kernel(came + clock_ms, ended + clock_ms, launch=came + clock_ms - 0.1, name=ALL_REDUCE)
    return made.kernel(clock_ms, clock_ms + 1, launch=clock_ms - 0.1).timeline()


@given(
    late_ms=st.lists(st.lists(st.floats(0, 20), min_size=3, max_size=3), min_size=4, max_size=12),
    transfer_ms=st.floats(0.1, 5),
    clocks_ms=st.lists(st.floats(0, 500), min_size=3, max_size=3),
)
def test_what_is_longer_than_the_shortest_is_waiting_whatever_the_clocks(
    late_ms: list[list[float]], transfer_ms: float, clocks_ms: list[float]
) -> None:
    begun = [100.0 * (place + 1) for place in range(len(late_ms))]
    ends = [begin + max(late) + transfer_ms for begin, late in zip(begun, late_ms, strict=True)]
    parts = [
        worker([begin + late[rank] for begin, late in zip(begun, late_ms, strict=True)], ends, clocks_ms[rank])
        for rank in range(3)
    ]
    exchanged, reason = match(of_several(parts), {})
    assert exchanged is not None, reason
    waited = exchanged.waited_ps / PS_PER_MS
    truth = np.array([[max(late) - late[rank] for late in late_ms] for rank in range(3)])
    assert waited == pytest.approx(truth, abs=1e-6)
    breakdown = breakdown_of(of_several(parts))
    for device in breakdown.devices:
        assert sum(device.ledger_ms.values()) == pytest.approx(device.step_ms)
        peer = next(peer for peer in breakdown.peers if breakdown.devices[peer.device] is device)
        assert peer.waited_ms == pytest.approx(device.ledger_ms["idle_peer"], abs=1e-6)
    assert sum(peer.last for peer in breakdown.peers) == len(late_ms)


def test_the_one_that_is_waited_for_is_judged_and_not_the_one_that_waits() -> None:
    ends = [50.0, 100.0, 150.0]
    late = worker([49.0, 99.0, 149.0], ends)
    early = worker([10.0, 60.0, 110.0], ends)
    breakdown = breakdown_of(of_several([early, late, early]))
    judged = main_device(breakdown)
    assert judged is not None
    assert judged.host == "worker1"
    assert "the others wait" in breakdown.slowest_why
    found = {finding.cause: finding for finding in diagnose(Case(breakdown)).findings}
    assert "collective_bound" not in found
    assert found["straggler"].severity == pytest.approx(3 * 39 / judged.step_ms, rel=0.05)


def test_of_one_device_alone_nobody_can_tell_transfer_from_waiting() -> None:
    found = diagnose(Case(breakdown_of(worker([10.0, 60.0], [50.0, 100.0])))).primary
    assert found is not None
    assert (found.cause, found.confidence) == ("collective_bound", "medium")
    assert "Only the traces of all devices show" in found.claim


@pytest.mark.parametrize(("first", "last"), [(0, 4), (1, 5), (1, 4), (0, 3)])
@pytest.mark.parametrize("unix", [True, False])
def test_a_trace_may_begin_or_end_an_exchange_before_the_other(first: int, last: int, unix: bool) -> None:
    comes, ends = [10.0, 70.0, 115.0, 190.0, 260.0], [50.0, 100.0, 170.0, 230.0, 300.0]
    early = worker(comes, ends)
    late = worker([end - 1 for end in ends[first:last]], ends[first:last])
    exchanged, reason = match(replace(of_several([late, early]), unix=unix), {})
    assert exchanged is not None, reason
    waited = [end - came - 1 for came, end in zip(comes[first:last], ends[first:last], strict=True)]
    assert exchanged.waited_ps[1] / PS_PER_MS == pytest.approx(waited)
    assert exchanged.waited_ps[0].sum() == 0


def test_exchanges_that_are_not_the_same_are_not_compared() -> None:
    other = worker([10.0, 70.0, 115.0], [50.0, 130.0, 190.0])
    breakdown = breakdown_of(of_several([worker([10.0, 60.0, 110.0], [50.0, 100.0, 150.0]), other]))
    assert not breakdown.peers
    assert "do not end together" in breakdown.unmatched
    assert all(device.ledger_ms["idle_peer"] == 0 for device in breakdown.devices)


def a_processor(late_ms: float) -> Timeline:
    made = Made()
    for step in range(4):
        begin = 100.0 * step
        made.host(begin + late_ms, begin + 99, "train_function", step=step)
        made.host(begin + late_ms + 1, begin + late_ms + 10, "dense/MatMul:MatMul", "tf_Compute/1")
        made.host(begin + late_ms + 10, begin + 98, "CollectiveReduceV2:CollectiveReduceV2", "collective_ops/2")
    return made.timeline()


def test_a_processor_in_an_exchange_computes_nothing() -> None:
    alone = breakdown_of(a_processor(0.0))
    (device,) = alone.devices
    assert device.ledger_ms["cpu_collective"] == pytest.approx(88, abs=1)
    found = diagnose(Case(alone)).primary
    assert found is not None
    assert (found.cause, found.confidence) == ("collective_bound", "medium")
    both = breakdown_of(of_several([a_processor(0.0), a_processor(80.0)]))
    waits, late = both.devices
    assert waits.ledger_ms["idle_peer"] == pytest.approx(80, abs=1)
    assert late.ledger_ms["idle_peer"] == pytest.approx(0, abs=1)
    judged = main_device(both)
    assert judged is not None
    assert judged.host == "worker1"


def with_exchanges_on_its_host(late_ms: float) -> Timeline:
    """A GPU without kernels that exchange: the collectives of its job run on the host, as RING does."""
    made = Made()
    for step in range(4):
        begin = 100.0 * step
        made.host(begin, begin + 99, "train_function", step=step)
        made.kernel(begin + 2, begin + 10 + late_ms, launch=begin + 1)
        made.host(begin + 12 + late_ms, begin + 98, "CollectiveReduceV2:CollectiveReduceV2", "collective_ops/2")
    return made.timeline()


def test_of_exchanges_that_only_the_hosts_show_no_gpu_is_named() -> None:
    both = of_several([with_exchanges_on_its_host(0.0), with_exchanges_on_its_host(60.0)])
    breakdown = breakdown_of(both)
    assert [device.kind for device in breakdown.devices] == ["gpu", "gpu"]
    assert (breakdown.peers, breakdown.waits, breakdown.slowest) == ((), (), None)
    assert "ran on the hosts" in breakdown.unmatched
    assert diagnose(Case(breakdown)).primary is not None
    # A trace may hold the launches and lack the kernels.
    assert breakdown_of(replace(both, devices=())).devices == ()


def test_two_workers_of_one_machine_are_kept_apart(tmp_path: Path) -> None:
    for name in ("chief", "worker"):
        folder = tmp_path / name / "plugins" / "profile" / "2026_01_31_10_00_00"
        folder.mkdir(parents=True)
        (folder / "box.xplane.pb").write_bytes(b"")
    files = find(tmp_path).files
    assert len(files) == 2
    assert called_apart(["box", "box"], files) == ["chief", "worker"]
    assert called_apart(["box", "other"], files) == ["box", "other"]
    watched = tmp_path / "watched"
    for name in ("r0", "r1"):
        run = watched / name / "trainings" / f"job-{name}" / "runs" / "1-fit"
        taken = run / "trace" / "plugins" / "profile" / "2026_01_31_10_00_00"
        taken.mkdir(parents=True)
        (taken / "box.xplane.pb").write_bytes(b"")
    recorded = find(watched).files
    assert called_apart(["box", "box"], recorded) == ["r0", "r1"]
    for file, task in zip(recorded, ("worker1", "chief"), strict=True):
        save(RunSpec(strategy="fit", round=1, seed=0, batch_size=0, task=task), file.parents[4] / "spec.json")
    assert called_apart(["box", "other"], recorded) == ["worker1", "chief"]
    assert called_apart(["box"], recorded[:1]) == ["box"], "one alone is called what its trace calls it"
    (recorded[1].parents[4] / "spec.json").unlink()
    assert called_apart(["box", "box"], recorded) == ["r0", "r1"]
    assert called_apart(["box", "box"], [files[0], files[0]]) == ["box (1)", "box (2)"]
    later = tmp_path / "worker" / "plugins" / "profile"
    (later / "2026_01_31_10_00_00").rename(later / "2026_01_31_10_00_40")
    with pytest.raises(InputError, match=r"there is one below.* different times: worker \(40 s after chief\)$"):
        find(tmp_path)


def taken(job: Path, **seconds: str) -> Path:
    """Make an empty profile for each worker, in a folder that is called by the second of the day or something else."""
    for name, time in seconds.items():
        folder = job / name / "plugins" / "profile" / time
        folder.mkdir(parents=True)
        (folder / "box.xplane.pb").write_bytes(b"")
    return job


def test_workers_in_other_time_zones_are_of_one_time(tmp_path: Path) -> None:
    utc = {"a": "2026_01_31_23_00_03", "d": "2026_01_31_23_00_02"}
    found = find(taken(tmp_path, **utc, b="2026_02_01_04_30_00", c="2026_01_31_15_00_01"))
    assert [file.parts[-5] for file in found.files] == ["a", "b", "c", "d"]
    zones = "a (5 h 30 min before b), c (13 h 30 min before b) and d (5 h 30 min before b)"
    assert found.warnings == [f"Taken to be of one time, in other time zones: {zones}."]
    assert found.ranks == 0


def test_a_worker_whose_profile_is_of_another_time_is_left_out_and_missed(tmp_path: Path) -> None:
    now = dict.fromkeys("abc", "2026_01_31_23_00_00")
    found = find(taken(tmp_path, **now, late="2026_01_31_23_00_06", no_time="mine"))
    assert [file.parts[-5] for file in found.files] == ["a", "b", "c"]
    assert found.ranks == 5
    assert [warning.partition(", ")[2] for warning in found.warnings] == [
        "whose newest profile is of another time (6 s after a).",
        "whose newest profile is of another time (no time in its name).",
    ]
    # Of successive runs two may begin at such a distance by chance.
    runs = {f"run{number}": f"2026_01_31_1{number}_1{number}_00" for number in range(5)}
    with pytest.raises(InputError, match=r"run1 \(31 min 00 s after again\), run2 .* and 1 more$"):
        find(taken(tmp_path / "runs", **runs, again="2026_01_31_10_40_00"))


@pytest.mark.skipif(not RANKS.is_dir(), reason="the traces of real jobs are not here")
def test_a_real_job_of_eight_ranks_waits_for_one() -> None:
    breakdown = breakdown_of(read(RANKS))
    exchanged, _ = match(read(RANKS), {})
    assert exchanged is not None
    assert exchanged.transfer_ps.sum() / PS_PER_MS == pytest.approx(0.217, abs=0.001)
    assert [exchanged.members[row][1] for row in exchanged.last[:5]] == ["worker7"] * 5
    judged = main_device(breakdown)
    assert judged is not None
    assert judged.host == "worker7"
    found = diagnose(Case(breakdown))
    assert found.primary is not None
    assert found.primary.cause == "launch_bound"
    assert any(finding.cause == "straggler" for finding in found.findings)
    waits = next(device for device in breakdown.devices if device.host == "worker1")
    assert waits.ledger_ms["idle_peer"] == pytest.approx(11.1, abs=0.4)


def grouped(comes_ms: Sequence[float], ends_ms: Sequence[float], groups: Sequence[str], clock_ms: float) -> Timeline:
    """A GPU as `worker`, whose trace names the communicator of each of its exchanges; an empty one is not named."""
    made = worker(comes_ms, ends_ms, clock_ms)
    told = [*dict.fromkeys(group for group in groups if group)]
    names = (*made.names, *told)
    (device,) = made.devices
    places = [names.index(group) if group else -1 for group in groups]
    kernels = replace(device.kernels, group=np.array([-1, *places], np.int32))
    return replace(made, names=names, devices=(replace(device, kernels=kernels),))


def of_subgroups(named: bool, clocks_ms: Sequence[float] = (0.0, 0.0, 0.0, 0.0)) -> Timeline:
    """Two pairs that exchange among themselves, ten times, and all four once after each; worker 3 comes late."""
    late = {3: 9.0}
    random = np.random.default_rng(5)
    pace = {0: 100 + random.uniform(0, 30, 10), 1: 100 + random.uniform(0, 30, 10)}
    parts = []
    for rank in range(4):
        pair = rank // 2
        comes, ends, groups = [], [], []
        for step in range(10):
            begin = 200.0 * step + pace[pair][step]
            end = begin + 10 + max(late.get(2 * pair, 0), late.get(2 * pair + 1, 0))
            comes += [begin + late.get(rank, 0.0), 200.0 * step + 150]
            ends += [end, 200.0 * step + 155]
            groups += [f"group {pair}", "group all"] if named else ["", ""]
        parts.append(grouped(comes, ends, groups, clocks_ms[rank]))
    timeline = of_several(parts)
    # Names are put together anew there, the communicators' too.
    for rank, part in enumerate(parts):
        place = np.array([timeline.names.index(name) for name in part.names], np.int32)
        group = part.devices[0].kernels.group
        kernels = replace(timeline.devices[rank].kernels, group=np.where(group >= 0, place[group], -1).astype(np.int32))
        devices = (*timeline.devices[:rank], replace(timeline.devices[rank], kernels=kernels))
        timeline = replace(timeline, devices=(*devices, *timeline.devices[rank + 1 :]))
    return timeline


@pytest.mark.parametrize("clocks_ms", [(0.0, 0.0, 0.0, 0.0), (0.0, 70.0, 333.0, 1.5)])
def test_exchanges_of_a_communicator_are_matched_over_those_who_take_part(clocks_ms: tuple[float, ...]) -> None:
    exchanged, reason = match(of_subgroups(named=True, clocks_ms=clocks_ms), {})
    assert exchanged is not None, reason
    assert reason == ""
    assert sorted(map(tuple, exchanged.took.T.tolist())) == sorted(
        [(True, True, False, False)] * 10 + [(False, False, True, True)] * 10 + [(True,) * 4] * 10
    )
    waited = exchanged.waited_ps.sum(axis=1) / PS_PER_MS
    assert waited == pytest.approx([0, 0, 90, 0])
    peers = breakdown_of(of_subgroups(named=True, clocks_ms=clocks_ms)).peers
    assert [peer.exchanges for peer in peers] == [20] * 4
    # Only one other is in its pair: it waits all of the time.
    kept = [peer.kept_ms for peer in peers]
    assert kept.index(max(kept)) == 3
    assert peers[3].kept_ms == pytest.approx(peers[2].waited_ms)


def test_communicators_without_a_name_are_told_apart_by_their_ends() -> None:
    alone = [replace(part, kernels=_without_all(part.kernels)) for part in of_subgroups(named=False).devices]
    exchanged, reason = match(replace(of_subgroups(named=False), devices=tuple(alone)), {})
    assert exchanged is not None, reason
    assert exchanged.took.sum(axis=0).tolist() == [2] * 20
    assert exchanged.waited_ps.sum(axis=1) / PS_PER_MS == pytest.approx([0, 0, 90, 0])


def _without_all(kernels: Kernels) -> Kernels:
    """Leave out the exchanges of all four: those of a step that come second."""
    kept = np.ones(len(kernels), np.bool_)
    kept[2::2] = False
    return Kernels(**{name: column[kept] if len(column) else column for name, column in vars(kernels).items()})


def test_devices_whose_exchanges_fit_nobodys_are_told() -> None:
    ends = [50.0, 100.0, 150.0, 230.0]
    one, other = worker([10.0, 60.0, 110.0, 200.0], ends), worker([49.0, 99.0, 149.0, 229.0], ends)
    alone = worker([298.0, 418.0, 608.0, 898.0], [300.0, 420.0, 610.0, 900.0])
    exchanged, reason = match(of_several([one, other, alone]), {})
    assert exchanged is not None
    assert exchanged.took.any(axis=1).tolist() == [True, True, False]
    assert reason.endswith("on 1 device of 3")
