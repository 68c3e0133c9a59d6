"""Data flows one way through the house: the imports prove it."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from tests.rooms import COMMON, FREE, PAGE, ROOMS, ROOT, files, imported, module_of, room_of, written

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


@pytest.mark.parametrize("path", files(), ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_imports_only_what_its_room_may(path: Path) -> None:
    room = room_of(path)
    known = ROOMS | COMMON
    own = None if room in FREE else known[room].rooms | set(COMMON) | {room}
    packages = {"click", "rich"} if room == "cli" else set() if room in FREE else known[room].packages
    for name in imported(path):
        top, _, rest = name.partition(".")
        if top == "gpuprobe" and rest and own is not None and not rest.startswith("__"):
            assert rest.split(".")[0] in own, f"{room} must not import gpuprobe.{rest}"
        if top in GUARDED:
            assert top in packages, f"{room} must not import {top}"
            places = ONLY_IN.get(top)
            where = str(path.relative_to(ROOT))
            assert places is None or any(where.startswith(place) for place in places), f"{where} imports {top}"


def test_no_file_imports_in_a_circle_annotations_included() -> None:
    modules = {module_of(path): path for path in files()}
    arrows = {
        module: {name if name in modules else name.rpartition(".")[0] for name in imported(path)}
        & set(modules) - {module}
        for module, path in modules.items()
    }
    try:
        list(TopologicalSorter(arrows).static_order())
    except CycleError as circle:
        pytest.fail(" -> ".join(circle.args[1]))


def test_data_flows_one_way_through_the_rooms() -> None:
    order = TopologicalSorter({name: room.rooms for name, room in ROOMS.items()}).static_order()
    assert set(order) == set(ROOMS)


def test_every_folder_is_a_room_of_the_table() -> None:
    folders = {path.parent.name for path in ROOT.glob("gpuprobe/*/__init__.py")} - FREE - set(COMMON)
    assert folders == set(ROOMS) - {"models", "api", "results"}


# What the tests have besides a folder for each room.
OF_THE_TESTS = {"helpers", "lab", "recorded", "whole"}


def test_the_tests_mirror_the_rooms() -> None:
    """What tests a module lies in the folder that the module lies in, below `tests/`."""
    of_tests = {path.parent.relative_to(ROOT / "tests") for path in ROOT.glob("tests/**/test_*.py")}
    of_modules = {path.parent.relative_to(ROOT / "gpuprobe") for path in ROOT.glob("gpuprobe/**/*.py")} | {
        Path("models")
    }
    strays = {folder for folder in of_tests - of_modules if folder.parts[0] not in OF_THE_TESTS}
    assert not strays, f"not a folder of the package: {sorted(map(str, strays))}"
    flat = {path.stem.removeprefix("test_") for path in ROOT.glob("tests/test_*.py")} - {"rooms"}
    assert flat <= {path.stem for path in ROOT.glob("gpuprobe/*.py")}, "a test of no single module lies in tests/whole"


def test_the_page_of_the_architecture_is_of_today() -> None:
    page = PAGE.read_text()
    assert page == written(page), "make it anew: python -m tests.rooms"


# Besides, `watch` starts the user's command and a witness of its signals, and the zygote forks.
STARTS = {
    "gpuprobe/child.py": {"subprocess.Popen", "sys.executable"},
    "gpuprobe/measure/zygote.py": {"os.fork"},
    "gpuprobe/watch/command.py": {"os.posix_spawnp"},
    "gpuprobe/watch/witness.py": {"os.posix_spawnp", "sys.executable"},
}
STARTING = re.compile(
    r"sys\.executable|subprocess\.(Popen|run|call|check_call|check_output|getoutput|getstatusoutput)"
    r"|os\.(fork|forkpty|system|popen|posix_spawnp?|spawn\w+)"
)


def test_child_processes_are_started_in_one_place() -> None:
    """`child` keeps the user's folder off their path, and ends them with their parent."""
    found = {}
    for path in files():
        nodes = list(ast.walk(ast.parse(path.read_text())))
        names = {ast.unparse(node.func) for node in nodes if isinstance(node, ast.Call)}
        names |= {"sys.executable" for node in nodes if ast.unparse(node) == "sys.executable"}
        starts = {name for name in names if STARTING.fullmatch(name)}
        if starts:
            found[str(path.relative_to(ROOT))] = starts
    assert found == STARTS


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
