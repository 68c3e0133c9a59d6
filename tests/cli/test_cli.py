"""The command line as a whole: what is listed, what is imported for one subcommand, and what a typing error says."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import click
import pytest

from gpuprobe.cards import cards, find
from gpuprobe.cli._options import complete_cards
from gpuprobe.traces.xplane_pb2 import XSpace
from tests.helpers.program import ROOT
from tests.helpers.studies import STORY, simulate_study

FOLDER = ROOT / "gpuprobe" / "cli"
DEMO_BEGINS = "gpuprobe demo: simulating a study, which takes 10 to 40 seconds"
COMMANDS = sorted(file.stem for file in FOLDER.glob("*.py") if not file.name.startswith("_"))


def python(program: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)


def gpuprobe(*words: str) -> subprocess.CompletedProcess[str]:
    return python(f"import sys; sys.argv[1:] = {list(words)}; from gpuprobe.cli._app import main; main()")


def test_every_file_is_a_subcommand_and_each_is_listed_with_a_whole_sentence() -> None:
    shown = gpuprobe("--help").stdout.partition("Options:")[2].partition("Examples:")[0].partition("\n\n")[2]
    listed = dict(line.split(maxsplit=1) for line in shown.splitlines() if line.startswith("  "))
    assert sorted(listed) == COMMANDS
    assert all(sentence.endswith(".") and not sentence.endswith("...") for sentence in listed.values())


def documented() -> list[tuple[str, str]]:
    """Return (subcommand, what follows it) of each call of gpuprobe in README, docs, the help and its examples."""
    root = FOLDER.parent.parent
    texts = [page.read_text() for page in (root / "README.md", *sorted((root / "docs").rglob("*.md")))]
    texts.append(gpuprobe("--help").stdout)
    texts += [call for name in COMMANDS for call, _ in import_module(f"gpuprobe.cli.{name}").command.examples]
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


def test_every_help_fits_a_narrow_terminal_and_has_examples_and_exit_codes() -> None:
    done = python(f"""
from click.testing import CliRunner
from gpuprobe.cli import _app
for name in {COMMANDS}:
    print(chr(0) + name, CliRunner().invoke(_app._program, [name, "--help"], terminal_width=80).output, sep=chr(1))
""")
    shown = dict(text.split("\1") for text in done.stdout.split("\0")[1:])
    assert sorted(shown) == COMMANDS
    assert [line for text in shown.values() for line in text.splitlines() if len(line) > 80] == []
    assert [name for name, text in shown.items() if "None" in text] == []
    assert [name for name, text in shown.items() if f"Examples:\n  gpuprobe {name}" not in text] == []
    assert [name for name, text in shown.items() if "exit code" not in text.lower()] == []


def test_one_subcommand_is_imported_without_the_others() -> None:
    done = python("""
import atexit, sys
atexit.register(lambda: print(*(name for name in sys.modules if name.startswith("gpuprobe.cli."))))
sys.argv[1:] = ["diagnose", "--help"]
from gpuprobe.cli._app import main
main()
""")
    loaded = {name.rpartition(".")[2] for name in done.stdout.splitlines()[-1].split()}
    assert loaded & set(COMMANDS) == {"diagnose"}


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
    breakdown, _, loaded = done.stdout.partition("LOADED")
    assert json.loads(breakdown)["devices"][0]["kernel_fraction"] == pytest.approx(3 / 5)
    unused = {"rich", "scipy", "jinja2", "psutil", "pydantic", "statistics", "numpy.ma", "numpy.random"}
    ours = {f"gpuprobe.{name}" for name in ("diagnosis.whatif.predict", "telemetry.smi", "traces.chrome", "report")}
    assert "numpy" in loaded.split()
    assert not (unused | ours) & set(loaded.split())


def test_what_is_mistyped_is_told_with_what_it_may_have_meant() -> None:
    command, option = gpuprobe("dignose", "x"), gpuprobe("diagnose", "--jsn", "x")
    assert (command.returncode, option.returncode) == (2, 2)
    assert "Did you mean 'diagnose'?" in command.stderr
    assert "--json" in option.stderr


@pytest.mark.parametrize(
    "words", [["dignose"], ["run", "--rounds", "many"], ["report"], ["list", "more"], ["diagnose", "x", "--jsn"]]
)
def test_wrong_usage_is_one_line_that_names_the_command_and_its_help(words: list[str]) -> None:
    done = gpuprobe(*words)
    (line,) = done.stderr.splitlines()
    assert (done.returncode, done.stdout) == (2, "")
    assert line.startswith("gpuprobe")
    assert "--help shows" in line


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["new", "."], 2, "name a Python file, as workload.py"),
        (["new", "mine"], 2, "name a Python file, as mine.py"),
        (["report", "reports"], 3, "reports: not a study of gpuprobe (it has no study.json); the newest below it is"),
        (["report", "mine.py"], 3, "mine.py: is a file; name the folder of a study"),
        (["run", "--model", "mine.py"], 2, "name the factory in it, as mine.py:workload"),
        (["run", "--resume", "reports/demo"], 2, "reports/demo: is simulated"),
        (["train", "--strategy", "xla", "--study", "reports/demo"], 2, "it goes with --strategy tuned"),
        (["train", "--strategy", "xlaa"], 2, "--strategy: there is no strategy 'xlaa'; did you mean xla?"),
        (["predict", "--gpu", "Radeon"], 2, "name an NVIDIA card as the driver or a shop does"),
        (
            ["diagnose", "mine.py", "--thresholds", "other.toml"],
            3,
            "no threshold is called 'q'; gpuprobe diagnose",
        ),
    ],
)
def test_a_mistake_is_one_line_that_says_what_to_do(
    words: list[str], code: int, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine.py").write_text("")
    (tmp_path / "other.toml").write_text("q = 1\n")
    simulate_study(tmp_path / "reports" / "demo", STORY[:1])
    monkeypatch.chdir(tmp_path)
    done = gpuprobe(*words)
    assert done.returncode == code
    (line,) = done.stderr.splitlines()
    assert said in line


def test_a_package_that_is_not_installed_is_named() -> None:
    done = python("""
import sys
sys.modules["jinja2"] = None
sys.argv[1:] = ["demo", "--out", "/nowhere/to/write"]
from gpuprobe.cli._app import main
main()
""")
    assert (done.returncode, done.stdout) == (5, "")
    assert done.stderr == f"{DEMO_BEGINS}\ngpuprobe: the package jinja2 is not installed: pip install jinja2\n"


def test_a_demo_that_finds_no_room_is_one_line(tmp_path: Path) -> None:
    done = python(f"""
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
sys.argv[1:] = ["demo", "--out", {str(tmp_path)!r}]
from gpuprobe.cli._app import main
main()
""")
    progress, line = done.stderr.splitlines()
    assert progress == DEMO_BEGINS
    assert done.returncode == 4
    assert f"{tmp_path}/demo" in line
    assert "cannot be written" in line


def test_a_reader_that_goes_ends_it_with_the_code_of_a_pipe_that_nobody_reads() -> None:
    """As `gpuprobe list | head -1` does."""
    program = "import os, sys; os.close(0); sys.argv[1:] = ['list']; from gpuprobe.cli._app import main; main()"
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run([sys.executable, "-c", program], stdout=write, stderr=subprocess.PIPE, check=False)
    os.close(write)
    assert (done.returncode, done.stderr) == (141, b"")


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("gpuprobe di", {"diagnose"}),
        ("gpuprobe run --strat", {"--strategies"}),
        ("gpuprobe run --strategies numpy,tfdata_c", {"numpy,tfdata_cache_prefetch"}),
        ("gpuprobe train --strategy tu", {"tuned"}),
        ("gpuprobe run --model ml", {"mlp"}),
        ("gpuprobe predict --gpu GTX-1060-3", {"GTX-1060-3GB"}),
        ("gpuprobe predict --gpu geforce-gtx-1060-3", {"GeForce-GTX-1060-3GB"}),
    ],
)
def test_the_shell_completes_commands_options_and_names(typed: str, offered: set[str]) -> None:
    asked = {"COMP_WORDS": typed, "COMP_CWORD": str(len(typed.split()) - 1), "_GPUPROBE_COMPLETE": "bash_complete"}
    program = "from gpuprobe.cli._app import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", program], env={**os.environ, **asked}, capture_output=True, text=True, check=False
    )
    assert {line.partition(",")[2] for line in done.stdout.splitlines()} == offered, done.stderr


def test_every_card_that_is_offered_is_found_and_is_one_word() -> None:
    offered = complete_cards(click.Context(click.Command("predict")), click.Option(["--gpu"]), "")
    assert [name for name in offered if re.search(r"[^\w.+-]", name)] == []
    full = [re.sub(r"[ ()]+", "-", card.name).strip("-") for card in cards()]
    assert [card.name for card, name in zip(cards(), full, strict=True) if find(name) is not find(card.name)] == []
    assert set(full) <= set(offered)


def test_no_word_at_all_shows_the_help_and_is_wrong_usage() -> None:
    done = gpuprobe()
    assert done.returncode == 2
    assert all(f"\n  {name} " in done.stderr + done.stdout for name in COMMANDS)
    assert gpuprobe("--version").stdout.startswith("gpuprobe ")
