"""The tab of TensorBoard: every trace of a log folder, whoever took it; what it needs is loaded when it is opened."""

from __future__ import annotations

import html
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import unquote_plus

import pytest
from tensorboard.plugins.base_plugin import TBContext
from werkzeug.test import Client

from gpuprobe.board.plugin import Plugin
from gpuprobe.board.sessions import log_folders, sessions_in
from gpuprobe.simulate import xplane
from gpuprobe.simulate.engine import simulate
from gpuprobe.simulate.sessions import write_session
from gpuprobe.simulate.spec import Recording, Spec
from gpuprobe.stepview.chrome import write_chrome
from tests.stepview.test_page import SLOW_LAUNCHES, START_NS, Data, breakdown_of


def plugin_on(logdir: Path | str, spec: str = "") -> Plugin:
    flags = SimpleNamespace(logdir_spec=spec, path_prefix="")
    return Plugin(TBContext(logdir=str(logdir), flags=flags, plugin_name_to_instance={"profile": object()}))


def ask(plugin: Plugin, path: str, **query: str) -> str:
    answer = Client(plugin.get_plugin_apps()[path]).get(path, query_string=query)
    assert answer.status_code == 200, answer.text
    return answer.text


def listed(page: str) -> list[str]:
    return [unquote_plus(name) for name in re.findall(r'href="tab\?trace=([^"]*)"', page)]


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log folder as people have it: TensorFlow's own, a recording of ours, a Chrome trace, and a damaged file."""
    top = tmp_path_factory.mktemp("logs")
    tensorflow = top / "user" / "train" / "plugins" / "profile" / "2026_01_01_00_00_00"
    tensorflow.mkdir(parents=True)
    written = xplane.write(simulate(SLOW_LAUNCHES), top / "elsewhere", START_NS)
    written.rename(tensorflow / "host.xplane.pb")
    write_session(Spec(name="ours", recording=Recording(window_s=1.0)), top / "study")
    (top / "torch").mkdir()
    write_chrome(breakdown_of(SLOW_LAUNCHES, top / "again"), top / "torch" / "rank0.trace.json.gz")
    (top / "broken").mkdir()
    (top / "broken" / "host.xplane.pb").write_bytes(b"\x0a\xff\x01nothing")
    (top / "loop").symlink_to(top)
    return top


@pytest.fixture(scope="module")
def plugin(logs: Path) -> Plugin:
    return plugin_on(logs)


def test_it_finds_every_trace_whoever_took_it(plugin: Plugin) -> None:
    assert plugin.is_active()
    names = listed(ask(plugin, "/tab"))
    assert {"user/train/2026_01_01_00_00_00", "torch", "broken"} <= set(names)
    (ours,) = [name for name in names if name.startswith("study/runs/1-ours/trace/")]
    page = ask(plugin, "/tab", trace=ours)
    assert '<div class="ribbon">SIMULATED</div>' in page, "its own record is read too"
    for name in ("user/train/2026_01_01_00_00_00", "torch"):
        page = ask(plugin, "/tab", trace=name)
        assert "launch_bound" in page
        assert "A bar is a step" in page
        assert page.count('class="bar"') == SLOW_LAUNCHES.steps
        step = ask(plugin, "/step", trace=name)
        assert Data.of(step).header["lanes"]
        assert "<header>" not in step, "the verdict stands beside it"
    assert "cannot be read" in ask(plugin, "/tab", trace="broken")


def test_it_compares_the_traces_over_time(plugin: Plugin) -> None:
    page = ask(plugin, "/over_time")
    found = page.count('class="bar"')
    assert found >= 3
    assert "more trace" in page, "the damaged one has no bar"


def test_it_links_to_the_profiler_what_that_can_see(plugin: Plugin) -> None:
    seen = ask(plugin, "/tab", trace="user/train/2026_01_01_00_00_00")
    assert "trace_viewer_index.html" in seen
    assert "run%3Duser%2Ftrain%2F2026_01_01_00_00_00" in seen
    assert "trace_viewer_index.html" not in ask(plugin, "/tab", trace="torch")


def test_a_step_is_asked_for_by_the_name_of_a_trace_alone(plugin: Plugin) -> None:
    answer = Client(plugin.get_plugin_apps()["/step"]).get("/step", query_string={"trace": "../../etc/passwd"})
    assert answer.status_code == 404


def test_the_policy_of_tensorboard_lets_our_script_run(plugin: Plugin) -> None:
    answer = Client(plugin.get_plugin_apps()["/step"]).get("/step", query_string={"trace": "torch"})
    own = re.search(r"script-src ('sha256-[^']+')", html.unescape(answer.text))
    assert own is not None
    assert own[1] in answer.headers["Content-Security-Policy"]


def test_without_a_trace_it_says_how_to_take_one(tmp_path: Path) -> None:
    plugin = plugin_on(tmp_path)
    assert not plugin.is_active()
    assert "No trace in this log folder yet" in ask(plugin, "/tab")
    assert not plugin_on("gs://bucket/logs").is_active()


def test_a_trace_that_is_written_again_is_read_again(tmp_path: Path) -> None:
    plugin = plugin_on(tmp_path)
    written = xplane.write(simulate(SLOW_LAUNCHES), tmp_path, START_NS)
    first = re.findall("<h1>.*</h1>", ask(plugin, "/tab"))
    written.unlink()
    xplane.write(simulate(Spec()), tmp_path, START_NS)
    assert re.findall("<h1>.*</h1>", ask(plugin, "/tab")) != first


def test_several_log_folders_are_told_apart_by_their_names(logs: Path) -> None:
    folders = log_folders("", f"a:{logs / 'user'},b:{logs / 'torch'},{logs / 'none'}")
    assert [*folders] == ["a", "b"]
    assert {"a/train/2026_01_01_00_00_00", "b"} == set(sessions_in(folders))


def test_tensorboard_starts_without_waiting_for_it() -> None:
    """It is imported at each start of TensorBoard: neither numpy nor anything of ours comes with it."""
    script = (
        "import sys; import gpuprobe.board.plugin; print(*sorted(m for m in sys.modules if m.startswith('gpuprobe')))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["gpuprobe", "gpuprobe.board", "gpuprobe.board.plugin"]
