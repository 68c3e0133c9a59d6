"""What `benchmarks/gpu.py` found as a page and as README's table; without a GPU it claims nothing."""

from __future__ import annotations

import importlib
import importlib.util
import json
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from gpuprobe.diagnosis.causes import CAUSES

if TYPE_CHECKING:
    from types import ModuleType

ROOT = Path(__file__).parent.parent.parent
FOUND: dict[str, Any] = {
    "backend": "jax",
    "card": "A card",
    "proved_on": "A card",
    "incomplete": {"callback": "left out: 3 s were left, and it takes 20 s"},
    "card_readings": {"at_work": {"power_w": {"nvml": 61.5, "nvidia_smi": 61.4}}},
    "sampler": {"core_share": 0.012, "readings": 120},
    "study": {
        "rows": [{"strategy": "numpy", "samples_per_s": 1234.0}],
        "predictions": [{"error": -0.1}, {"error": 0.02}, {"error": None}],
        "profiler_slowdown": [1.1, 1.3, 1.2],
    },
    "flaws": {
        "judged": {
            "healthy": {"expected": ["compute_bound"], "cause": "compute_bound"},
            "slow": {"expected": ["input_bound"], "cause": "host_work"},
            "late": {"expected": ["input_bound"], "missing": "took too long"},
        }
    },
    "totals": {"traces": [{"ours_kernel_fraction": 0.5, "grid_kernel_fraction": 0.501}]},
}


def script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "benchmarks" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_table_tells_what_was_wrong_too() -> None:
    told = dict(script("gpu_page").rows(FOUND))
    assert told["NVML against nvidia-smi"] == "power_w 61.5 against 61.4"
    assert told["predictions beside measurements"] == "2, median error 6.0 %, worst 10.0 %"
    assert told["what the profiler slows"] == "1.20 times, median of 3 runs"
    assert told["flaws put in"] == "1 of 3 called right; slow as host_work, late as took too long"
    assert told["what the callback slows"] == "not measured"
    assert "0.0010" in told["kernel time added up twice"]


def test_nothing_is_claimed_without_a_gpu() -> None:
    page = script("gpu_page")
    off = {**FOUND, "proved_on": ""}
    assert page.table(FOUND).count("not yet on a GPU") == 0
    lines = page.table(off).splitlines()[2:]
    assert lines
    assert all(line.endswith("| not yet on a GPU |") for line in lines)
    assert "not yet on a GPU" in page.page(off)
    assert "Incomplete: callback: left out: 3 s were left" in page.page(off)


def test_readme_has_the_table_that_the_script_makes() -> None:
    page = script("gpu_page")
    readme = (ROOT / "README.md").read_text()
    assert page.MARKS.search(readme)
    assert page.table(page.json.loads(page.KEPT.read_text()) if page.KEPT.is_file() else {}) in readme


def test_the_requirements_without_tensorflow_are_the_package_s_own() -> None:
    tomllib = pytest.importorskip("tomllib" if sys.version_info >= (3, 11) else "tomli")
    needed = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    listed = [
        line
        for line in (ROOT / "requirements-without-tensorflow.txt").read_text().splitlines()
        if line and not line.startswith("#")
    ]
    assert listed == [one for one in needed if not one.startswith("tensor")]


def test_what_is_carried_covers_what_the_target_lacks() -> None:
    def names(lines: list[str]) -> set[str]:
        return {line.partition(">")[0].partition(";")[0].strip() for line in lines if line and line[0] != "#"}

    there = {
        "numpy",
        "matplotlib",
        "psutil",
        "nvidia-ml-py",
        "protobuf",
        "jinja2",
        "rich",
        "scipy",
        "markdown-it-py",
        "tomli",
    }
    needed = names((ROOT / "requirements-without-tensorflow.txt").read_text().splitlines())
    assert needed - there <= names((ROOT / "benchmarks" / "carried.txt").read_text().splitlines())


def test_what_a_flaw_must_be_called_is_a_cause() -> None:
    for name, expected in script("gpu_expected").EXPECTED.items():
        assert all(cause in CAUSES for cause in expected), name


class Clock:
    """Stands for the module `time`: passes as stages take it."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def monotonic(self) -> float:
        return self.now_s


@pytest.fixture
def proof(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Return the command, with a clock of its own and without a card."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    module, clock = importlib.import_module("gpu"), Clock()
    for each in (module, importlib.import_module("gpu_proof")):
        monkeypatch.setattr(each, "time", clock)
    monkeypatch.setattr(module.telemetry, "inventory", lambda: SimpleNamespace(gpus=()))
    return module


def staged(proof: ModuleType, monkeypatch: pytest.MonkeyPatch, **seconds: float) -> list[tuple[str, float]]:
    """Put stages of so many seconds in place of the real ones; return what each was given as it began."""
    given: list[tuple[str, float]] = []

    def stage(name: str, takes_s: float) -> Any:
        def run(found: Any) -> dict[str, Any]:
            given.append((name, found.left_s))
            spent_s = max(0, min(takes_s, found.left_s))
            proof.time.now_s += spent_s
            if takes_s < 0:
                raise ValueError(name)
            return {"done": spent_s == takes_s, "covered": f"{spent_s:.0f} of {takes_s:.0f}"}

        return proof.Stage(run, 10, 0.25)

    monkeypatch.setattr(proof, "STAGES", {name: stage(name, takes_s) for name, takes_s in seconds.items()})
    return given


def test_stages_share_the_time_and_go_on_where_it_ended(
    proof: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ["gpu.py", "--minutes", "2", "--backend", "jax", "--out", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", command)
    given = staged(proof, monkeypatch, first=6, endless=1000, third=30, last=5)
    assert proof.main() == 0
    # Thirty seconds each; what the first leaves is the second's too, and the last two keep theirs.
    assert given == [("first", 30.0), ("endless", 54.0), ("third", 30.0), ("last", 30.0)]
    kept = json.loads((tmp_path / "gpu.json").read_text())
    assert [name for name in ("first", "endless", "third", "last") if kept[name]["done"]] == ["first", "third", "last"]
    assert kept["incomplete"] == {"endless": "54 of 1000 (54 s)"}
    assert kept["proved_on"] == ""
    again = staged(proof, monkeypatch, first=6, endless=100, third=30, last=5)
    assert proof.main() == 0
    assert again == [("endless", 120.0)]
    assert json.loads((tmp_path / "gpu.json").read_text())["incomplete"] == {}
    assert "not yet on a GPU" in (tmp_path / "gpu.html").read_text()


def test_a_stage_that_fails_costs_no_other_and_too_little_time_is_said(
    proof: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["gpu.py", "--minutes", "0.2", "--backend", "jax", "--out", str(tmp_path)])
    staged(proof, monkeypatch, failing=-1, good=9, late=1)
    assert proof.main() == 0
    kept = json.loads((tmp_path / "gpu.json").read_text())
    assert kept["failing"]["missing"] == "it ended with ValueError"
    assert kept["good"]["done"]
    assert kept["incomplete"] == {
        "failing": "it ended with ValueError (0 s)",
        "late": "left out: 3 s were left, and it takes 10 s",
    }


def test_shares_make_up_the_whole_time_and_no_stage_needs_more_than_its_own(proof: ModuleType) -> None:
    assert sum(stage.share for stage in proof.STAGES.values()) == pytest.approx(1.0)
    assert all(stage.least_s <= 8 * 60 * stage.share for stage in proof.STAGES.values())
    assert next(iter(proof.STAGES)) == "doctor", "the study asks it for a GPU"
    assert list(proof.STAGES)[-2:] == ["study", "totals"], "the study uses what time the others leave"


def test_a_flaw_without_a_verdict_is_tried_again(
    proof: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = list(script("gpu_expected").EXPECTED)
    tried: list[str] = []

    def judged(found: Any, name: str, limit_s: float) -> dict[str, Any]:
        tried.append(name)
        return {"missing": "the training failed (1)"} if len(tried) == 1 else {"cause": "compute_bound"}

    monkeypatch.setattr(proof.stages, "_judged", judged)
    running = proof.Proof(tmp_path, "jax", 1000.0)
    told = proof.stages.flaws(running)
    assert (told["done"], told["covered"]) == (False, f"{len(names) - 1} of {len(names)} flaws")
    running.keep("flaws", told)
    assert proof.stages.flaws(running)["done"]
    assert tried == [*names, names[0]]


PRINTS_AND_HANGS = """
import signal, sys, time
signal.signal(signal.SIGINT, signal.SIG_IGN)
print("STEP_MS 2.0 2.1", flush=True)
print("STEP_MS 2.0", end="", flush=True)
time.sleep(60)
"""


def test_what_a_stage_printed_before_its_time_ended_counts(
    proof: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.import_module("gpu_proof"), "time", time)
    script = tmp_path / "hangs.py"
    script.write_text(PRINTS_AND_HANGS)
    running = proof.Proof(tmp_path, "jax", time.monotonic() + 3)
    answer = running.python(script, grace_s=0.1)
    assert answer.code is None
    assert running.left_s > -2
    monkeypatch.setattr(proof.Proof, "python", lambda *_words, **_limits: answer)
    told = proof.stages.callback(running)
    assert (told["done"], told["bare_ms"], told["probed_ms"]) == (False, (2.0,), (2.1,))
    assert told["covered"] == "1 turns, and 3 are wanted"
