"""Data flows one way through the house: the imports prove it."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
COMMON = {"errors", "recording", "records", "units", "wording"}

# What each room may import: our own rooms (besides the common files), then the packages that only some may use.
ROOMS: dict[str, tuple[set[str], set[str]]] = {
    "models": (set(), {"keras"}),
    "workloads": ({"models"}, {"tensorflow", "keras"}),
    "strategies": ({"workloads", "cards"}, {"tensorflow", "keras"}),
    "api": ({"measure", "ranking", "report", "results", "strategies", "workloads"}, set()),
    "results": ({"ranking", "report", "diagnosis"}, set()),
    "measure": ({"strategies", "workloads", "telemetry"}, {"tensorflow", "keras", "psutil"}),
    "telemetry": (set(), {"pynvml", "psutil"}),
    "traces": (set(), {"google"}),
    "ledger": ({"traces", "cards"}, set()),
    "cards": (set(), set()),
    "diagnosis": ({"ledger", "traces", "telemetry", "cards"}, set()),
    "ranking": ({"telemetry", "traces", "ledger", "diagnosis"}, {"scipy"}),
    "compare": ({"ranking", "ledger", "diagnosis", "traces", "telemetry"}, set()),
    "simulate": ({"traces", "telemetry", "cards"}, {"google"}),
    "predict": ({"cards", "ranking"}, set()),
    # TensorFlow is asked in a child process alone: `probe.py` is that child.
    "doctor": ({"telemetry", "cards"}, {"psutil", "tensorflow"}),
    "watch": ({"telemetry", "diagnosis"}, {"psutil"}),
    "keras": ({"telemetry", "measure", "diagnosis"}, {"keras", "tensorflow"}),
    "report": (
        {"ranking", "ledger", "diagnosis", "telemetry", "traces", "cards", "watch", "compare"},
        {"matplotlib", "jinja2", "markdown_it"},
    ),
    "sharing": ({"report", "ranking", "telemetry", "traces"}, {"psutil"}),
}
# Files with a heavy import that the rest of their room must not have.
ONLY_IN = {
    "pynvml": {"gpuprobe/telemetry/nvml.py"},
    "click": {"gpuprobe/cli"},
    "rich": {"gpuprobe/cli"},
}
GUARDED = {
    "tensorflow",
    "keras",
    "pynvml",
    "psutil",
    "scipy",
    "matplotlib",
    "jinja2",
    "markdown_it",
    "click",
    "rich",
    "google",
}


def files() -> list[Path]:
    return sorted([*ROOT.glob("gpuprobe/**/*.py"), *ROOT.glob("models/**/*.py")])


def room_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return "models" if parts[0] == "models" else (parts[1] if len(parts) > 1 else "")


def imported(path: Path) -> set[str]:
    """Return every dotted module that the file imports, wherever in it the import stands."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


@pytest.mark.parametrize("path", files(), ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_imports_only_what_its_room_may(path: Path) -> None:
    room = room_of(path)
    if room in {"cli", "__init__"} | COMMON:
        # The package's own file names what it imports lazily, for the type checker.
        own: set[str] | None = None if room in {"cli", "__init__"} else COMMON
        packages = {"click", "rich"} if room == "cli" else set()
    else:
        own, packages = ROOMS[room][0] | COMMON | {room}, ROOMS[room][1]
    for name in imported(path):
        top, _, rest = name.partition(".")
        if top == "gpuprobe" and rest and own is not None and not rest.startswith("__"):
            assert rest.split(".")[0] in own, f"{room} must not import gpuprobe.{rest}"
        if top in GUARDED:
            assert top in packages, f"{room} must not import {top}"
            places = ONLY_IN.get(top)
            where = str(path.relative_to(ROOT))
            assert places is None or any(where.startswith(place) for place in places), f"{where} imports {top}"


def test_every_package_is_installed() -> None:
    listed = (ROOT / "pyproject.toml").read_text()
    packages = {".".join(p.parent.relative_to(ROOT).parts) for p in ROOT.glob("gpuprobe/**/__init__.py")}
    missing = [name for name in packages if f'"{name}"' not in listed]
    assert not missing, f"pyproject.toml [tool.setuptools] packages lacks {missing}"


def test_help_needs_nothing_heavy() -> None:
    program = """
import sys
heavy = {"tensorflow", "keras", "matplotlib", "scipy", "numpy", "jinja2", "google", "psutil", "pynvml"}
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in heavy:
            raise AssertionError(f"--help imports {name}")
sys.meta_path.insert(0, Refuse())
sys.argv = ["gpuprobe", "--help"]
from gpuprobe.cli._app import main
main()
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "Usage: gpuprobe" in done.stdout
