"""TensorBoard on a real trace of this TensorFlow: our tab and the profiler, asked over HTTP and in a browser."""

from __future__ import annotations

import gzip
import json
import shutil
import socket
import subprocess
import urllib.request
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from gpuprobe.errors import InputError, OutputError
from gpuprobe.report.viewer import serving
from tests.helpers.browser import browser as tab_of_browser
from tests.helpers.studies import SimulatedStrategy, simulate_study
from tests.helpers.waiting import LIMIT_S
from tests.stepview.test_page import Data

PLUGIN, OURS = "data/plugin/profile", "data/plugin/gpuprobe"
STEP = "document.querySelector('iframe')?.contentDocument?.querySelector('iframe.step')?.contentDocument?.body"
# Entry points are those of when the package was installed.
INSTALLED = any(one.name == "gpuprobe" for one in entry_points(group="tensorboard_plugins"))
needs_entry_point = pytest.mark.skipif(
    not INSTALLED, reason="gpuprobe was installed before it had a plugin for TensorBoard: pip install -e . again"
)
# No network is asked for anything; the page gets twenty seconds of its own time to draw.
HEADLESS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--virtual-time-budget=20000",
)  # fmt: skip


def ask(address: str) -> bytes:
    with urllib.request.urlopen(address, timeout=LIMIT_S) as response:
        content = bytes(response.read())
    # The plugin compresses whether it was asked to or not.
    return gzip.decompress(content) if content.startswith(b"\x1f\x8b") else content


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study with one short, real trace of a training that tf.data feeds."""
    keras, tf = pytest.importorskip("keras"), pytest.importorskip("tensorflow")
    from gpuprobe.keras import Probe

    out = tmp_path_factory.mktemp("view")
    net = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    net.compile("sgd", "mse", jit_compile=False)
    batch = tf.ones((8, 4)), tf.ones((8, 1))
    data = tf.data.Dataset.from_tensors(batch).repeat(30).map(lambda x, y: (x, y), tf.data.AUTOTUNE).prefetch(2)
    net.fit(data, epochs=1, verbose=0, callbacks=[Probe(out, name="view", trace_at=9, verbose=False)])
    (folder,) = out.iterdir()
    return folder


@needs_entry_point
def test_our_tab_and_the_profile_plugin_show_the_steps(study: Path) -> None:
    before = set(study.rglob("*"))
    with serving(study, 0) as viewer:
        root = viewer.address.partition("#")[0]
        (run,) = json.loads(ask(f"{root}{PLUGIN}/runs"))
        assert "1-fit" in run
        hosts = json.loads(ask(f"{root}{PLUGIN}/hosts?run={run}&tag=overview_page"))
        host = hosts[0]["hostname"] if hosts else ""
        page = json.loads(ask(f"{root}{PLUGIN}/data?run={run}&tag=overview_page&host={host}"))
        tab = ask(f"{root}{OURS}/tab").decode()
        step = ask(f"{root}{OURS}/step?trace={run}").decode()
    steps = next(table["p"]["steptime_ms_average"] for table in page if "steptime_ms_average" in table.get("p", {}))
    assert float(steps) > 0
    assert f"<b>{study.name}" not in tab
    assert f'aria-current="page">{run}' in tab, "the tab calls a trace as the profiler does"
    assert "tf_data" in str(Data.of(step).header["lanes"])
    assert set(study.rglob("*")) == before, "the study's folder must stay as it was"


@needs_entry_point
def test_a_browser_shows_our_tab_and_the_trace_viewer(study: Path, tmp_path: Path) -> None:
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("no Chromium on this machine")
    with serving(study, 0) as viewer:
        with tab_of_browser() as tab:
            tab.media()
            tab.open(viewer.address)
            assert tab.wait(f"{STEP}?.dataset.readyMs"), "the step is drawn within the tab"
            assert not [trouble for trouble in tab.troubles if "gpuprobe" in trouble]
        page = subprocess.run(
            [browser, *HEADLESS, f"--user-data-dir={tmp_path}", "--dump-dom", viewer.pages[0].address],
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )
    # The names of the host's threads come from the trace; the page without it has none.
    assert "tf_data_iterator" in page.stdout, page.stderr[-2000:]
    assert "/host:CPU" in page.stdout


def test_without_a_trace_or_a_port_it_is_one_clear_line(tmp_path: Path) -> None:
    simulate_study(tmp_path, [SimulatedStrategy(name="a", step_ms=10.0)], rounds=1)
    with pytest.raises(InputError, match="holds no traces"), serving(tmp_path, 0):
        pass
    trace = tmp_path / "runs" / "1-a" / "trace" / "plugins" / "profile" / "now" / "host.xplane.pb"
    trace.parent.mkdir(parents=True)
    trace.touch()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        with pytest.raises(OutputError, match=f"port {port} is taken"), serving(tmp_path, port):
            pass
