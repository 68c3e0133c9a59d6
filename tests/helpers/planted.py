"""A folder with a module of every name that gpuprobe may import, and the demo made there: once for all tests."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

PROGRAM = Path(sysconfig.get_path("scripts")) / "gpuprobe"
THIRD_PARTY = (
    "absl", "click", "cloudpickle", "gpuprobe", "grpc", "google", "jinja2", "keras", "markdown_it", "matplotlib",
    "models", "msgspec", "numpy", "packaging", "platformdirs", "prometheus_client", "psutil", "pynvml", "rich", "scipy",
    "sitecustomize", "sklearn", "tensorboard", "tensorflow", "usercustomize", "xprof",
)  # fmt: skip
PLANTED = (*(name for name in sorted(sys.stdlib_module_names) if name not in sys.builtin_module_names), *THIRD_PARTY)


@dataclass(frozen=True)
class Planted:
    """The folder, and what the installed program printed when it made `reports/demo` in it."""

    folder: Path
    demo_said: str

    @property
    def demo(self) -> Path:
        return self.folder / "reports" / "demo"

    @property
    def executed(self) -> str:
        """The names of the planted modules that something has imported."""
        trace = self.folder / "executed"
        return trace.read_text() if trace.exists() else ""


def planted_once(shared: Path) -> Planted:
    """Return the planted folder of a run of the tests; the first process that asks makes it, and others wait."""
    folder, said = shared / "planted", shared / "demo.json"
    with (shared / "planted.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not said.exists():
            _plant(folder)
            done = program(folder, "demo")
            assert done.returncode == 0, done.stderr
            said.write_text(json.dumps(done.stdout))
    return Planted(folder, json.loads(said.read_text()))


def program(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run the installed program in a folder, with nothing that names this checkout."""
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | {"COLUMNS": "200"}
    return subprocess.run([PROGRAM, *words], cwd=folder, capture_output=True, text=True, check=False, env=environ)


def _plant(folder: Path) -> None:
    folder.mkdir()
    for name in PLANTED:
        (folder / f"{name}.py").write_text(f"open({str(folder / 'executed')!r}, 'a').write({name + ' '!r})\n")
    executed = folder / "executed"
    subprocess.run([sys.executable, "-c", "import random"], cwd=folder, check=False, stderr=subprocess.DEVNULL)
    assert "random" in executed.read_text(), "they are executed where Python finds them"
    executed.unlink()
