"""The logs of nvidia-smi as people keep them, written by hypothesis and by real programs, and read back."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpuprobe import telemetry
from gpuprobe.errors import InputError
from gpuprobe.evidence.readings.window import readings_of_log
from gpuprobe.logs.read import is_log, read_any
from tests.helpers.program import ROOT, Cli

S = 1_000_000_000
TRACES = Path(os.environ.get("GPUPROBE_TRACES", ROOT.parent / "shared" / "traces"))
# (title, our name, the unit that nvidia-smi writes)
COLUMNS = [
    ("utilization.gpu", "utilization_percent", "%"),
    ("utilization.memory", "memory_utilization_percent", "%"),
    ("power.draw", "power_w", "W"),
    ("temperature.gpu", "temperature_c", ""),
    ("memory.used", "memory_used_mib", "MiB"),
    ("clocks.current.sm", "sm_clock_mhz", "MHz"),
]


def written(path: Path, text: str | bytes) -> Path:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def mean(recording: telemetry.Telemetry, name: str, gpu: int = 0) -> float:
    of = telemetry.summarize(recording, int(recording.t_ns[0]), int(recording.t_ns[-1]))
    signal = of.signal(name, gpu)
    assert signal is not None
    assert isinstance(signal.value, float), signal
    return signal.value


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("smi")


@settings(deadline=None, max_examples=60)
@given(
    rows=st.lists(st.lists(st.none() | st.integers(0, 999), min_size=6, max_size=6), min_size=1, max_size=8),
    gpus=st.integers(1, 3),
    units=st.booleans(),
    spaced=st.booleans(),
    crlf=st.booleans(),
)
def test_what_nvidia_smi_writes_is_read_back(
    folder: Path, rows: list[list[int | None]], gpus: int, units: bool, spaced: bool, crlf: bool
) -> None:
    end, comma = "\r\n" if crlf else "\n", ", " if spaced else ","
    header = ["timestamp", "index", *(f"{title} [{unit}]" if unit else title for title, _, unit in COLUMNS)]
    lines = [comma.join(header)]
    for place, row in enumerate(rows):
        for gpu in range(gpus):
            cells = [
                "[N/A]" if value is None else f"{value} {unit}".strip() if units else str(value)
                for value, (_, _, unit) in zip(row, COLUMNS, strict=True)
            ]
            lines.append(comma.join([f"2025/05/25 00:13:{place:02d}.084", str(gpu), *cells]))
    recording = read_any(written(folder / "log.csv", end.join(lines) + end))
    assert recording.source == "nvidia-smi --query-gpu"
    for gpu in range(gpus):
        for column, (_, name, _) in enumerate(COLUMNS):
            times, values = recording.series(f"gpu{gpu}_{name}")
            expected = [(place, row[column]) for place, row in enumerate(rows) if row[column] is not None]
            assert values.tolist() == [value for _, value in expected]
            assert ((times - recording.t_ns[0]) / S).tolist() == [place for place, _ in expected]
            if not expected:
                assert recording.why_missing(f"gpu{gpu}_{name}") == "nvidia-smi wrote '[N/A]'"


@settings(deadline=None)
@given(content=st.binary(max_size=300) | st.text(alphabet="0123456789,.%W# gpusm\n-/:", max_size=300))
def test_no_bytes_crash_the_reader(folder: Path, content: bytes | str) -> None:
    heads = (b"", b"timestamp, index, utilization.gpu [%]\n", b"# gpu pwr sm\n# Idx W %\n", b"10 %, 20 W\n")
    whole = content if isinstance(content, bytes) else content.encode()
    for head in heads:
        with suppress(InputError):
            recording = read_any(written(folder / "any.csv", head + whole))
            telemetry.summarize(recording, 0, S)
            assert (np.diff(recording.t_ns) >= 0).all()


def test_a_log_without_header_or_time_says_what_was_assumed(tmp_path: Path) -> None:
    recording = read_any(written(tmp_path / "g.csv", "40 W, 32, 10 %, 1 %\n60 W, 33, 30 %, 1 %\n" * 3))
    assert mean(recording, "utilization_percent") == pytest.approx(18)
    assert recording.t_ns.tolist() == [place * S for place in range(6)]
    said = " ".join(words for _, words in recording.said)
    assert "column 1 is power.draw" in said
    assert "not known: column 2" in said
    assert "one row a second" in said


def test_the_columns_of_a_bare_log_can_be_named(tmp_path: Path) -> None:
    path = written(tmp_path / "g.csv", "40, 32, 10\n60, 33, 30\n")
    with pytest.raises(InputError, match=r"g\.csv:1: no column"):
        read_any(path)
    recording = read_any(path, "power.draw,temperature.gpu,utilization.gpu")
    assert recording.series("gpu0_temperature_c")[1].tolist() == [32, 33]


def test_a_bare_log_of_several_gpus_is_told_apart(tmp_path: Path) -> None:
    lines = "".join(f"2025/05/25 00:13:0{n}, {gpu}, {10 * gpu} %\n" for n in range(4) for gpu in range(2))
    recording = read_any(written(tmp_path / "g.csv", lines))
    assert recording.gpus == (0, 1)
    assert (mean(recording, "utilization_percent", 0), mean(recording, "utilization_percent", 1)) == (0, 10)


def test_gpus_are_told_apart_by_their_uuid_too(tmp_path: Path) -> None:
    lines = "uuid, utilization.gpu [%], clocks_throttle_reasons.active, pstate\n"
    lines += "GPU-aa, 5 %, 0x0000000000000004, P2\nGPU-bb, 95 %, 0x0000000000000000, P0\n" * 2
    recording = read_any(written(tmp_path / "g.csv", lines))
    assert [recording.facts[f"gpu{gpu}"]["uuid"] for gpu in (0, 1)] == ["GPU-aa", "GPU-bb"]
    assert mean(recording, "throttled_by.power_cap", 0) == 1
    assert mean(recording, "performance_state", 0) == 2


DMON = """\
#Date       Time        gpu    pwr  gtemp  mtemp     sm    mem   mclk   pclk  rxpci  txpci
#YYYYMMDD   HH:MM:SS    Idx      W      C      C      %      %    MHz    MHz   MB/s   MB/s
 20250525   00:13:19      0     61     55      -     19      7   4004   1708     12      3
 20250525   00:13:19      1     30     40      -      0      0    405    139      0      0
#Date       Time        gpu    pwr  gtemp  mtemp     sm    mem   mclk   pclk  rxpci  txpci
#YYYYMMDD   HH:MM:SS    Idx      W      C      C      %      %    MHz    MHz   MB/s   MB/s
 20250525   00:13:20      0     65     56      -     21      7   4004   1708     14      3
 20250525   00:13:20      1     30     40      -      0      0    405    139      0      0
"""


def test_dmon_is_read(tmp_path: Path) -> None:
    recording = read_any(written(tmp_path / "dmon.log", DMON))
    assert recording.source == "nvidia-smi dmon"
    assert recording.gpus == (0, 1)
    assert recording.series("gpu0_utilization_percent")[1].tolist() == [19, 21]
    assert recording.series("gpu1_sm_clock_mhz")[1].tolist() == [139, 139]
    assert recording.series("gpu0_pcie_received_mib_per_s")[1].tolist() == [12, 14]
    assert (recording.t_ns[-1] - recording.t_ns[0]) / S == 1
    assert recording.why_missing("gpu0_memory_temperature_c") == "nvidia-smi wrote '-'"


QUERIED = "timestamp, index, pci.bus_id, utilization.gpu [%], power.draw [W]\n"
ROWS = [f"2024/01/02 03:04:{n:02d}.500, {n % 2}, 00000000:0{n % 2 + 1}:00.0, {n} %, 60.25 W" for n in range(8)]


@pytest.mark.parametrize(
    "text",
    [
        "\n".join([QUERIED.strip(), *ROWS]).replace(", ", ";").replace(".", ",").replace("pci,bus", "pci.bus"),
        "\n".join([QUERIED.strip(), *ROWS]).replace(", ", "\t"),
        "\ufeff" + "\r\n".join([QUERIED.strip(), *ROWS]) + "\r\n",
        "\n".join([QUERIED.strip(), *ROWS]).replace(" [%]", "").replace(" [W]", "").replace(" %", "").replace(" W", ""),
        "\n".join(QUERIED + "\n".join(ROWS[n : n + 2]) for n in (0, 2, 4, 6)),
        "\n".join([QUERIED.strip(), *ROWS]).replace("2024/01/02 ", "2024-01-02T").replace("00,", "00+01:00,"),
        "\n".join([QUERIED.strip(), *ROWS]).replace("2024/01/02 ", "2024-01-02T").replace(".500", ",500000000+01:00"),
        "\n".join([QUERIED.strip(), *ROWS]).replace("2024/01/02 03:04:0", "23:59:5"),
        "\n".join([QUERIED.strip().replace("utilization.gpu [%]", "gpu_util_pct"), *ROWS]).replace("[W]", "w"),
    ],
    ids=[
        "semicolons and decimal commas",
        "tabs",
        "BOM and CRLF",
        "no units",
        "header each time",
        "ISO",
        "date -Ins",
        "no date",
        "own titles",
    ],
)
def test_forms_in_which_people_keep_it(text: str, tmp_path: Path) -> None:
    recording = read_any(written(tmp_path / "g.csv", text))
    assert recording.gpus == (0, 1)
    times, values = recording.series("gpu1_utilization_percent")
    assert values.tolist() == [1, 3, 5, 7]
    assert (np.diff(times) / S).tolist() == [2, 2, 2]
    assert set(recording.series("gpu0_power_w")[1]) == {60.25}


def test_logs_of_two_cards_one_after_the_other_need_no_header(tmp_path: Path) -> None:
    rows = [f"{1_700_000_000 + second}, {card}, {60 * card + second}" for card in (0, 1) for second in range(30)]
    recording = read_any(written(tmp_path / "g.csv", "\n".join(rows)))
    assert recording.gpus == (0, 1)
    assert recording.series("gpu1_utilization_percent")[1].tolist() == list(range(60, 90))


@pytest.mark.parametrize(
    ("line", "where", "state"),
    [
        ("Unable to determine the device handle for GPU 0000:02:00.0: Unknown Error", "gpu1", "unreadable"),
        ("Unable to determine the device handle for GPU0000:01:00.0: GPU is lost.  Reboot", "gpu0", "gpu_lost"),
        ("2024/01/02 03:04:04.500, 0, 00000000:01:00.0, [GPU is lost], [GPU is lost]", "gpu0", "gpu_lost"),
        ("2024/01/02 03:04:04.500, 1, 00000000:02:00.0, [GPU requires reset], [N/A]", "gpu1", "driver_reset"),
    ],
)
def test_what_nvidia_smi_says_in_between_is_a_state(line: str, where: str, state: str, tmp_path: Path) -> None:
    recording = read_any(written(tmp_path / "g.csv", QUERIED + "\n".join([*ROWS[:4], line, *ROWS[4:]])))
    assert [(one.where, one.state) for one in recording.states] == [(where, state), (where, "back")]
    assert recording.series("gpu0_utilization_percent")[1].tolist() == [0, 2, 4, 6]


def test_reasons_that_are_logged_one_by_one_count_together(tmp_path: Path) -> None:
    names = ("sw_power_cap", "hw_thermal_slowdown", "sync_boost")
    head = ",".join(["utilization.gpu", *(f"clocks_event_reasons.{name}" for name in names)])
    recording = read_any(written(tmp_path / "g.csv", head + "\n5 %,Active,Active,Not Active\n"))
    assert recording.series("gpu0_throttle_reasons")[1].tolist() == [0x44]


def test_dmon_goes_on_after_midnight(tmp_path: Path) -> None:
    rows = "".join(f" {time} 0 5\n" for time in ("23:59:58", "23:59:59", "00:00:00", "00:00:01"))
    recording = read_any(written(tmp_path / "dmon.log", "#Time gpu sm\n#HH:MM:SS Idx %\n" + rows))
    assert (np.diff(recording.t_ns) / S).tolist() == [1, 1, 1]


def test_a_damaged_line_among_many_is_left_out_and_said(tmp_path: Path) -> None:
    lines = ["index, utilization.gpu [%]", *["0, 5 %"] * 200]
    lines[100] = "0, 5 %0, 5 %, 7"
    recording = read_any(written(tmp_path / "g.csv", "\n".join(lines)))
    assert len(recording.t_ns) == 199
    assert any("g.csv:101: has 4 cells where 2" in words for _, words in recording.said)


def test_the_columns_of_a_bare_log_can_be_named_to_diagnose(cli: Cli, tmp_path: Path) -> None:
    rows = "".join(f"2024/01/02 03:04:{n:02d}.500, 0, 10\n" for n in range(30))
    path = written(tmp_path / "g.csv", rows)
    refused = cli("diagnose", path)
    assert refused.returncode == 3
    assert "--columns timestamp,index,utilization.gpu" in refused.stderr
    done = cli("diagnose", path, "--columns", "timestamp,index,utilization.gpu")
    assert done.returncode == 0, done.stderr
    assert "10 %" in done.stdout


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Tue Jan  2 03:04:05 2024\n+" + "-" * 77 + "+\n| NVIDIA-SMI 450.51 |\n", "the table that nvidia-smi shows"),
        ('<?xml version="1.0" ?>\n<nvidia_smi_log>\n', "XML of nvidia-smi -q -x"),
        ("\n====NVSMI LOG====\n\nTimestamp : now\n", "text of nvidia-smi -q"),
        ("# gpu        pid  type    sm\n# Idx          #   C/G     %\n 0 1 C 5\n", "single processes"),
        ("#Date Time gpu pid type sm command\n#YYYYMMDD HH:MM:SS Idx # C/G % name\n", "single processes"),
        ("timestamp, pid, process_name, used_gpu_memory [MiB]\n", "single processes"),
        ("RAM 2196/7772MB (lfb 1x2MB) CPU [5%@729] GR3D_FREQ 12%\n", "tegrastats"),
        (
            '# HELP DCGM_FI_DEV_GPU_UTIL GPU utilization (in %).\nDCGM_FI_DEV_GPU_UTIL{gpu="0"} 20\n',
            "Prometheus exporter",
        ),
        ("Relative Time (Process),run - system/gpu.0.gpu\n0,20\n15,22\n", "Weights & Biases"),
        ("===== ROCm System Management Interface =====\n", "AMD"),
        ("#Entity GRACT SMACT\nID\nGPU-I 0 0.953 0.801\n", "holds no row of dcgmi"),
        ("0, 43, 48, -, 1, 1, 0, 0\n", "begin with #"),
        ("Failed to initialize NVML: Driver/library version mismatch\n", "nvidia-smi said 'Failed to initialize"),
        ("No devices were found\n", "nvidia-smi said 'No devices"),
        (QUERIED, "only its header"),
        ("", "is empty"),
        ("hello\nworld\n", "bad.csv:1: no column of nvidia-smi"),
        ("index, utilization.gpu [%]\n0, 5 %\n0, 5 %, 7\n0, 5 %\n", "bad.csv:3: has 3 cells where 2"),
        ("index, utilization.gpu [%]\n0, 5 %\n0, many\n", "bad.csv:3: 'many' is no value of 'utilization.gpu"),
        ("index, power.draw [W]\n0, 5 km\n", "bad.csv:2: 'km' is not a known unit of 'power.draw [W]'"),
        ("timestamp, utilization.gpu [%]\nyesterday, 5\n", "bad.csv:2: 'yesterday' is no time stamp"),
        ("# gpu sm\n# Idx %\n 0 5\n 0\n 0 5\n", "bad.csv:4: has 1 cells where 2"),
        ("# gpu sm\n# Idx %\n", "holds no row"),
    ],
)
def test_what_is_wrong_names_file_and_line(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(InputError) as caught:
        read_any(written(tmp_path / "bad.csv", text))
    assert said in str(caught.value)
    assert "bad.csv" in str(caught.value)


def test_a_last_line_that_is_cut_off_is_left_out_and_said(tmp_path: Path) -> None:
    recording = read_any(written(tmp_path / "g.csv", "index, utilization.gpu [%], power.draw [W]\n0, 5, 9\n0,"))
    assert len(recording.t_ns) == 1
    assert "(3) is cut off" in recording.said[-1][1] or any("cut off" in words for _, words in recording.said)


@pytest.mark.parametrize("name", ["smi.txt", "smi.log", "dmon_out"])
@pytest.mark.parametrize(
    "text", ["# gpu sm\n# Idx %\n" + 4 * " 0 45\n" + " 0\n", "utilization.gpu [%]\n" + 4 * "45 %\n"]
)
def test_a_log_may_be_called_anything(cli: Cli, tmp_path: Path, name: str, text: str) -> None:
    done = cli("diagnose", written(tmp_path / name, text))
    assert done.returncode == 0, done.stderr
    assert "busy 45 %" in done.stdout


@pytest.mark.parametrize("content", [b'{"traceEvents": []}', b"[\n{}", b"\x0a\x05\x12\x03abc", b"", b"  \n"])
def test_what_is_no_text_is_no_log(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "trace"
    path.write_bytes(content)
    assert not is_log(path)


def test_utf16_as_powershell_writes_it(tmp_path: Path) -> None:
    text = "index, utilization.gpu [%]\r\n0, 5 %\r\n".encode("utf-16")
    assert read_any(written(tmp_path / "g.csv", text)).series("gpu0_utilization_percent")[1].tolist() == [5]


def test_a_recording_of_our_own_is_read_by_the_same_door(tmp_path: Path) -> None:
    recording = read_any(written(tmp_path / "t.csv", "t_ns,said,gpu0_power_w\n1000000000,,5\n"))
    assert recording.source == "NVML"


@pytest.mark.skipif(not (TRACES / "telemetry").is_dir(), reason="the recorded traces are not here")
def test_real_logs_are_read() -> None:
    bare = read_any(TRACES / "telemetry" / "gan-low-utilization.csv")
    assert len(bare.t_ns) == 3750
    assert mean(bare, "utilization_percent") == pytest.approx(8, abs=1)
    named = read_any(TRACES / "telemetry" / "rtx-a5000-inference.csv")
    assert named.facts["gpu0"] == {"name": "NVIDIA RTX A5000", "memory_total_mib": 24564}
    assert named.series("gpu0_utilization_percent")[1][:3].tolist() == [10, 6, 37]
    assert named.series("gpu0_temperature_c")[1][0] == 72
    assert mean(named, "memory_peak_mib") == 13002


@pytest.mark.parametrize(
    "times", [(0, 2**61), (0, 2**61, 2**62 - 1), (*(0, 1, 2, 2**62 - 3, 2**62 - 2, 2**62 - 1) * 9,)]
)
def test_times_as_far_apart_as_can_be_stay_in_order(tmp_path: Path, times: tuple[int, ...]) -> None:
    rows = "".join(f"{t_ns},,50\n" for t_ns in times)
    recording = read_any(written(tmp_path / "t.csv", f"t_ns,said,gpu0_utilization_percent\n{rows}"))
    found, _ = readings_of_log(recording)
    assert recording.t_ns[0] >= 0
    assert (np.diff(recording.t_ns) >= 0).all()
    assert found.number("utilization_percent") == pytest.approx(50)


@pytest.mark.parametrize("mask", ["0xffffffffffffffff", "0x" + "f" * 400, "0x-1", "0x"])
def test_a_mask_that_no_driver_writes_is_refused_in_one_line(tmp_path: Path, mask: str) -> None:
    path = written(tmp_path / "g.csv", f"utilization.gpu [%], clocks_event_reasons.active\n50 %, {mask}\n")
    with pytest.raises(InputError, match=r"g\.csv:2: .{,180}'clocks_event_reasons.active'$"):
        read_any(path)
