"""Scripts that nobody changed are attached to, and keep their environment; traces of jobs that are running."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from threading import Thread

import pytest

from gpuprobe.keras.attach import hook_environment
from tests.helpers.program import Cli
from tests.helpers.waiting import LIMIT_S, until

SCRIPT = """
import os, sys, json
if "ANEW" not in os.environ:
    os.environ["ANEW"] = "yes"
    os.execl(sys.executable, sys.executable, *sys.argv)
import numpy as np
import sub.helper
from tensorflow import keras
from keras import Sequential, layers, Input

class Mine(Sequential):
    pass

net = Mine([Input((4,)), layers.Dense(1)])
net.compile("sgd", "mse")
x = np.ones((64, 4), "float32")
history = net.fit(x, x[:, :1], 8, 2, 0)
given = [keras.callbacks.TerminateOnNaN()]
net.fit(x, x[:, :1], batch_size=8, epochs=1, verbose=0, callbacks=given)
assert len(given) == 1

# As under MultiWorkerMirroredStrategy, where fit fails by a bug of Keras.
class Other(Sequential):
    pass

def fails(force=False):
    Other.distribute_strategy = type("CollectiveAllReduceStrategy", (), {})()
    raise ValueError("Attempt to convert a value (PerReplica:{0: x}) with an unsupported type (y)")

bad = Other([Input((4,)), layers.Dense(1)])
bad.compile("sgd", "mse")
bad.make_train_function = fails
try:
    bad.fit(x, x[:, :1], verbose=0)
except ValueError as error:
    assert "PerReplica" in str(error), error
print(json.dumps({
    "keys": sorted(history.history),
    "path": os.environ.get("PYTHONPATH"),
    "left": [name for name in os.environ if name.startswith("GPUPROBE")],
    "mine": os.environ.get("MINE_RAN"),
    "startup": [place for place in sys.path if place.endswith("startup")],
    "customized": sys.modules["sitecustomize"].__file__,
}))
"""


@pytest.fixture
def script(tmp_path: Path) -> Path:
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "sitecustomize.py").write_text("import os\nos.environ['MINE_RAN'] = 'yes'\n")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "helper.py").write_text("")
    (tmp_path / "train.py").write_text(SCRIPT)
    return tmp_path / "train.py"


def started(script: Path, environment: dict[str, str], *flags: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *flags, str(script)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, cwd=script.parent)


def test_an_unmodified_script_is_attached_to_and_keeps_its_environment(script: Path, tmp_path: Path) -> None:
    before = {**os.environ, "PYTHONPATH": str(tmp_path / "own")}
    done = started(script, hook_environment(before, tmp_path / "out"))
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout.splitlines()[-1])
    assert said["keys"] == ["loss"], "the script sees nothing of it"
    ours = [name for name in before if name.startswith("GPUPROBE")]
    assert (said["path"], said["mine"], said["left"], said["startup"]) == (before["PYTHONPATH"], "yes", ours, [])
    assert said["customized"] == str(tmp_path / "own" / "sitecustomize.py")
    assert (tmp_path / "out" / "fit-failed.txt").read_text() == "keras-team/keras#20585"
    studies = sorted((tmp_path / "out").glob("*-fit*"))
    assert len(studies) == 2, "each fit has a recording"
    for study in studies:
        assert json.loads((study / "runs" / "1-fit" / "run.json").read_text())["outcome"]["state"] == "done"


def test_what_the_hook_cannot_do_leaves_the_script_alone(tmp_path: Path) -> None:
    plain = tmp_path / "plain.py"
    plain.write_text("import sys, os\nprint([m for m in sys.modules if m in ('keras', 'numpy', 'tensorflow')], "
                     "'PYTHONPATH' in os.environ)\n")  # fmt: skip
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = started(plain, hook_environment(environment, tmp_path / "out"))
    assert (done.stdout.strip(), done.stderr) == ("[] False", "")
    nowhere = {**hook_environment(environment, tmp_path / "out"), "GPUPROBE_HOME": "/nowhere"}
    # Without site-packages this is an interpreter that has no gpuprobe.
    done = started(plain, {**nowhere, "PYTHONHOME": sys.base_prefix}, "-s")
    assert done.stdout.strip() == "[] False"


SERVER = """
import sys
import time
import numpy as np, keras, tensorflow as tf
tf.profiler.experimental.server.start(int(sys.argv[1]))
net = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
net.compile("sgd", "mse")
x = np.ones((800, 4), "float32")
print("training", flush=True)
# It trains for as long as the test lasts, and would take all of the processor.
rests = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: time.sleep(0.05))
net.fit(x, x[:, :1], batch_size=8, epochs=100000, verbose=0, callbacks=[rests])
"""


# What TensorFlow logs where it begins a trace.
TRACING = "Profiler session started"


def test_a_trace_from_a_running_profiler_server(tmp_path: Path, cli: Cli) -> None:
    pytest.importorskip("tensorflow")
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    silent = cli("capture", "--port", port, "--time", "1s", "--out", tmp_path / "none")
    assert (silent.returncode, len(silent.stderr.splitlines()[-1:])) == (5, 1), silent.stderr
    (tmp_path / "job.py").write_text(SERVER)
    log = tmp_path / "log.txt"
    with log.open("w") as logged:
        job = subprocess.Popen(
            [sys.executable, tmp_path / "job.py", str(port)],
            stdout=subprocess.PIPE,
            stderr=logged,
            text=True,
            env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "0"},
        )
    try:
        assert job.stdout is not None
        assert job.stdout.readline().strip() == "training"
        refused = cli("capture", "--pid", job.pid)
        assert refused.returncode == 2
        assert "no Probe" in refused.stderr
        nowhere = cli("capture", "--port", port, "--out", "/proc/nowhere")
        assert (nowhere.returncode, len(nowhere.stderr.splitlines())) == (4, 1), nowhere.stderr
        done = cli("capture", "--port", port, "--time", "1s", "--out", tmp_path / "trace")
        assert done.returncode == 0, done.stderr
        (trace,) = (tmp_path / "trace" / "plugins" / "profile").glob("*/*.xplane.pb")
        assert done.stdout == f"{trace}\n"
        assert job.poll() is None, "the job goes on"
        before = log.read_text().count(TRACING)
        words = ("capture", "--port", str(port), "--time", "600s", "--out", str(tmp_path / "gone"))
        gone = subprocess.Popen(
            [sys.executable, "-m", "gpuprobe.cli", *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        until(lambda: log.read_text().count(TRACING) > before, "a trace")
        job.kill()
        out, err = gone.communicate(timeout=LIMIT_S)
        assert (gone.returncode, out) == (1, "")
        assert "the job ended" in err
        assert not (tmp_path / "gone").exists()
    finally:
        job.kill()
        job.wait()


@pytest.mark.parametrize(
    ("host", "code", "said"),
    [
        ("::1", 2, "takes no IPv6 address"),
        ("[::1]", 2, "takes no IPv6 address"),
        ("http://localhost", 2, "a name or an IPv4 address;"),
        ("", 2, "a name or an IPv4 address;"),
        ("nobody.invalid", 5, "the host name cannot be resolved"),
        ("a" * 300, 5, "the host name cannot be resolved"),
        ("127.0.0.2", 5, "nothing answers (Connection refused)"),
    ],
)
def test_a_host_that_is_none_is_one_clear_line(host: str, code: int, said: str, cli: Cli) -> None:
    done = cli("capture", "--host", host, "--port", 1)
    assert (done.returncode, len(done.stderr.splitlines())) == (code, 1), done.stderr
    assert said in done.stderr


def quiet(server: socket.socket) -> None:
    """Take no connection: the kernel does, and nobody says anything."""


def closing(server: socket.socket) -> None:
    server.accept()[0].close()


def of_the_web(server: socket.socket) -> None:
    with server.accept()[0] as connection:
        connection.recv(100)
        connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")


def silent_after_its_settings(server: socket.socket) -> None:
    with server.accept()[0] as connection:
        connection.sendall(bytes([0, 0, 0, 4, 0, 0, 0, 0, 0]))
        while connection.recv(100):
            pass


def talking_of_other_things(server: socket.socket) -> None:
    with server.accept()[0] as connection, suppress(OSError):
        while True:
            connection.sendall(bytes([0, 0, 0, 4, 0, 0, 0, 0, 0]))
            time.sleep(0.1)


@pytest.mark.parametrize(
    ("serve", "said"),
    [
        (quiet, "accepted the connection but did not answer within 5 s"),
        (silent_after_its_settings, "accepted the connection but did not answer within 5 s"),
        (talking_of_other_things, "accepted the connection but did not answer within 5 s"),
        (closing, "closed the connection"),
        (of_the_web, "answered, but is not a profiler server"),
    ],
)
def test_what_is_no_profiler_server_is_told_by_us_alone_within_seconds(
    serve: Callable[[socket.socket], None], said: str, tmp_path: Path, cli: Cli
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        Thread(target=serve, args=(server,), daemon=True).start()
        port = server.getsockname()[1]
        done = cli("capture", "--host", "127.0.0.1", "--port", port, "--out", tmp_path / "trace")
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (5, "", 1), done.stderr
    assert done.stderr.startswith(f"gpuprobe: 127.0.0.1:{port}: {said}")
    assert not (tmp_path / "trace").exists()


def test_what_cannot_be_captured_is_one_clear_line(cli: Cli) -> None:
    both, gone = cli("capture"), cli("capture", "--pid", 4_000_000)
    assert (both.returncode, gone.returncode) == (2, 3)
    assert len(gone.stderr.splitlines()) == 1


def test_a_process_that_catches_the_signal_for_itself_is_not_asked_and_the_one_that_listens_is_named(cli: Cli) -> None:
    """A shell catches every signal that would end it, and ends by it."""
    catching = "import signal, time; signal.signal(signal.SIGUSR2, lambda *_: exit(3)); print(flush=True); "
    shell, job = (
        subprocess.Popen(
            [sys.executable, "-c", f"{catching}{announcing}; time.sleep(300)"], stdout=subprocess.PIPE, text=True
        )
        for announcing in ("0", "from gpuprobe.keras.listening import announce; announce(); print(flush=True)")
    )
    try:
        assert shell.stdout is not None
        assert job.stdout is not None
        assert [shell.stdout.readline(), job.stdout.readline(), job.stdout.readline()] == ["\n"] * 3
        refused = cli("capture", "--pid", shell.pid)
        assert refused.returncode == 2
        assert f"--pid {job.pid}" in refused.stderr
        assert shell.poll() is None
        asked = cli("capture", "--pid", job.pid)
        assert (asked.returncode, job.wait()) == (0, 3)
    finally:
        for process in (shell, job):
            process.kill()
            process.wait()


IDLE = """
import sys, time, tensorflow as tf
tf.profiler.experimental.server.start(int(sys.argv[1]))
print("idle", flush=True)
time.sleep(300)
"""


def test_a_server_whose_job_runs_no_step_is_one_clear_line(tmp_path: Path, cli: Cli) -> None:
    pytest.importorskip("tensorflow")
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    job = subprocess.Popen([sys.executable, "-c", IDLE, str(port)], stdout=subprocess.PIPE, text=True)
    try:
        assert job.stdout is not None
        assert job.stdout.readline().strip() == "idle"
        done = cli("capture", "--port", port, "--time", "1s", "--out", tmp_path / "trace")
        assert done.returncode == 1
        assert "sent no trace, as when no step runs" in done.stderr
        assert not (tmp_path / "trace").exists()
    finally:
        job.kill()
        job.wait()
