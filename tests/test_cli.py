"""The command line as a whole: what is listed, what is imported for one subcommand, and what a typing error says."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

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


def test_one_subcommand_is_imported_without_the_others() -> None:
    done = python("""
import atexit, sys
atexit.register(lambda: print(*(name for name in sys.modules if name.startswith("gpuprobe.cli."))))
sys.argv[1:] = ["diagnose", "--help"]
from gpuprobe.cli._app import main
main()
""")
    assert done.stdout.splitlines()[-1].split() == ["gpuprobe.cli._app", "gpuprobe.cli.diagnose"]


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
