"""The readings as other programs take them: Prometheus over HTTP, TensorBoard from its own files."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as plain

from gpuprobe import telemetry
from gpuprobe.errors import OutputError, UsageError
from gpuprobe.telemetry.metrics import RecordingCollector, serving
from gpuprobe.telemetry.writer import Writer
from tests.helpers.waiting import LIMIT_S

S = 1_000_000_000
COLUMNS = ["gpu0_utilization_percent", "gpu0_energy_j", "gpu1_utilization_percent", "tree_cpu_s", "core0_busy_s"]


def scraped(url: str, accept: str = "text/plain") -> str:
    request = urllib.request.Request(url, headers={"Accept": accept})
    with urllib.request.urlopen(request, timeout=LIMIT_S) as answer:
        return str(answer.read().decode())


def test_prometheus_sees_what_is_being_recorded(tmp_path: Path) -> None:
    path, now = tmp_path / "t.csv", time.time_ns()
    writer = Writer(path, COLUMNS)
    with serving(path, 0) as url:
        assert url.startswith("http://127.0.0.1:")
        writer.row(now, {"gpu0_utilization_percent": 19.0, "gpu0_energy_j": 5.0, "tree_cpu_s": 1.5}, "")
        writer.row(now, {"gpu1_utilization_percent": 80.0, "core0_busy_s": 3.0}, "gpu1: driver_hung: no answer")
        writer.row(now, {"gpu1_process77_memory_mib": 12.0, "gpu1_mig2_memory_used_mib": 5.0}, "")
        writer.row(now, {"gpu0_nvlink_sent_mib": 9.0, "gpu0_nvlink1_sent_mib": 4.0}, "")
        found = {
            (sample.name, *sample.labels.values()): sample.value
            for family in plain(scraped(url))
            for sample in family.samples
        }
        assert found["gpuprobe_gpu_utilization_percent", "0"] == 19
        assert found["gpuprobe_gpu_utilization_percent", "1"] == 80
        assert found["gpuprobe_gpu_energy_j_total", "0"] == 5
        assert found["gpuprobe_gpu_each_process_memory_mib", "1", "77"] == 12
        assert found["gpuprobe_gpu_each_mig_memory_used_mib", "1", "2"] == 5
        assert found["gpuprobe_gpu_nvlink_sent_mib_total", "0"] == 9
        assert found["gpuprobe_gpu_each_nvlink_sent_mib_total", "0", "1"] == 4
        assert found["gpuprobe_host_tree_cpu_seconds_total",] == 1.5
        assert found["gpuprobe_core_busy_seconds_total", "0"] == 3
        assert found["gpuprobe_state", "driver_hung", "gpu1"] == 1
        writer.row(now, {"gpu0_utilization_percent": 99.0}, "gpu1: back: answers again")
        text = scraped(url, "application/openmetrics-text; version=1.0.0")
        assert text.endswith("# EOF\n")
        families = {family.name: family for family in openmetrics(text)}  # type: ignore[no-untyped-call]
        assert families["gpuprobe_gpu_utilization_percent"].samples[0].value == 99
        assert not families["gpuprobe_state"].samples
    with pytest.raises(OSError, match="refused"):
        scraped(url)


def test_what_is_no_longer_read_is_no_longer_served(tmp_path: Path) -> None:
    writer = Writer(tmp_path / "t.csv", COLUMNS)
    writer.row(0, {"gpu0_utilization_percent": 90.0}, "")
    writer.row(8 * S, {"tree_cpu_s": 4.0}, "")
    names = {family.name for family in RecordingCollector(tmp_path / "t.csv", lambda: 9 * S).collect()}
    assert names == {"gpuprobe_host_tree_cpu_seconds", "gpuprobe_state"}


def test_a_port_in_use_is_one_clear_line(tmp_path: Path) -> None:
    with serving(tmp_path / "t.csv", 0) as url:
        port = int(url.rpartition(":")[2].partition("/")[0])
        with pytest.raises(UsageError, match="--metrics-port"), serving(tmp_path / "t.csv", port):
            pass


def test_tensorboard_reads_its_scalars_back_and_tensorflow_stays_out(tmp_path: Path) -> None:
    writer = Writer(tmp_path / "t.csv", [*COLUMNS, "gpu0_power_w"])
    for tick in range(40):
        values = {"gpu0_power_w": 50.0 + tick // 20, "tree_cpu_s": tick / 10}
        writer.row(1_700_000_000 * S + tick * S // 20, values, "")
    program = f"""
import json, sys
sys.modules["tensorflow"] = None
from pathlib import Path
from gpuprobe import telemetry
from gpuprobe.telemetry.scalars import write_scalars
count = write_scalars(telemetry.read(Path({str(tmp_path / "t.csv")!r})), Path({str(tmp_path / "tb")!r}))
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
events = EventAccumulator({str(tmp_path / "tb")!r})
events.Reload()
print(json.dumps([count, {{tag: [(event.step, event.wall_time, event.tensor_proto.float_val[0])
                   for event in events.Tensors(tag)] for tag in events.Tags()["tensors"]}}]))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    count, found = json.loads(done.stdout)
    assert count == 4
    assert found["gpu0/power_w"] == [[0, 1.7e9, 50.0], [1, 1.7e9 + 1, 51.0]]
    assert sorted(found) == ["gpu0/power_w", "host/cpu_cores"]
    assert found["host/cpu_cores"][0][2] == pytest.approx(2.0)


def test_scalars_that_cannot_be_written_are_one_clear_line(tmp_path: Path) -> None:
    from gpuprobe.telemetry.scalars import write_scalars

    Writer(tmp_path / "t.csv", ["gpu0_power_w"]).row(S, {"gpu0_power_w": 5.0}, "")
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be written"):
        write_scalars(telemetry.read(tmp_path / "t.csv"), tmp_path / "file" / "tb")


def test_a_follower_sees_new_rows_and_whole_rows_only(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    follower = telemetry.Follower(path)
    assert not follower.look()
    writer = Writer(path, COLUMNS)
    writer.row(S, {"tree_cpu_s": 1.0}, "")
    assert follower.look()
    with path.open("ab") as file:
        file.write(b"2000000000,,,,,3")
    follower.look()
    assert follower.value("tree_cpu_s") == 1
    with path.open("ab") as file:
        file.write(b".5\n")
    follower.look()
    assert follower.value("tree_cpu_s") == 3.5
    assert follower.rate("tree_cpu_s") == 2.5
    assert telemetry.load_now(path, lambda: 4 * S) == "CPU: 2.5 cores busy with the training"
    assert telemetry.load_now(path, lambda: 60 * S) == "", "a sampler that ended a minute ago tells nothing of now"
    assert telemetry.load_now(tmp_path / "missing.csv") == ""
