"""Watching a command: what it must not notice, what is recorded of it, and what its telemetry supports."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import select
import signal
import socket
import struct
import subprocess
import sys
import termios
import time
import urllib.request
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import psutil
import pyte
import pytest
from conftest import Cli
from hypothesis import given
from hypothesis import strategies as st

from gpuprobe import telemetry
from gpuprobe.diagnosis.telemetry import diagnose
from gpuprobe.errors import UsageError
from gpuprobe.recording import TELEMETRY_FILE, WATCH_FILE
from gpuprobe.records import Environment, Evidence, Finding, GpuInfo, Outcome, Signal, ThreadUse, Watch, load, save
from gpuprobe.report.watch import load_report, write_watch
from gpuprobe.watch.command import outcome
from gpuprobe.watch.evidence import see
from gpuprobe.watch.grid import Grid, percentile
from gpuprobe.watch.metrics import serving
from gpuprobe.watch.phases import busy_span, phases
from gpuprobe.watch.verdict import judge

S = 1_000_000_000
WATCH = (sys.executable, "-m", "gpuprobe.cli", "watch")
LIMIT_S = 60.0


def until(holds: Callable[[], object], limit_s: float = LIMIT_S) -> None:
    end = time.monotonic() + limit_s
    while not holds():
        assert time.monotonic() < end, "it did not come to pass in time"
        time.sleep(0.02)


def start(out: Path, *command: str, **options: object) -> subprocess.Popen[bytes]:
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
    return subprocess.Popen([*WATCH, "--out", str(out), "--", *command], **pipes)  # type: ignore[call-overload,no-any-return]


# --- the command must not notice ---


def test_stdin_stdout_and_stderr_are_the_commands_own(cli: Cli, tmp_path: Path) -> None:
    done = cli("watch", "--out", tmp_path / "r", "--", "sh", "-c", "cat; echo error >&2; exit 7", input="from stdin\n")
    assert done.stdout == "from stdin\n"
    assert done.returncode == 7
    assert done.stderr.startswith("error\n")
    assert "\x1b" not in done.stderr
    assert "ended with exit code 7" in done.stderr


def test_options_after_the_command_are_the_commands(cli: Cli, tmp_path: Path) -> None:
    done = cli("watch", "--out", tmp_path / "r", "echo", "--help", "--out", "-x")
    assert done.stdout == "--help --out -x\n"


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("no-such-program",), 127, "command not found"),
        (("./nowhere/program",), 127, "no such file"),
        (("/",), 126, "cannot be run"),
        (("./script",), 126, "#!"),
        (("./orphan",), 126, "interpreter"),
        (("sh", "-c", "kill -9 $$"), 137, "SIGKILL"),
        (("sh", "-c", "kill -TERM $$"), 143, "SIGTERM"),
        (("sh", "-c", "exit 255"), 255, "exit code 255"),
    ],
)
def test_the_exit_code_is_what_a_shell_would_give(
    words: tuple[str, ...], code: int, said: str, cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, text in (("script", "\x00 no first line"), ("orphan", "#!/no/such/interpreter\n")):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    done = cli("watch", "--out", "r", "--", *words)
    assert done.returncode == code, done.stderr
    assert said in done.stderr
    if code in {126, 127}:
        assert len(done.stderr.splitlines()) == 1, done.stderr
        assert not (tmp_path / "r").exists()


COUNTER = """
import signal, sys, time
got = []
def note(number, frame):
    got.append(signal.Signals(number).name)
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGQUIT):
    signal.signal(number, note)
print("ready", flush=True)
end = time.monotonic() + 30
while len(got) < int(sys.argv[1]) and time.monotonic() < end:
    time.sleep(0.02)
time.sleep(0.3)
print(" ".join(got), flush=True)
sys.exit(9)
"""


def test_signals_are_passed_on_once_each_and_the_command_may_outlive_them(tmp_path: Path) -> None:
    watched = start(tmp_path / "r", sys.executable, "-c", COUNTER, "5")
    assert watched.stdout is not None
    assert watched.stdout.readline() == b"ready\n"
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGQUIT):
        watched.send_signal(number)
        time.sleep(0.1)
    out, err = watched.communicate(timeout=LIMIT_S)
    assert out == b"SIGINT SIGTERM SIGHUP SIGUSR1 SIGQUIT\n"
    assert watched.returncode == 9
    assert b"Passed on to the command: SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGQUIT" in err


def test_a_command_that_ends_on_a_signal_gives_its_number(tmp_path: Path) -> None:
    watched = start(tmp_path / "r", "sh", "-c", "echo ready; exec sleep 60")
    assert watched.stdout is not None
    watched.stdout.readline()
    time.sleep(0.2)
    watched.send_signal(signal.SIGINT)
    watched.communicate(timeout=LIMIT_S)
    assert watched.returncode == 130
    assert load(Watch, tmp_path / "r" / WATCH_FILE).outcome == Outcome(
        state="interrupted", exit_code=130, message="it was ended by SIGINT"
    )


def test_the_commands_signal_mask_and_broken_pipes_are_as_without_us(cli: Cli, tmp_path: Path) -> None:
    program = "grep -E 'SigBlk|SigIgn' /proc/self/status"
    plain = subprocess.run(["sh", "-c", program], capture_output=True, text=True, check=True)
    watched = cli("watch", "--out", tmp_path / "r", "--", "sh", "-c", program)
    assert masks(watched.stdout) == masks(plain.stdout)


def masks(status: str) -> list[int]:
    """Return the masks without signals 32 and 33, which glibc keeps for itself."""
    return [int(line.split()[1], 16) & (1 << 31) - 1 for line in status.splitlines()]


def test_a_command_that_forks_is_watched_with_its_children(tmp_path: Path) -> None:
    program = "import os, time; pid = os.fork(); t = time.time()\nwhile time.time() - t < 2.5: pass\n"
    program += "pid and os.waitpid(pid, 0)"
    watched = start(tmp_path / "r", sys.executable, "-c", program)
    watched.communicate(timeout=LIMIT_S)
    record = load(Watch, tmp_path / "r" / WATCH_FILE)
    assert len({use.pid for use in record.threads}) == 2
    assert all(use.cpu_s > 0 for use in record.threads)


def test_a_killed_watcher_leaves_the_command_alone_and_a_readable_recording(tmp_path: Path) -> None:
    out, proof = tmp_path / "r", tmp_path / "proof"
    watched = start(out, "sh", "-c", f"echo $$; sleep 3; echo alive > {proof}", stderr=subprocess.DEVNULL)
    assert watched.stdout is not None
    watched.stdout.readline()
    until(lambda: (out / TELEMETRY_FILE).exists() and telemetry.read(out / TELEMETRY_FILE).series("tree_cpu_s")[0].size)
    time.sleep(0.6)
    watched.kill()
    watched.wait()
    until(proof.exists)
    report = load_report(out)
    assert report.watch.ended_ns is None
    assert any("killed" in note or "ended before the command" in note for note in report.verdict.notes)
    until(lambda: not [p for p in psutil.process_iter(["cmdline"]) if str(out) in " ".join(p.info["cmdline"] or [])])


def test_a_killed_command_is_said(tmp_path: Path) -> None:
    watched = start(tmp_path / "r", "sh", "-c", "echo $$; exec sleep 60")
    assert watched.stdout is not None
    os.kill(int(watched.stdout.readline()), signal.SIGKILL)
    _, err = watched.communicate(timeout=LIMIT_S)
    assert watched.returncode == 137
    assert b"ended by SIGKILL" in err


# --- where the recording cannot be kept ---


@pytest.mark.parametrize("where", ["file", "file/below", "taken"])
def test_a_folder_that_cannot_be_used_stops_before_the_command(where: str, cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / WATCH_FILE).touch()
    done = cli("watch", "--out", tmp_path / where, "--", "echo", "started")
    assert done.returncode == 4
    assert done.stdout == ""
    assert "--out" in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("harm", ["rm -rf {out}", "ln -s /dev/full {out}/watch.json.partial"])
def test_a_recording_that_is_lost_midway_costs_the_command_nothing(harm: str, cli: Cli, tmp_path: Path) -> None:
    out = tmp_path / "r"
    done = cli("watch", "--out", out, "--", "sh", "-c", harm.format(out=out) + "; sleep 0.5; echo done; exit 3")
    assert done.stdout == "done\n"
    assert done.returncode == 3
    assert "the recording is not complete" in done.stderr
    assert "Traceback" not in done.stderr


def test_without_out_a_new_folder_is_made_each_time(cli: Cli, tmp_path: Path) -> None:
    for _ in range(2):
        assert cli("watch", "--", "true", cwd=tmp_path).returncode == 0
    assert len(list((tmp_path / "reports").glob("*-watch*/watch.json"))) == 2


# --- in a terminal ---


class Terminal:
    """A command in a terminal of its own: all that was written to it, and keys to press."""

    def __init__(self, *command: str, rows: int = 30) -> None:
        self.pid, self._fd = pty.fork()
        if self.pid == 0:
            os.environ["TERM"] = "xterm"
            time.sleep(0.2)
            os.execv(command[0], command)
        fcntl.ioctl(self._fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, 100, 0, 0))
        self.text = ""

    def read_until(self, words: str) -> None:
        until(lambda: words in self._read())

    def press(self, keys: bytes) -> None:
        os.write(self._fd, keys)

    def finish(self) -> int:
        end = time.monotonic() + LIMIT_S
        while time.monotonic() < end:
            self._read()
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self._read()
                return os.waitstatus_to_exitcode(status)
        raise AssertionError("it did not end")

    def _read(self) -> str:
        while select.select([self._fd], [], [], 0.05)[0]:
            try:
                found = os.read(self._fd, 65536)
            except OSError:
                break
            if not found:
                break
            self.text += found.decode(errors="replace")
        return self.text


def test_the_bar_stays_out_of_the_commands_lines_and_goes_with_it(tmp_path: Path) -> None:
    program = "test -t 1 && echo terminal; for i in 1 2 3 4 5 6 7 8; do printf 'half '; sleep 0.3; echo line $i; done"
    seen = Terminal(*WATCH, "--out", str(tmp_path / "r"), "--", "sh", "-c", program)
    assert seen.finish() == 0
    assert "terminal\r\n" in seen.text
    assert "cores" in seen.text
    while_running, after = screen(seen.text[: seen.text.rindex("\x1b[r")]), screen(seen.text)
    for lines in (while_running, after):
        assert [line for line in lines if "line" in line] == [f"half line {n}" for n in range(1, 9)]
    assert any(line.startswith("CPU") for line in while_running[-1:])
    assert not any(line.startswith("gpuprobe  ") for line in after)
    assert "Verdict" in seen.text


def screen(text: str, rows: int = 30) -> list[str]:
    """Return what a terminal shows after such output, line by line."""
    shown = pyte.Screen(100, rows)
    pyte.Stream(shown).feed(text)
    return [line.rstrip() for line in shown.display]


@pytest.mark.parametrize(("words", "rows"), [(("--no-live",), 30), ((), 8)])
def test_no_bar_where_it_is_not_wanted_or_has_no_room(words: tuple[str, ...], rows: int, tmp_path: Path) -> None:
    seen = Terminal(*WATCH, *words, "--out", str(tmp_path / "r"), "--", "sleep", "1.5", rows=rows)
    assert seen.finish() == 0
    assert "\x1b7" not in seen.text


def test_ctrl_c_reaches_the_command_once(tmp_path: Path) -> None:
    seen = Terminal(*WATCH, "--out", str(tmp_path / "r"), "--", sys.executable, "-c", COUNTER, "1")
    seen.read_until("ready")
    seen.press(b"\x03")
    assert seen.finish() == 9
    assert "SIGINT\r\n" in seen.text
    assert "SIGINT SIGINT" not in seen.text


def test_a_command_that_ignores_ctrl_c_goes_on(tmp_path: Path) -> None:
    program = "trap '' INT; echo ready; sleep 1; echo still here; exit 5"
    seen = Terminal(*WATCH, "--out", str(tmp_path / "r"), "--", "sh", "-c", program)
    seen.read_until("ready")
    seen.press(b"\x03")
    assert seen.finish() == 5
    assert "still here" in seen.text


# --- GPUs, through the real pynvml ---


@pytest.mark.parametrize("gpus", [1, 2])
def test_each_gpu_is_in_the_summary(gpus: int, driver: Path, cli: Cli, tmp_path: Path) -> None:
    driver.write_text(f"devices {gpus}\nname NVIDIA GeForce GTX 1060 3GB\n")
    done = cli("watch", "--out", tmp_path / "r", "--", "sleep", "4")
    assert done.returncode == 0
    for index in range(gpus):
        assert f"GPU {index} utilization: from its first to its last busy second: mean 19 %" in done.stderr
    assert "No GPU was sampled" not in done.stderr
    assert f"GPU {gpus} " not in done.stderr


def test_a_driver_without_a_gpu_gives_a_verdict_on_the_processor(driver: Path, cli: Cli, tmp_path: Path) -> None:
    driver.write_text("devices 0\n")
    done = cli("watch", "--out", tmp_path / "r", "--", "sleep", "3.5")
    assert "No GPU was sampled" in done.stderr
    assert "says nothing of a GPU" in done.stderr
    assert "GPU 0" not in done.stderr


def test_a_gpu_that_is_lost_midway_is_named_and_costs_the_command_nothing(
    driver: Path, cli: Cli, tmp_path: Path
) -> None:
    driver.write_text("devices 2\nname Card\nfail.gpu1.all 15@2\nfail.all 15@2\n")
    done = cli("watch", "--out", tmp_path / "r", "--", "sh", "-c", "sleep 5; echo done")
    assert done.stdout == "done\n"
    assert done.returncode == 0
    assert "gpu0: gpu_lost" in done.stderr
    phases_line = next(line for line in done.stderr.splitlines() if line.startswith("GPU 0 phases"))
    assert "not known for" in phases_line


def test_metrics_can_be_fetched_while_the_command_runs(driver: Path, tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = [*WATCH, "--out", str(tmp_path / "r"), "--metrics-port", str(port), "--", "sleep", "30"]
    watched = subprocess.Popen(words, stderr=subprocess.DEVNULL)
    text = ""

    def fetched() -> bool:
        nonlocal text
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
                text = answer.read().decode()
        except OSError:
            return False
        return "gpuprobe_tree_memory_mib" in text

    try:
        until(fetched)
    finally:
        watched.terminate()
        assert watched.wait(LIMIT_S) == 143
    assert 'gpuprobe_gpu_utilization_percent{gpu="0"} 19.0' in text
    assert 'gpuprobe_core_busy_s_total{core="0"}' in text


def test_a_port_that_is_taken_is_one_line(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(UsageError, match="--metrics-port"), serving(tmp_path / "t.csv", taken.getsockname()[1]):
            pass


# --- the report ---


def test_the_report_of_a_watch_is_written_again(cli: Cli, tmp_path: Path) -> None:
    out = tmp_path / "r"
    cli("watch", "--out", out, "--", "sleep", "3.2")
    done = cli("report", out)
    assert done.returncode == 0, done.stderr
    text = (out / "report.md").read_text()
    assert done.stdout.strip() == str(out / "report.md")
    assert "sleep 3.2" in text
    assert "**Verdict.**" in text
    assert "{{" not in text
    assert json.loads((out / "report.json").read_text())["watch"]["outcome"]["exit_code"] == 0


def test_a_watch_is_not_shared(cli: Cli, tmp_path: Path) -> None:
    record(tmp_path, [])
    done = cli("report", tmp_path, "--share", tmp_path / "copy")
    assert done.returncode == 2
    assert not (tmp_path / "copy").exists()


@pytest.mark.parametrize("file", [WATCH_FILE, TELEMETRY_FILE])
def test_a_damaged_recording_is_unreadable_input(file: str, cli: Cli, tmp_path: Path) -> None:
    record(tmp_path, [])
    (tmp_path / file).write_text("nonsense")
    done = cli("report", tmp_path)
    assert done.returncode == 3
    assert file in done.stderr


# --- figures, from recordings that are made ---


def record(
    folder: Path,
    gpu: list[float],
    *,
    cores: float = 1.0,
    iowait: float = 0.0,
    others: float = 0.0,
    thread: float | None = None,
    memory: list[float] | None = None,
    extra: dict[str, float] | None = None,
    seconds: int | None = None,
) -> Watch:
    """Write a recording of four readings a second: utilization by second, and what the host did all along."""
    length = seconds or len(gpu) or 20
    extra = extra or {}
    names = ["tree_cpu_s", "iowait_s", "core0_busy_s", "core1_busy_s", "core2_busy_s", "core3_busy_s"]
    names += (
        ["gpu0_utilization_percent", "gpu0_memory_utilization_percent", "gpu0_memory_used_mib", *extra] if gpu else []
    )
    lines = ["t_ns,said," + ",".join(names)]
    for tick in range(length * 4 + 1):
        now = tick / 4
        values = [cores * now, iowait * now, *[(cores + others) / 4 * now] * 4]
        if gpu:
            used = (memory or [900.0] * length)[min(int(now), length - 1)]
            values += [gpu[min(int(now), length - 1)], 5.0, used, *extra.values()]
        lines.append(f"{int(now * S)},," + ",".join(f"{value:.6f}" for value in values))
    (folder / TELEMETRY_FILE).write_text("\n".join(lines) + "\n")
    gpus = (GpuInfo(index=0, name="Card", memory_mib=3072.0),) if gpu else ()
    uses = () if thread is None else (ThreadUse(pid=1, tid=1, name="python", cpu_s=thread * 10, seen_s=10.0),)
    made = Watch(
        name=folder.name,
        command=("python", "train.py"),
        started_ns=0,
        ended_ns=length * S,
        outcome=Outcome(state="done", exit_code=0),
        environment=Environment(
            system="Linux", python="3.12", cpu="CPU", cores=4, memory_mib=8000.0, versions={}, gpus=gpus, no_gpu=None
        ),
        cpu_limit=4.0,
        threads=uses,
    )
    save(made, folder / WATCH_FILE)
    return made


def judged(folder: Path, *arguments: object, **options: object) -> Finding:
    """Return the primary finding of a recording that is made so."""
    watch = record(folder, *arguments, **options)  # type: ignore[arg-type]
    _, verdict = judge(telemetry.read(folder / TELEMETRY_FILE), watch)
    (main,) = [finding for finding in verdict.judged[0].findings if finding.primary]
    return main


def seen_value(folder: Path, name: str) -> float:
    seen = see(telemetry.read(folder / TELEMETRY_FILE), load(Watch, folder / WATCH_FILE))
    signal_ = (seen.gpus[0].evidence if seen.gpus else seen.host).get(name)
    assert signal_ is not None
    assert isinstance(signal_.value, float), signal_
    return signal_.value


def test_start_up_is_not_taken_for_idling(tmp_path: Path) -> None:
    watch = record(tmp_path, [0.0] * 10 + [90.0] * 20 + [0.0] * 5)
    seen = see(telemetry.read(tmp_path / TELEMETRY_FILE), watch)
    gpu = seen.gpus[0]
    assert (gpu.busy_s, gpu.busy_phases) == (20, 1)
    assert (gpu.idle_before_s, gpu.idle_between_s, gpu.idle_after_s, gpu.unknown_s) == (10, 0, 5, 0)
    assert seen_value(tmp_path, "utilization_percent") == pytest.approx(90, abs=0.1)


def test_percentiles_are_weighted_by_time(tmp_path: Path) -> None:
    record(tmp_path, [20.0] * 10 + [80.0] * 30)
    assert seen_value(tmp_path, "utilization_percent") == pytest.approx(65, abs=0.5)
    assert seen_value(tmp_path, "utilization_p5_percent") == 20
    assert seen_value(tmp_path, "utilization_p50_percent") == 80


def test_busy_and_idle_phases_are_counted(tmp_path: Path) -> None:
    record(tmp_path, ([80.0] * 5 + [0.0] * 5) * 3)
    grid = Grid(telemetry.read(tmp_path / TELEMETRY_FILE), 0, 30 * S)
    found = phases(grid, "gpu0_utilization_percent")
    assert [(phase.busy, phase.seconds) for phase in found] == [(True, 5), (False, 5)] * 3
    assert busy_span(found) == (0, 25 * S)


def test_a_gap_is_unknown_and_not_idle(tmp_path: Path) -> None:
    lines = ["t_ns,said,tree_cpu_s,gpu0_utilization_percent"]
    lines += [f"{second * S},,{second},50" for second in (*range(10), *range(20, 30))]
    (tmp_path / "t.csv").write_text("\n".join(lines) + "\n")
    grid = Grid(telemetry.read(tmp_path / "t.csv"), 0, 30 * S)
    assert [phase.busy for phase in phases(grid, "gpu0_utilization_percent")] == [True, None, True]
    assert np.isnan(grid.rate("tree_cpu_s")[10:19]).all()
    assert grid.rate("tree_cpu_s")[:9] == pytest.approx(1.0)


@given(
    st.lists(st.tuples(st.floats(0, 100), st.floats(0.01, 10)), min_size=1, max_size=50),
    st.floats(0, 100),
)
def test_a_percentile_is_a_value_with_enough_weight_below(pairs: list[tuple[float, float]], percent: float) -> None:
    values, weights = np.array([pair[0] for pair in pairs]), np.array([pair[1] for pair in pairs])
    found = percentile(values, weights, percent)
    assert found in values
    assert weights[values <= found].sum() >= percent / 100 * weights.sum() - 1e-9


@given(st.lists(st.sampled_from([0.0, 9.9, 10.0, 100.0, None]), min_size=1, max_size=40))
def test_phases_cover_every_second_once(levels: list[float | None]) -> None:
    times = np.array([second * S for second, level in enumerate(levels) if level is not None], np.int64)
    values = np.array([level for level in levels if level is not None], np.float64)
    recording = telemetry.Telemetry(times, {"gpu0_utilization_percent": values})
    found = phases(Grid(recording, 0, len(levels) * S), "gpu0_utilization_percent")
    assert found[0].start_ns == 0
    assert found[-1].end_ns == len(levels) * S
    assert all(first.end_ns == second.start_ns for first, second in pairwise(found))
    assert all(first.busy != second.busy for first, second in pairwise(found))


# --- verdicts ---


def test_low_utilization_and_one_pinned_thread_suggest_a_python_feed(tmp_path: Path) -> None:
    main = judged(tmp_path, [20.0] * 30, thread=0.97)
    assert (main.cause, main.stage, main.confidence) == ("input_bound", "python_feed", "low")
    assert "does not prove" in main.claim


@pytest.mark.parametrize(("thread", "python"), [(0.90, True), (0.89, False)])
def test_a_thread_is_pinned_from_nine_tenths_of_a_core(thread: float, python: bool, tmp_path: Path) -> None:
    assert (judged(tmp_path, [20.0] * 30, thread=thread).stage == "python_feed") is python


def test_without_threads_a_tree_of_one_core_stands_in(tmp_path: Path) -> None:
    assert judged(tmp_path, [20.0] * 30, cores=1.05).stage == "python_feed"


@pytest.mark.parametrize(("level", "cause"), [(80.0, "compute_bound"), (79.0, "unattributed")])
def test_a_gpu_at_work_four_fifths_of_the_time_is_healthy(level: float, cause: str, tmp_path: Path) -> None:
    assert judged(tmp_path, [level] * 30, cores=2.0, thread=0.5).cause == cause


@pytest.mark.parametrize(("level", "cause"), [(69.0, "batch_too_small"), (70.0, "unattributed")])
def test_room_everywhere_suggests_a_larger_batch(level: float, cause: str, tmp_path: Path) -> None:
    assert judged(tmp_path, [level] * 30, cores=2.0, thread=0.5).cause == cause


def test_a_host_that_hardly_computes_is_no_sign_for_a_larger_batch(tmp_path: Path) -> None:
    assert judged(tmp_path, [30.0] * 30, cores=0.4, thread=0.3).cause == "unattributed"


@pytest.mark.parametrize(("idle", "stage"), [(12, "cold_cache"), (11, None)])
def test_a_disk_that_is_waited_for_while_the_gpu_idles(idle: int, stage: str | None, tmp_path: Path) -> None:
    levels = ([80.0] * 2 + [0.0] * idle + [80.0] * (18 - idle)) + [80.0] * 2
    assert judged(tmp_path, levels, cores=0.3, iowait=0.6, thread=0.2).stage == stage


def test_full_processors_while_the_gpu_idles(tmp_path: Path) -> None:
    main = judged(tmp_path, [80.0] * 2 + [0.0] * 14 + [80.0] * 2, cores=3.9, thread=0.9)
    assert main.cause == "input_bound"
    assert "cores were full" in main.claim


def test_work_in_bursts_is_said(tmp_path: Path) -> None:
    main = judged(tmp_path, ([90.0] * 4 + [0.0] * 4) * 4 + [90.0] * 4, cores=2.0, thread=0.5)
    assert (main.cause, main.confidence) == ("unattributed", "low")
    assert "bursts" in main.claim


def test_a_gpu_that_did_nothing_is_not_where_it_was_computed(tmp_path: Path) -> None:
    assert judged(tmp_path, [0.0] * 20, cores=2.0, thread=0.6).cause == "not_on_gpu"


@pytest.mark.parametrize("options", [{"cores": 0.4}, {"cores": 2.0, "memory": [100.0] * 10 + [164.0] * 10}])
def test_an_idle_gpu_with_an_idle_host_or_a_context_is_not_said_to_be_unused(
    options: dict[str, object], tmp_path: Path
) -> None:
    assert judged(tmp_path, [0.0] * 20, thread=0.3, **options).cause == "unattributed"


def causes(folder: Path, *arguments: object, **options: object) -> tuple[set[str], dict[str, str]]:
    watch = record(folder, *arguments, **options)  # type: ignore[arg-type]
    _, verdict = judge(telemetry.read(folder / TELEMETRY_FILE), watch)
    first = verdict.judged[0]
    return {finding.cause for finding in first.findings}, {rule.cause: rule.reason for rule in first.not_evaluated}


def test_memory_taken_at_once_says_nothing_about_the_need(tmp_path: Path) -> None:
    found, undecided = causes(tmp_path, [50.0] * 20, memory=[100.0] * 2 + [2900.0] * 18)
    assert "gpu_memory_tight" not in found
    assert "TF_FORCE_GPU_ALLOW_GROWTH" in undecided["gpu_memory_tight"]


def test_memory_that_grows_to_the_end_is_tight(tmp_path: Path) -> None:
    grown = [100.0 + 150 * second for second in range(20)]
    assert "gpu_memory_tight" in causes(tmp_path, [50.0] * 20, memory=grown)[0]


@pytest.mark.parametrize(("reasons", "held"), [(0x40, True), (0x20, True), (0x1, False), (0x4, False)])
def test_heat_throttles_and_a_power_cap_at_full_clock_does_not(reasons: int, held: bool, tmp_path: Path) -> None:
    extra = {"gpu0_throttle_reasons": float(reasons), "gpu0_sm_clock_mhz": 1700.0}
    assert ("throttled" in causes(tmp_path, [95.0] * 20, extra=extra)[0]) is held


def test_other_programs_on_the_gpu_are_said(tmp_path: Path) -> None:
    assert "gpu_shared" in causes(tmp_path, [50.0] * 20, extra={"gpu0_other_processes": 1.0})[0]
    found, undecided = causes(tmp_path, [50.0] * 20)
    assert "gpu_shared" not in found
    assert "gpu_shared" in undecided


def test_what_slows_training_beside_its_cause_is_never_the_verdict(tmp_path: Path) -> None:
    extra = {"gpu0_throttle_reasons": 64.0, "gpu0_sm_clock_mhz": 800.0, "gpu0_other_processes": 2.0}
    main = judged(tmp_path, [95.0] * 20, extra=extra)
    assert main.cause == "compute_bound"


def test_without_a_gpu_the_verdict_is_on_the_processor(tmp_path: Path) -> None:
    assert judged(tmp_path, [], cores=3.3, thread=0.9).cause == "compute_bound"
    assert judged(tmp_path, [], cores=1.0, thread=0.98).stage == "python_feed"
    assert "waited most of the time" in judged(tmp_path, [], cores=0.1, thread=0.1).claim
    assert judged(tmp_path, [], cores=0.1, thread=0.1, iowait=0.9).stage == "cold_cache"


def test_a_machine_full_of_others_is_not_taken_for_waiting(tmp_path: Path) -> None:
    main = judged(tmp_path, [], cores=0.8, others=3.2, thread=0.4)
    assert "other programs took 3.2 cores" in main.claim


def test_a_command_that_ran_for_a_moment_gets_no_verdict(tmp_path: Path) -> None:
    watch = record(tmp_path, [], seconds=2)
    _, verdict = judge(telemetry.read(tmp_path / TELEMETRY_FILE), watch)
    assert verdict.verdict.startswith("Too short to judge")
    assert verdict.why == ""


def test_an_empty_recording_gets_no_verdict_and_no_crash(tmp_path: Path) -> None:
    record(tmp_path, [])
    (tmp_path / TELEMETRY_FILE).write_text("t_ns,said,tree_cpu_s\n")
    write_watch(tmp_path)
    assert "No verdict" in (tmp_path / "report.md").read_text()


def test_no_evidence_decides_nothing() -> None:
    findings, undecided = diagnose(Evidence())
    assert findings == ()
    assert undecided
    missing = Signal(name="utilization_percent", unit="%", source="NVML", missing="this GPU does not offer it")
    findings, undecided = diagnose(Evidence(signals=(missing,)))
    assert findings == ()
    assert any("does not offer" in rule.reason for rule in undecided)


@given(
    st.dictionaries(
        st.sampled_from(
            [
                "utilization_percent",
                "utilization_p5_percent",
                "utilization_p95_percent",
                "utilization_idle_fraction",
                "memory_utilization_p95_percent",
                "memory_peak_fraction",
                "memory_jump_fraction",
                "memory_peak_mib",
                "cpu_cores",
                "cpu_limit",
                "cpu_fraction",
                "cpu_p95_fraction",
                "busiest_thread_fraction",
                "iowait_gpu_idle_fraction",
                "cpu_full_gpu_idle_fraction",
                "throttled_heat_fraction",
                "power_cap_fraction",
                "other_gpu_processes",
            ]
        ),
        st.one_of(st.none(), st.floats(0, 100)),
    )
)
def test_whatever_is_known_at_most_one_finding_is_primary(values: dict[str, float | None]) -> None:
    signals = tuple(
        Signal(name=name, unit="1", source="made", value=value, missing="made so" if value is None else None)
        for name, value in values.items()
    )
    findings, _ = diagnose(Evidence(signals=signals))
    assert sum(finding.primary for finding in findings) <= 1
    assert all(finding.confidence in {"low", "medium"} and finding.fix for finding in findings)


@pytest.mark.parametrize(
    ("code", "state", "exit_code"),
    [(0, "done", 0), (1, "failed", 1), (-9, "killed", 137), (-2, "interrupted", 130), (-11, "killed", 139)],
)
def test_an_exit_code_becomes_an_outcome(code: int, state: str, exit_code: int) -> None:
    assert (outcome(code).state, outcome(code).exit_code) == (state, exit_code)
