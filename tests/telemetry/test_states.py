"""Every state of a driver and of its cards, played by a fake driver to the real sampler through the real pynvml."""

from __future__ import annotations

import os
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest

from gpuprobe import telemetry
from tests.helpers.waiting import recorded_s, until, until_recorded, until_rows

S = 1_000_000_000
# What a large card offers, in NVML's own units. {pid} is the process that is observed.
DATACENTER = """
name NVIDIA H100 80GB HBM3
capability 90
cores 16896
total_mib 81559
used_mib 20000
reserved_mib 500
utilization 10 90@1
sample_s 0.16
power 300000
energy_mw 300000
power_limit 700000
sm_clock_max 1980
memory_clock_max 2619
video_clock 1545
temperature_slowdown 90
pstate 2
persistence 1
virtualization 1
ecc_mode 1
ecc_corrected 3
ecc_uncorrected 0
remapped 1
pcie_gen 4
pcie_gen_max 5
pcie_width 8
pcie_width_max 16
pcie_tx 2048
pcie_rx 102400
pcie_replays 5
driver_model 1
fan 35
field.82 77
field.91 2
field.138 1024 5120@1
field.139 0
throttle 4
processes {pid}:1000 {other}:33 4000000:5
process_sm {pid}:80 {other}:7
mig 0
gpm 1
gpm.2 60.5
gpm.3 30
gpm.5 12.25
gpm.20 1500
vgpus 2
vgpu_mib 6000
vgpu_sm 20
"""


# Single processes, links and virtual GPUs have columns of their own; the parent is another process of this host.
EACH = (
    *(f"process{os.getpid()}_{name}" for name in ("memory_mib", "sm_percent")),
    f"process{os.getppid()}_memory_mib",
    "process4000000_memory_mib",
    "nvlink1_sent_mib",
    "nvlink0_received_mib",
    "vgpu_memory_mib",
    "vgpu_sm_percent",
)


# One run with many cards, each with a trouble of its own.
TROUBLES = """
devices 8
gpu0.fail.all 15@0.8
gpu1.fail.all 16@0.8
gpu2.fail.all 2@0.8
gpu3.block.power 900@0.8
gpu4.fail.power 999@0.5 0@1.6
gpu5.fail.all 15@0.8 0@2
gpu6.fail.power 4
gpu6.memory_utilization 130 100@2
gpu6.fan 120
gpu7.mig 2
gpu7.mig_used_mib 700
gpu7.fail.utilization 3
gpu7.gpm 1
gpu7.gpm.2 90
gpu7.mig_gpm.2 45
gpu7.power 4294967295
gpu7.pstate 32 3@3
"""
UNUSABLE = {
    "init 9\n": "driver_not_loaded",
    "init 12\n": "no_driver",
    "init 18\n": "driver_mismatch",
    "init 4\n": "no_permission",
    "devices 0\n": "no_device",
    "devices 4294967295\n": "unreadable",
}
# A card that MIG splits, and one of which it removes a part, while they are sampled.
SPLIT_ANEW = """
devices 2
mig_used_mib 700
gpu0.mig 0 2@1
gpu1.mig 2 1@1
"""
# A driver whose card counts what its links carry in bytes alone.
NEW_LINKS = """
gpm 1
gpm.60 250
gpm.61 125
field.91 2
field.202 1048576 5242880@1
field.204 2097152
"""
# Each script, how many seconds of it are recorded at least, and what the sampler has said a second before the end.
PLAYED: dict[str, tuple[float, tuple[str, ...]]] = {
    DATACENTER.format(pid=os.getpid(), other=os.getppid()): (3.4, ()),
    (BUFFER := "utilization 10 90@1\nsample_s 0.16\n"): (3.4, ()),
    TROUBLES: (
        6.0,
        ("gpu3: driver_hung", "gpu4.power_w: back", "gpu5: back", "gpu6.memory_utilization_percent: back",
         "gpu7.performance_state: back"),
    ),
    **dict.fromkeys(UNUSABLE, (1.5, ())),
    (FORBIDDEN := "devices 2\ngpu0.fail.handle 4\n"): (0.8, ()),
    (SLOW_START := "block.init 3\n"): (3.0, ("driver: back",)),
    # A name that is no UTF-8, as some boards have, costs nothing.
    (LOADED_LATE := "init 9 0@1\nname Card \xe9\n"): (2.0, ("driver: back",)),
    (OLD := "fail.event_reasons 13\nthrottle 32\n"): (0.8, ()),
    (LATE := "block.power 3.5@0.5 0@1\n"): (5.0, ("gpu0: back",)),
    (CRASH := "crash.power 1@1\n"): (2.0, ("driver: driver_crashed",)),
    SPLIT_ANEW: (6.0, ("gpu0: split_anew", "gpu1: split_anew")),
    NEW_LINKS: (3.4, ()),
    (LOST_FROM_THE_START := "devices 2\ngpu0.fail.all 15 0@2\nname Card\n"): (5.0, ("gpu0: back",)),
}  # fmt: skip
Played = dict[str, telemetry.Telemetry]


@pytest.fixture(scope="module")
def played(library: Path, tmp_path_factory: pytest.TempPathFactory) -> Played:
    """Sample every script at once, because they mostly wait."""
    folder = tmp_path_factory.mktemp("played")
    with pytest.MonkeyPatch.context() as patch, ExitStack() as samplers:
        patch.setenv("LD_LIBRARY_PATH", str(library))
        began: list[tuple[str, Path, ExitStack]] = []
        for place, script in enumerate(PLAYED):
            path = folder / f"{place}.csv"
            path.with_suffix(".txt").write_bytes(script.encode("latin-1"))
            patch.setenv("FAKE_NVML", str(path.with_suffix(".txt")))
            own = samplers.enter_context(ExitStack())
            own.enter_context(telemetry.sampling(path, os.getpid()))
            began.append((script, path, own))
        found = {}
        for script, path, own in sorted(began, key=lambda one: PLAYED[one[0]]):
            until_played(path, *PLAYED[script])
            own.close()
            found[script] = telemetry.read(path)
        return found


def until_played(path: Path, seconds: float, words: tuple[str, ...]) -> None:
    """Wait until so much was recorded and all of it said, and another second was recorded after that."""
    until_rows(path)
    for said in words:
        until(lambda said=said: said in path.read_text(errors="replace"), f"{path}: {said}")  # type: ignore[misc]
    until_recorded(path, max(seconds, recorded_s(path) + 1.0 if words else 0.0))


@pytest.fixture
def troubled(played: Played) -> telemetry.Telemetry:
    return played[TROUBLES]


def summary(recording: telemetry.Telemetry) -> telemetry.TelemetrySummary:
    return telemetry.summarize(recording, int(recording.t_ns[0]), int(recording.t_ns[-1]))


def values(of: telemetry.TelemetrySummary, gpu: int) -> dict[str, float]:
    return {signal.name: signal.value for signal in of.gpus[gpu] if isinstance(signal.value, float)}


def states(recording: telemetry.Telemetry, where: str) -> list[str]:
    return [said.state for said in recording.states if said.where == where]


def test_all_that_a_large_card_offers_is_read(played: Played) -> None:
    recording = played[DATACENTER.format(pid=os.getpid(), other=os.getppid())]
    facts = recording.facts["gpu0"]
    assert facts["uuid"] == "GPU-0000-1"
    assert facts["pci_bus_id"] == "00000000:01:00.0"
    assert (facts["cores"], facts["compute_capability"], facts["virtualization"]) == (16896, "9.0", "passthrough")
    assert (facts["sm_clock_max_mhz"], facts["temperature_slowdown_c"], facts["persistence_mode"]) == (1980, 90, True)
    assert (facts["pcie_generation_max"], facts["pcie_width_max"], facts["mig_mode"]) == (5, 16, False)
    assert facts["driver_model"] == "TCC"
    assert recording.facts["driver"] == {"driver": "550.54.14", "cuda": "12.4"}
    found = values(summary(recording), 0)
    assert found["memory_used_mib"] == 20000
    assert found["memory_headroom_mib"] == 81559 - 20000 - 500
    assert found["memory_reserved_mib"] == 500
    assert found["video_clock_mhz"] == 1545
    assert (found["pcie_generation"], found["pcie_width"]) == (4, 8)
    assert (found["pcie_sent_mib_per_s"], found["pcie_received_mib_per_s"]) == (2, 100)
    assert (found["gpm_sm_percent"], found["gpm_occupancy_percent"], found["gpm_tensor_percent"]) == (60.5, 30, 12.25)
    assert (found["ecc_corrected"], found["ecc_uncorrected"], found["remapped_rows_corrected"]) == (3, 0, 1)
    assert (found["memory_temperature_c"], found["performance_state"], found["power_limit_w"]) == (77, 2, 700)
    assert found["throttled_fraction"] == found["throttled_by.power_cap"] == 1
    assert "throttled_by.thermal" not in found
    assert (found["tree_memory_mib"], found["tree_sm_percent"]) == (1000, 80)
    assert (found["other_processes"], found["other_memory_mib"], found["other_sm_percent"]) == (1, 33, 7)
    assert found["unseen_processes"] == 1, "in a container the driver's process numbers are not ours"
    assert (found["pcie_replays"], found["fan_percent"]) == (5, 35)
    assert found["nvlink_sent_mib_per_s"] > 0
    assert found["gpm_pcie_sent_mib_per_s"] == 1500
    own = {name: set(recording.series(f"gpu0_{name}")[1]) for name in EACH}
    assert own == dict(zip(EACH, ({1000}, {80}, {33}, {5}, {1, 5}, {0}, {12000}, {40}), strict=True))
    times, _ = recording.series("gpu0_energy_j")
    assert found["energy_j"] == pytest.approx(300 * (times[-1] - times[0]) / S, rel=0.03)
    energy = summary(recording).signal("energy_j", 0)
    assert energy is not None
    assert "counter" in energy.source
    assert len([words for _, words in recording.said if "other_process" in words]) == 1


def test_the_drivers_own_samples_agree_with_ours(played: Played) -> None:
    recording = played[BUFFER]
    times, samples = recording.series("gpu0_utilization_buffer_percent")
    assert set(samples) == {10, 90}
    assert np.diff(times) / S == pytest.approx(0.16, abs=0.001), "each sample is there once, at its own time"
    ours, _ = recording.series("gpu0_utilization_percent")
    both = telemetry.summarize(recording, int(max(times[0], ours[0])), int(min(times[-1], ours[-1])))
    found = values(both, 0)
    assert found["utilization_buffer_percent"] == pytest.approx(found["utilization_percent"], abs=8)


@pytest.mark.parametrize(("gpu", "state"), [(0, "gpu_lost"), (1, "driver_reset"), (2, "vanished"), (3, "driver_hung")])
def test_a_card_that_goes_is_named_once_with_its_gap(troubled: telemetry.Telemetry, gpu: int, state: str) -> None:
    said = [said for said in troubled.states if said.where == f"gpu{gpu}"]
    assert [one.state for one in said] == [state]
    times, _ = troubled.series(f"gpu{gpu}_utilization_percent")
    assert times.max() <= said[0].t_ns
    gaps = [gap for gap in summary(troubled).gaps if gap.where == f"gpu{gpu}"]
    assert len(gaps) == 1
    assert state in gaps[0].reason
    assert abs(gaps[0].start_ns - times.max()) < S
    assert gaps[0].end_ns == troubled.t_ns[-1]


def test_no_card_costs_another_or_the_host_its_samples(troubled: telemetry.Telemetry) -> None:
    where = {gap.where for gap in summary(troubled).gaps}
    assert where == {"gpu0", "gpu1", "gpu2", "gpu3", "gpu5"}
    fast, _ = troubled.series("gpu6_utilization_percent")
    host, _ = troubled.series("tree_cpu_s")
    last_said_ns = max(one.t_ns for one in troubled.states)
    assert fast[-1] > last_said_ns
    assert host[-1] > last_said_ns
    assert set(troubled.gpus) == set(range(8))


def test_a_card_that_comes_back_is_read_again(troubled: telemetry.Telemetry) -> None:
    assert states(troubled, "gpu5") == ["gpu_lost", "back"]
    (gap,) = [gap for gap in summary(troubled).gaps if gap.where == "gpu5"]
    assert gap.end_ns < troubled.t_ns[-1]
    times, _ = troubled.series("gpu5_utilization_percent")
    assert times[-1] > gap.end_ns


def test_an_error_that_passes_costs_the_field_until_it_has_passed(troubled: telemetry.Telemetry) -> None:
    assert states(troubled, "gpu4.power_w") == ["unreadable", "back"]
    times, _ = troubled.series("gpu4_power_w")
    assert np.diff(times).max() > 0.9 * S
    others, _ = troubled.series("gpu4_utilization_percent")
    assert np.diff(others).max() < np.diff(times).max()


def test_a_field_without_permission_is_said_once(troubled: telemetry.Telemetry) -> None:
    assert states(troubled, "gpu6.power_w") == ["no_permission"]
    assert not len(troubled.series("gpu6_power_w")[1])
    power = summary(troubled).signal("power_w", 6)
    assert power is not None
    assert "permission" in (power.missing or "")


def test_parts_that_mig_makes_or_removes_while_sampling_are_followed(played: Played) -> None:
    recording = played[SPLIT_ANEW]
    assert [str(said) for said in recording.states if said.state == "split_anew"] == [
        "gpu0: split_anew: MIG has made mig0 and made mig1",
        "gpu1: split_anew: MIG has removed mig1",
    ]
    assert set(recording.series("gpu0_mig1_memory_used_mib")[1]) == {700}
    assert (recording.facts["gpu0"]["mig_mode"], recording.facts["gpu0"]["mig1_uuid"]) == (True, "MIG-0000-513")
    assert "mig1_uuid" not in recording.facts["gpu1"]
    kept, removed = (recording.series(f"gpu1_mig{place}_memory_used_mib")[0] for place in (0, 1))
    assert kept[-1] - removed[-1] > S
    assert not [gap for gap in summary(recording).gaps if gap.where.startswith("gpu")]


def test_links_of_a_card_that_counts_bytes_alone_are_read(played: Played) -> None:
    """The counters in KiB are refused; of those that came later the fields 202 and 204 are in bytes (nvml.h)."""
    recording = played[NEW_LINKS]
    assert set(recording.series("gpu0_nvlink_sent_mib")[1]) == {1, 5}
    assert set(recording.series("gpu0_nvlink1_received_mib")[1]) == {2}
    found = values(summary(recording), 0)
    assert found["nvlink_sent_mib_per_s"] > 0
    assert (found["gpm_nvlink_received_mib_per_s"], found["gpm_nvlink_sent_mib_per_s"]) == (250, 125)


def test_a_card_split_by_mig_shows_its_parts(troubled: telemetry.Telemetry) -> None:
    assert troubled.facts["gpu7"]["mig_mode"] is True
    assert set(troubled.series("gpu7_mig1_memory_used_mib")[1]) == {700}
    assert values(summary(troubled), 7)["mig1_gpm_sm_percent"] == 45
    assert set(troubled.series("gpu7_gpm_sm_percent")[1]) == {90}
    assert troubled.facts["gpu7"]["mig1_uuid"] == "MIG-0000-520"
    assert states(troubled, "gpu7.utilization_percent") == ["not_supported"]


def test_a_value_that_stands_for_none_is_no_value(troubled: telemetry.Telemetry) -> None:
    assert states(troubled, "gpu7.power_w") == ["unreadable"]
    assert not len(troubled.series("gpu7_power_w")[1])
    assert states(troubled, "gpu6.memory_utilization_percent") == ["unreadable", "back"]
    assert set(troubled.series("gpu6_memory_utilization_percent")[1]) == {100}
    assert set(troubled.series("gpu6_fan_percent")[1]) == {120}, "a fan may turn faster than it is rated"
    assert states(troubled, "gpu7.performance_state") == ["unreadable", "back"]
    assert set(troubled.series("gpu7_performance_state")[1]) == {3}


@pytest.mark.parametrize(("script", "state"), UNUSABLE.items())
def test_a_driver_that_cannot_be_used_is_a_state_and_the_host_is_sampled(
    script: str, state: str, played: Played, driver: Path
) -> None:
    recording = played[script]
    assert states(recording, "driver") == [state]
    assert recording.gpus == ()
    assert len(recording.series("tree_cpu_s")[0]) >= 2
    driver.write_text(script)
    assert telemetry.inventory().state == state


def test_one_card_that_may_not_be_asked_leaves_the_others(played: Played) -> None:
    recording = played[FORBIDDEN]
    assert states(recording, "gpu0") == ["no_permission"]
    assert len(recording.series("gpu1_utilization_percent")[0])
    assert recording.gpus == (0, 1)


def test_a_driver_that_hangs_at_the_start_costs_only_the_gpus(played: Played) -> None:
    recording = played[SLOW_START]
    assert states(recording, "driver") == ["driver_hung", "back"]
    host, _ = recording.series("memory_available_mib")
    gpu, _ = recording.series("gpu0_utilization_percent")
    assert host[0] < gpu[0]
    assert len(gpu) > 5, "it is sampled as soon as its driver answers"


def test_a_driver_that_is_loaded_while_sampling_is_used_from_then_on(played: Played) -> None:
    recording = played[LOADED_LATE]
    assert recording.facts["gpu0"]["name"] == "Card \ufffd"
    assert states(recording, "driver") == ["driver_not_loaded", "back"]
    assert len(recording.series("gpu0_utilization_percent")[0]) > 5


def test_an_old_driver_is_asked_by_its_own_calls(played: Played) -> None:
    recording = played[OLD]
    assert values(summary(recording), 0)["throttled_by.thermal"] == 1
    assert states(recording, "gpu0.memory_reserved_mib") == ["not_supported"]
    assert values(summary(recording), 0)["memory_used_mib"] == 900


def test_a_call_that_returns_late_gives_its_card_back(played: Played) -> None:
    recording = played[LATE]
    assert states(recording, "gpu0") == ["driver_hung", "back"]
    times, _ = recording.series("gpu0_power_w")
    (gap,) = [gap for gap in summary(recording).gaps if gap.where == "gpu0"]
    assert "driver_hung" in gap.reason
    assert (gap.end_ns - gap.start_ns) / S >= 3.4
    assert times[-1] > gap.end_ns + S / 2, "one thread samples on"
    intervals = np.diff(times[times > gap.end_ns]) / S
    assert np.median(intervals) > 0.03, "and only one"


def test_a_driver_that_crashes_costs_only_the_gpus_and_is_said(played: Played) -> None:
    recording = played[CRASH]
    (said,) = [said for said in recording.states if said.where == "driver"]
    assert (said.state, said.words) == ("driver_crashed", "SIGSEGV in a call into the driver, only the host is sampled")
    times, _ = recording.series("gpu0_utilization_percent")
    assert len(times) > 0
    assert times[-1] < said.t_ns
    host, _ = recording.series("memory_available_mib")
    assert host[-1] > said.t_ns
    (gap,) = [gap for gap in summary(recording).gaps if gap.where == "gpu0"]
    assert "driver_crashed" in gap.reason


def test_a_card_that_is_lost_from_the_start_is_said_once_and_known_when_it_is_back(played: Played) -> None:
    recording = played[LOST_FROM_THE_START]
    assert states(recording, "gpu0") == ["gpu_lost", "back"]
    assert recording.facts["gpu0"]["name"] == "Card"
    assert [said.state for said in recording.states if said.where == "gpu0.name"] == []
    assert (
        len(recording.series("gpu1_utilization_percent")[0]) > len(recording.series("gpu0_utilization_percent")[0]) > 5
    )
