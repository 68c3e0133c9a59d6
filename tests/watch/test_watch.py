"""Watching a command: what it must not notice, what is recorded of it, and what its telemetry supports."""

from __future__ import annotations

import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import urllib.request
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from gpuprobe import telemetry
from gpuprobe.recording import TELEMETRY_FILE, WATCH_FILE
from gpuprobe.records import Outcome, Watch, load
from gpuprobe.report.watch import load_report
from gpuprobe.watch.command import outcome_of
from tests.helpers.program import Cli
from tests.helpers.waiting import LIMIT_S, until, until_gone
from tests.helpers.watches import COUNTER, WATCH, record, until_recorded


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


def test_without_a_stderr_the_command_runs_all_the_same(tmp_path: Path) -> None:
    words = " ".join([*WATCH, "--out", str(tmp_path / "r"), "--", "echo", "out", "2>&-"])
    done = subprocess.run(["sh", "-c", words], capture_output=True, text=True, check=False, timeout=LIMIT_S)
    assert (done.stdout, done.returncode) == ("out\n", 0)
    assert (tmp_path / "r" / TELEMETRY_FILE).exists()


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


def test_signals_are_passed_on_once_each_and_the_command_may_outlive_them(tmp_path: Path) -> None:
    watched = start(tmp_path / "r", sys.executable, "-c", COUNTER, "5")
    assert watched.stdout is not None
    assert watched.stdout.readline() == b"ready\n"
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGQUIT):
        watched.send_signal(number)
        assert watched.stdout.readline() == f"got {number.name}\n".encode()
    out, err = watched.communicate(timeout=LIMIT_S)
    assert out == b"SIGINT SIGTERM SIGHUP SIGUSR1 SIGQUIT\n"
    assert watched.returncode == 9
    assert b"Passed on to the command: SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGQUIT" in err


def test_a_signal_to_the_whole_group_reaches_the_command_once(tmp_path: Path) -> None:
    watched = start(tmp_path / "r", sys.executable, "-c", COUNTER, "3", start_new_session=True)
    assert watched.stdout is not None
    assert watched.stdout.readline() == b"ready\n"
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGINT):
        seen_by = witness(watched.pid)
        os.killpg(watched.pid, number)
        assert watched.stdout.readline() == f"got {number.name}\n".encode()
        # The next is seen by another one, which must be there first; after the last the command ends.
        until(lambda was=seen_by: witness(watched.pid) not in {None, was} or watched.poll() is not None)  # type: ignore[misc]
    out, err = watched.communicate(timeout=LIMIT_S)
    assert out == b"SIGINT SIGTERM SIGINT\n"
    assert watched.returncode == 9
    assert b"Passed on" not in err


def witness(pid: int) -> int | None:
    """Return the process with which a watcher sees what its whole group gets, None while it is replaced."""
    with suppress(psutil.NoSuchProcess):
        return next((child.pid for child in psutil.Process(pid).children() if child.name() == "cat"), None)
    return None


def test_a_command_that_ends_on_a_signal_gives_its_number(tmp_path: Path) -> None:
    watched = start(tmp_path / "r", "sh", "-c", "echo ready; exec sleep 600")
    assert watched.stdout is not None
    watched.stdout.readline()
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
    # Long enough to be looked at twice, once a second, and not without computing.
    program = "import os, time; pid = os.fork(); end = time.time() + 4\n"
    program += "while time.time() < end or time.process_time() < 0.5: sum(range(100_000)); time.sleep(0.02)\n"
    program += "pid and os.waitpid(pid, 0)"
    watched = start(tmp_path / "r", sys.executable, "-c", program)
    watched.communicate(timeout=LIMIT_S)
    record = load(Watch, tmp_path / "r" / WATCH_FILE)
    assert len({use.pid for use in record.threads}) == 2
    assert all(use.cpu_s > 0 for use in record.threads)


def test_a_killed_watcher_leaves_the_command_alone_and_a_readable_recording(tmp_path: Path) -> None:
    out, gone, proof = tmp_path / "r", tmp_path / "gone", tmp_path / "proof"
    program = f"echo $$; until [ -e {gone} ]; do sleep 0.1; done; echo alive > {proof}"
    watched = start(out, "sh", "-c", program, stderr=subprocess.DEVNULL)
    assert watched.stdout is not None
    command = int(watched.stdout.readline())
    until(lambda: (out / TELEMETRY_FILE).exists() and telemetry.read(out / TELEMETRY_FILE).series("tree_cpu_s")[0].size)
    watched.kill()
    watched.wait()
    gone.touch()
    until_gone(command)
    assert proof.exists()
    report = load_report(out)
    assert report.watch.ended_ns is None
    assert any("killed" in note or "ended before the command" in note for note in report.verdict.notes)
    until(lambda: not [p for p in psutil.process_iter(["cmdline"]) if str(out) in " ".join(p.info["cmdline"] or [])])


def test_a_killed_command_is_said(tmp_path: Path) -> None:
    watched = start(tmp_path / "r", "sh", "-c", "echo $$; exec sleep 600")
    assert watched.stdout is not None
    os.kill(int(watched.stdout.readline()), signal.SIGKILL)
    _, err = watched.communicate(timeout=LIMIT_S)
    assert watched.returncode == 137
    assert b"ended by SIGKILL" in err


# --- where the recording cannot be kept ---


@pytest.mark.parametrize("where", ["file", "file/below", "taken", "half", "n" * 300, "/proc/nowhere"])
def test_a_folder_that_cannot_be_used_costs_the_recording_and_not_the_command(
    where: str, cli: Cli, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / WATCH_FILE).touch()
    (tmp_path / "half").mkdir()
    (tmp_path / "half" / TELEMETRY_FILE).touch()
    before = sorted(tmp_path.rglob("*"))
    done = cli("watch", "--out", tmp_path / where, "--", "sh", "-c", "echo started; exit 7")
    assert done.returncode == 7
    assert done.stdout == "started\n"
    assert f"{tmp_path / where}: " in done.stderr
    assert "nothing is recorded" in done.stderr
    assert "--out" in done.stderr
    assert sorted(tmp_path.rglob("*")) == before
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


@pytest.mark.parametrize("out", [(), ("--out", "one")], ids=["default", "the same"])
def test_of_watches_that_begin_at_once_each_runs_its_command(out: tuple[str, ...], tmp_path: Path) -> None:
    """Each command goes on only when all have begun; without a name, each has a folder of its own."""
    together = f"touch $0; until [ $(ls {tmp_path}/begun-* | wc -l) = 4 ]; do sleep 0.05; done; exit 5"
    watches = [
        subprocess.Popen(
            [*WATCH, *out, "--", "sh", "-c", together, str(tmp_path / f"begun-{number}")],
            cwd=tmp_path,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(4)
    ]
    said = [watch.communicate(timeout=LIMIT_S)[1] for watch in watches]
    assert [watch.returncode for watch in watches] == [5] * 4, said
    assert sum("nothing is recorded" in words for words in said) == (3 if out else 0), said
    kept = list(tmp_path.glob("one/watch.json" if out else "reports/*-watch*/watch.json"))
    assert [load(Watch, path).outcome for path in kept] == [
        Outcome(state="failed", exit_code=5, message="it ended with exit code 5")
    ] * (1 if out else 4)


def test_a_folder_that_nobody_may_write_into_costs_no_job(tmp_path: Path) -> None:
    """The current folder is gone, so that not even a path can be made."""
    gone = tmp_path / "gone"
    gone.mkdir()
    script = f"cd {gone}; rmdir {gone}; exec {shlex.join(WATCH)} -- sh -c 'echo started; exit 6'"
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=False, timeout=LIMIT_S)
    assert (done.returncode, done.stdout) == (6, "started\n"), done.stderr
    ours = [line for line in done.stderr.splitlines() if not line.startswith("sh: ")]
    assert len(ours) == 1
    assert "nothing is recorded" in ours[0]


# --- GPUs, through the real pynvml ---


@pytest.mark.parametrize("gpus", [1, 2])
def test_each_gpu_is_in_the_summary(gpus: int, driver: Path, cli: Cli, tmp_path: Path) -> None:
    driver.write_text(f"devices {gpus}\nname NVIDIA GeForce GTX 1060 3GB\n")
    done = cli("watch", "--out", tmp_path / "r", "--", *until_recorded(tmp_path / "r", 3.0, "gpu0_utilization_percent"))
    assert done.returncode == 0
    for index in range(gpus):
        assert f"GPU {index} utilization: from its first to its last busy second: mean 19 %" in done.stderr
    assert "No GPU was sampled" not in done.stderr
    assert f"GPU {gpus} " not in done.stderr


def test_a_summary_that_fails_costs_one_line_and_no_exit_code(tmp_path: Path) -> None:
    program = (
        "import gpuprobe.watch.verdict as verdict\n"
        "def judge(*given):\n    raise ZeroDivisionError('made to fail')\n"
        "verdict.judge = judge\n"
        "from gpuprobe.cli._app import main\nmain()\n"
    )
    words = ["watch", "--out", str(tmp_path / "r"), "--", "sh", "-c", "exit 7"]
    done = subprocess.run([sys.executable, "-c", program, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 7
    assert "gpuprobe: the summary failed (ZeroDivisionError: made to fail)" in done.stderr


@pytest.mark.parametrize(
    ("fails", "said"),
    [
        ("gpuprobe.telemetry.sampling", "the recording is not complete: ZeroDivisionError: made to fail"),
        ("gpuprobe.watch.session._MachineLookup", "the recording is not complete: ZeroDivisionError: made to fail"),
        ("gpuprobe.watch.threads.Threads.look", "the recording is not complete: ZeroDivisionError: made to fail"),
        ("gpuprobe.telemetry.session.Sampler.stop", "the recording is not complete"),
        ("gpuprobe.measure.environment.environment", "Recording: "),
    ],
)
def test_what_fails_beside_the_command_is_one_line_and_no_exit_code(fails: str, said: str, tmp_path: Path) -> None:
    program = (
        "from pkgutil import resolve_name\n"
        "def fail(*given, **named):\n    raise ZeroDivisionError('made to fail')\n"
        f"owner, _, name = {fails!r}.rpartition('.')\n"
        "setattr(resolve_name(owner), name, fail)\n"
        "from gpuprobe.cli._app import main\nmain()\n"
    )
    words = ["watch", "--out", str(tmp_path / "r"), "--", "sh", "-c", "sleep 1; echo ran; exit 7"]
    done = subprocess.run([sys.executable, "-c", program, *words], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (7, "ran\n")
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_a_driver_without_a_gpu_gives_a_verdict_on_the_processor(driver: Path, cli: Cli, tmp_path: Path) -> None:
    driver.write_text("devices 0\n")
    done = cli("watch", "--out", tmp_path / "r", "--", *until_recorded(tmp_path / "r", 3.0))
    assert "No GPU was sampled" in done.stderr
    assert "says nothing about a GPU" in done.stderr
    assert "GPU 0" not in done.stderr


def test_a_gpu_that_is_lost_midway_is_named_and_costs_the_command_nothing(
    driver: Path, cli: Cli, tmp_path: Path
) -> None:
    driver.write_text("devices 2\nname Card\nutilization 50\ngpu0.fail.all 15@2\n")
    *shell, lasting = until_recorded(tmp_path / "r", 4.0, "gpu1_utilization_percent")
    done = cli("watch", "--out", tmp_path / "r", "--", *shell, f"{lasting}; echo done")
    assert done.stdout == "done\n"
    assert done.returncode == 0
    assert "gpu0: gpu_lost" in done.stderr
    assert "Verdict: GPU 0 went away while the command ran" in done.stderr
    assert "gpu1: gpu_lost" not in done.stderr
    lost = next(line for line in done.stderr.splitlines() if line.startswith("GPU 0 phases"))
    assert "not known for" in lost


def test_metrics_can_be_fetched_while_the_command_runs(driver: Path, tmp_path: Path) -> None:
    words = [*WATCH, "--out", str(tmp_path / "r"), "--metrics-port", "0", "--", "sleep", "600"]
    watched = subprocess.Popen(words, stderr=subprocess.PIPE, text=True)
    assert watched.stderr is not None
    address = watched.stderr.readline().rpartition(" ")[2].strip()
    text = ""

    def fetched() -> bool:
        nonlocal text
        with urllib.request.urlopen(address, timeout=LIMIT_S) as answer:
            text = answer.read().decode()
        return "gpuprobe_host_tree_memory_mib" in text and "gpuprobe_gpu_power_w" in text

    try:
        until(fetched)
    finally:
        watched.terminate()
        watched.communicate(timeout=LIMIT_S)
    assert watched.returncode == 143
    assert 'gpuprobe_gpu_utilization_percent{gpu="0"} 19.0' in text


def test_a_port_that_is_taken_is_one_line_and_stops_before_the_command(cli: Cli, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = cli("watch", "--out", tmp_path / "r", "--metrics-port", port, "--", "echo", "started")
    assert done.returncode == 2
    assert done.stdout == ""
    assert "--metrics-port" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "r").exists()


# --- the report ---


def test_the_report_of_a_watch_is_written_again(cli: Cli, tmp_path: Path) -> None:
    out = tmp_path / "r"
    cli("watch", "--out", out, "--", "sleep", "0.2")
    done = cli("report", out)
    assert done.returncode == 0, done.stderr
    text = (out / "report.md").read_text()
    assert done.stdout.strip() == str(out / "report.md")
    assert "sleep 0.2" in text
    assert "**Verdict.**" in text
    page = (out / "report.html").read_text()
    assert "<strong>Verdict.</strong>" in page
    assert "default-src 'none'" in page
    assert "{{" not in text
    assert json.loads((out / "report.json").read_text())["watch"]["outcome"]["exit_code"] == 0


@pytest.mark.parametrize("file", [WATCH_FILE, TELEMETRY_FILE])
def test_a_damaged_recording_is_unreadable_input(file: str, cli: Cli, tmp_path: Path) -> None:
    record(tmp_path, [])
    (tmp_path / file).write_text("nonsense")
    done = cli("report", tmp_path)
    assert done.returncode == 3
    assert file in done.stderr


@pytest.mark.parametrize(
    ("code", "state", "exit_code"),
    [(0, "done", 0), (1, "failed", 1), (-9, "killed", 137), (-2, "interrupted", 130), (-11, "killed", 139)],
)
def test_an_exit_code_becomes_an_outcome(code: int, state: str, exit_code: int) -> None:
    assert (outcome_of(code).state, outcome_of(code).exit_code) == (state, exit_code)
