"""How the program ends where its output cannot go: other encodings, full disks, readers that go, names too long."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from gpuprobe.simulate.sessions import write_session
from gpuprobe.simulate.spec import Spec
from tests.helpers.program import run_cli
from tests.helpers.studies import STORY, simulate_study
from tests.helpers.waiting import LIMIT_S

# What a locale without UTF-8 gives, with and without a word on the encoding.
ODD = {
    "latin-1": {"PYTHONIOENCODING": "latin-1"},
    "ascii": {"PYTHONIOENCODING": "ascii"},
    "strict": {"PYTHONIOENCODING": "ascii:strict"},
    "C": {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
}
# Commands that read the folder that they run in and print, each well within a second or two.
PRINTING = (
    "--help",
    "list",
    "diagnose session",
    "diagnose session --json",
    "diagnose --list-thresholds",
    "report study",
    "compare study study",
    "compare study study --json",
    "predict --gpu GTX-1060-3GB",
    "predict --from study --json",
    "simulate --schema",
)
LONG = "a" * 300


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ends")
    (folder / "session").mkdir()
    write_session(Spec(), folder / "session")
    simulate_study(folder / "study", STORY[:2])
    return folder


def shell(line: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[bytes]:
    """Run a line of bash, in which `gpuprobe` is this one."""
    program = f'gpuprobe() {{ {sys.executable} -m gpuprobe.cli "$@"; }}; set -o pipefail; {line}'
    return subprocess.run(
        ["bash", "-c", program],
        cwd=folder,
        env={**os.environ, **environment},
        capture_output=True,
        check=False,
        timeout=LIMIT_S,
    )


@pytest.fixture(scope="module")
def usual(here: Path) -> Callable[[str], subprocess.CompletedProcess[bytes]]:
    """Give what a command says where it can say all, run once."""
    return cache(lambda words: shell(f"gpuprobe {words}", here))


def lines(said: bytes) -> list[str]:
    return said.decode().splitlines()


@pytest.mark.parametrize("words", PRINTING)
def test_a_full_disk_under_stdout_is_one_line_and_its_exit_code(words: str, here: Path) -> None:
    done = shell(f"gpuprobe {words} > /dev/full", here)
    assert done.returncode == 4
    assert lines(done.stderr) == ["gpuprobe: standard output: cannot be written (No space left on device)"]


@pytest.mark.parametrize("words", PRINTING)
def test_a_reader_that_has_gone_is_no_word_and_its_exit_code(words: str, here: Path) -> None:
    done = shell(f"gpuprobe {words} | true", here)
    assert (done.returncode, done.stderr) == (141, b"")


@pytest.mark.parametrize("end", ["2> /dev/full", "2>&-", "2> >(true)"])
def test_a_stderr_that_takes_nothing_changes_no_exit_code(end: str, here: Path) -> None:
    assert shell(f"gpuprobe diagnose nowhere {end}", here).returncode == 3
    assert shell(f"gpuprobe diagnos {end}", here).returncode == 2
    assert shell(f"gpuprobe watch --no-live -- sh -c 'exit 7' {end}", here).returncode == 7


@pytest.mark.parametrize("words", PRINTING)
def test_a_stdout_that_was_closed_is_no_error(words: str, here: Path) -> None:
    done = shell(f"gpuprobe {words} >&-", here)
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize("encoding", ODD)
@pytest.mark.parametrize("words", ["list", "diagnose session", "diagnose session --json", "report study"])
def test_what_an_encoding_lacks_is_replaced(
    words: str, encoding: str, here: Path, usual: Callable[[str], subprocess.CompletedProcess[bytes]]
) -> None:
    odd = shell(f"gpuprobe {words}", here, **ODD[encoding])
    assert (odd.returncode, odd.stderr) == (0, b"")
    if "--json" in words:
        # JSON is UTF-8 by its definition (RFC 8259), whatever the terminal's encoding.
        assert {**json.loads(odd.stdout), "prediction": 0} == {**json.loads(usual(words).stdout), "prediction": 0}
    else:
        assert len(odd.stdout.decode("latin-1" if encoding == "latin-1" else "ascii").splitlines()) == len(
            lines(usual(words).stdout)
        )


@pytest.mark.parametrize("encoding", ODD)
def test_a_name_that_no_encoding_has_is_told_and_written(encoding: str, here: Path, tmp_path: Path) -> None:
    folder = os.fsencode(tmp_path) + b"/caf\xc3\xa9-\xff"
    simulate_study(Path(os.fsdecode(folder)), STORY[:2])
    run = folder + b"/runs/1-python_feed"
    asked: list[list[str | bytes]] = [
        ["report", folder],
        ["compare", folder, folder, "--json"],
        ["diagnose", run, "--json"],
    ]
    for words in asked:
        command = [sys.executable, "-m", "gpuprobe.cli", *words]
        done = subprocess.run(command, env={**os.environ, **ODD[encoding]}, capture_output=True, check=False)
        assert (done.returncode, done.stderr) == (0, b""), words
    assert Path(os.fsdecode(folder + b"/report.html")).is_file()


@pytest.mark.parametrize("end", ["| head -2", "> /dev/full", "| true"])
def test_what_is_to_stay_is_written_before_anything_is_printed(end: str, here: Path, tmp_path: Path) -> None:
    shell(f"gpuprobe diagnose session --out {tmp_path}/D {end}", here)
    assert sorted(path.name for path in (tmp_path / "D").iterdir()) == ["diagnosis.json", "diagnosis.txt"]
    shell(f"gpuprobe predict --from study --out {tmp_path}/P {end}", here)
    assert (tmp_path / "P").is_file()
    shell(
        f"gpuprobe simulate --schema > {tmp_path}/s.toml; gpuprobe simulate {tmp_path}/s.toml --out {tmp_path}/S {end}",
        here,
    )
    assert (tmp_path / "S" / "truth.json").is_file()


def test_a_demo_is_written_before_anything_is_printed(here: Path, tmp_path: Path) -> None:
    # Of the two strategies that it takes to have a story.
    program = """
import sys
from gpuprobe.strategies import registry
known = registry.strategies()
registry.strategies = lambda: {name: known[name] for name in ("python_feed", "xla")}
from gpuprobe.cli._app import main
main()
"""
    done = shell(f'{sys.executable} -c "$DEMO" demo --out {tmp_path} > /dev/full', here, DEMO=program)
    assert done.returncode == 4, done.stderr
    assert (tmp_path / "demo" / "report.html").is_file()
    assert len(list((tmp_path / "demo" / "runs").glob("*/step.html"))) > 1


def test_text_that_is_written_is_utf8_in_any_locale(here: Path, tmp_path: Path) -> None:
    done = shell(f"gpuprobe diagnose session --out {tmp_path}/D && gpuprobe new {tmp_path}/w.py", here, **ODD["C"])
    assert done.returncode == 0, done.stderr
    # What a terminal without UTF-8 would lack is there.
    assert "\u256d" in (tmp_path / "D" / "diagnosis.txt").read_text("utf-8")


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ("diagnose LONG", 3),
        ("diagnose session --telemetry LONG", 3),
        ("diagnose session --thresholds LONG", 3),
        ("diagnose session --out LONG", 4),
        ("report LONG", 3),
        ("report study --share LONG", 4),
        ("compare study LONG", 3),
        ("predict --from LONG", 3),
        ("predict --from study --out LONG", 4),
        ("simulate LONG --out s", 3),
        ("demo --out LONG", 4),
        ("view LONG", 3),
        ("new LONG.py", 4),
        ("run --out LONG", 4),
        ("run --resume LONG", 3),
        ("run --model LONG.py:f", 3),
        ("run --data LONG", 3),
        ("train --resume LONG", 3),
        ("train --study LONG", 3),
        ("train --out LONG", 4),
        ("watch -- LONG", 126),
        ("capture --port 9 --out LONG", 4),
    ],
)
def test_a_name_of_300_letters_is_one_line(words: str, code: int, here: Path) -> None:
    done = shell(f"gpuprobe {words.replace('LONG', LONG)}", here)
    (line,) = lines(done.stderr)
    assert done.returncode == code
    assert "File name too long" in line


@pytest.mark.parametrize("words", [["diagnose", ""], ["report", ""], ["demo", "--out", ""]])
def test_an_empty_name_is_wrong_usage(words: list[str], here: Path) -> None:
    done = run_cli(*words, cwd=here)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert "is empty; name a file or a folder" in done.stderr
