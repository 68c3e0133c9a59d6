"""Every command of the documentation is typed as it stands there, in a folder that has what it names."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import pytest

from gpuprobe.simulate import xplane
from gpuprobe.simulate.engine import simulate
from gpuprobe.simulate.spec import Host, Kernels, Spec
from tests.helpers.program import ROOT, Cli
from tests.helpers.studies import STORY, simulate_study

PAGES = sorted((ROOT / "docs").rglob("*.md"))
# These train for minutes: `test_run.py` types them with less to do, and `simulate/test_files.py` the demo.
TRAIN = ("gpuprobe run ", "gpuprobe demo")
SMALL = Spec(steps=3, kernels=Kernels(count=20, mean_us=100.0), host=Host(callback_ms=5.0, sync_every=1))


def commands() -> list[str]:
    blocks = [block for page in PAGES for block in re.findall(r"```console\n(.*?)```", page.read_text(), re.DOTALL)]
    return sorted({line for block in blocks for line in block.splitlines() if line.startswith("gpuprobe ")})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("user")
    (folder / "train.py").write_text("print('trained')\n")
    xplane.write(simulate(SMALL), folder / "logs", 10**18)
    for worker in ("worker-1", "worker-2"):
        # The profiler names a session for the second in which it began.
        session = xplane.write(simulate(SMALL), folder / "job" / worker, 10**18).parent
        session.rename(session.with_name("2026_01_31_23_59_59"))
    for name in ("BEFORE", "AFTER"):
        (folder / "reports" / name).mkdir(parents=True)
        simulate_study(folder / "reports" / name, STORY, rounds=1)
    return folder


def test_there_are_commands_and_those_that_train_are_few() -> None:
    found = commands()
    assert len(found) > 10
    assert sum(command.startswith(TRAIN) for command in found) < len(found) / 2


@pytest.mark.parametrize("command", [one for one in commands() if not one.startswith(TRAIN)])
def test_what_the_documentation_says_can_be_done(command: str, folder: Path, cli: Cli) -> None:
    _, *words = shlex.split(command)
    for made in ("workload.py", "job/worker-0"):
        path = folder / made
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    done = cli(*words, cwd=folder)
    # A comparison may find a difference, and the doctor something to mend.
    allowed = (0, 1) if words[0] in {"compare", "doctor"} else (0,)
    assert done.returncode in allowed, done.stdout + done.stderr
