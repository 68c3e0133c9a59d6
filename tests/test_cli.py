"""The command line as a whole: what is listed, what is imported for one subcommand, and what a typing error says."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from gpuprobe.traces.xplane_pb2 import XSpace

FOLDER = Path(__file__).parent.parent / "gpuprobe" / "cli"
COMMANDS = sorted(file.stem for file in FOLDER.glob("*.py") if not file.name.startswith("_"))


def python(program: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)


def gpuprobe(*words: str) -> subprocess.CompletedProcess[str]:
    return python(f"import sys; sys.argv[1:] = {list(words)}; from gpuprobe.cli._app import main; main()")


def test_every_file_is_a_subcommand_and_each_is_listed_with_a_whole_sentence() -> None:
    shown = gpuprobe("--help").stdout.partition("Commands:")[2].partition("Examples:")[0]
    listed = dict(line.split(maxsplit=1) for line in shown.splitlines() if line.strip())
    assert sorted(listed) == COMMANDS
    assert all(sentence.endswith(".") and not sentence.endswith("...") for sentence in listed.values())


def documented() -> list[tuple[str, str]]:
    """Return (subcommand, what follows it) of each call of gpuprobe in the README, the help and its examples."""
    texts = [(FOLDER.parent.parent / "README.md").read_text(), gpuprobe("--help").stdout]
    texts += [import_module(f"gpuprobe.cli.{name}").command.epilog or "" for name in COMMANDS]
    call = re.compile(r"gpuprobe ([a-z]+)\b((?:(?!gpuprobe )[^\n`|])*)")
    return [(match[1], match[2]) for text in texts for match in call.finditer(text)]


def test_what_is_documented_can_be_typed() -> None:
    calls = [(name, words) for name, words in documented() if name in COMMANDS or words.lstrip().startswith("--")]
    assert {name for name, _ in calls} == set(COMMANDS)
    for name, words in calls:
        options = {
            option
            for param in import_module(f"gpuprobe.cli.{name}").command.params
            for option in (*param.opts, *param.secondary_opts)
        }
        # What a watched command is given is its own.
        typed = set(re.findall(r"(?<!\S)--[a-z-]+", words.partition(" -- ")[0]))
        assert typed <= options, f"gpuprobe {name}{words}"


def test_one_subcommand_is_imported_without_the_others() -> None:
    done = python("""
import atexit, sys
atexit.register(lambda: print(*(name for name in sys.modules if name.startswith("gpuprobe.cli."))))
sys.argv[1:] = ["diagnose", "--help"]
from gpuprobe.cli._app import main
main()
""")
    assert done.stdout.splitlines()[-1].split() == ["gpuprobe.cli._app", "gpuprobe.cli.diagnose"]


def test_a_diagnosis_of_a_trace_loads_nothing_that_it_does_not_use(tmp_path: Path) -> None:
    space = XSpace()
    device = space.planes.add(name="/device:GPU:0")
    device.event_metadata[1].name = "kernel"
    stream = device.lines.add(id=1, name="Stream #1(Compute)", timestamp_ns=1)
    for number in range(3):
        stream.events.add(metadata_id=1, offset_ps=number * 2_000_000, duration_ps=1_000_000)
    path = tmp_path / "host.xplane.pb"
    path.write_bytes(space.SerializeToString())
    done = python(f"""
import atexit, sys
atexit.register(lambda: print("LOADED", *sys.modules))
sys.argv[1:] = ["diagnose", "--json", "--no-what-if", {str(path)!r}]
from gpuprobe.cli._app import main
main()
""")
    account, _, loaded = done.stdout.partition("LOADED")
    assert json.loads(account)["devices"][0]["kernel_fraction"] == pytest.approx(3 / 5)
    unused = {"rich", "scipy", "jinja2", "psutil", "pydantic", "statistics", "numpy.ma", "numpy.random"}
    ours = {f"gpuprobe.{name}" for name in ("diagnosis.whatif.predict", "telemetry.smi", "traces.chrome", "report")}
    assert "numpy" in loaded.split()
    assert not (unused | ours) & set(loaded.split())


def test_what_is_mistyped_is_told_with_what_it_may_have_meant() -> None:
    command, option = gpuprobe("dignose", "x"), gpuprobe("diagnose", "--jsn", "x")
    assert (command.returncode, option.returncode) == (2, 2)
    assert "Did you mean 'diagnose'?" in command.stderr
    assert "--json" in option.stderr


def test_no_word_at_all_shows_the_help_and_is_wrong_usage() -> None:
    done = gpuprobe()
    assert done.returncode == 2
    assert "Commands:" in done.stderr + done.stdout
    assert gpuprobe("--version").stdout.startswith("gpuprobe ")
