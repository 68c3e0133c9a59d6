"""TensorBoard's profiler on a real trace of this TensorFlow, asked over HTTP as its page asks."""

from __future__ import annotations

import gzip
import json
import socket
import urllib.request
from pathlib import Path

import pytest
from conftest import Cli

from gpuprobe.errors import InputError, OutputError
from gpuprobe.report.viewer import serving
from gpuprobe.simulate.study import SimulatedStrategy, simulate_study

PLUGIN = "data/plugin/profile"


def ask(address: str) -> bytes:
    with urllib.request.urlopen(address, timeout=120) as response:
        content = bytes(response.read())
    # The plugin compresses whether it was asked to or not.
    return gzip.decompress(content) if content.startswith(b"\x1f\x8b") else content


def test_the_profile_plugin_shows_the_steps(cli: Cli, tmp_path: Path) -> None:
    few = ("--rounds", 1, "--depth", 8, "--batch-size", 8, "--data", "synthetic", "--samples", 256, "--steps", 4)
    done = cli("run", "--strategies", "tfdata_prefetch", *few, "--out", tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    (study,) = tmp_path.iterdir()
    before = set(study.rglob("*"))
    with serving(study, 0) as viewer:
        root = viewer.address.partition("#")[0]
        (run,) = json.loads(ask(f"{root}{PLUGIN}/runs"))
        assert "tfdata_prefetch" in run
        hosts = json.loads(ask(f"{root}{PLUGIN}/hosts?run={run}&tag=overview_page"))
        host = hosts[0]["hostname"] if hosts else ""
        page = json.loads(ask(f"{root}{PLUGIN}/data?run={run}&tag=overview_page&host={host}"))
    steps = next(table["p"]["steptime_ms_average"] for table in page if "steptime_ms_average" in table.get("p", {}))
    assert float(steps) > 0
    assert set(study.rglob("*")) == before, "the study's folder must stay as it was"


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
