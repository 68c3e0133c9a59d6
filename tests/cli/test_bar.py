"""Watching a command in a terminal: the bar below its lines, and the keys that are its own."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import struct
import sys
import termios
from collections.abc import Callable
from pathlib import Path

import pyte
import pytest

from gpuprobe.cli._line import BLANK_CELL, DOTS, DOTS_UP, braille_line
from gpuprobe.records import Watch, load
from tests.helpers.waiting import until
from tests.helpers.watches import COUNTER, WATCH


class Terminal:
    """A command in a terminal of its own: all that was written to it, and keys to press."""

    def __init__(self, *command: str, rows: int = 30) -> None:
        self.pid, self._fd = pty.fork()
        if self.pid == 0:
            os.environ["TERM"] = "xterm"
            fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", rows, 100, 0, 0))
            os.execv(command[0], command)
        self.text = ""

    def read_until(self, words: str) -> None:
        until(lambda: words in self._read())

    def press(self, keys: bytes) -> None:
        os.write(self._fd, keys)

    def finish(self) -> int:
        """Read on to its end; return how it ended."""
        code = self._ended(self._read)
        self._read()
        return code

    def close(self) -> int:
        """Close the terminal's window; return how what ran in it ended."""
        os.close(self._fd)
        return self._ended(lambda: "")

    def _ended(self, meanwhile: Callable[[], str]) -> int:
        ended: list[int] = []

        def has_ended() -> bool:
            meanwhile()
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            ended.extend([status] if pid else [])
            return bool(ended)

        until(has_ended)
        return os.waitstatus_to_exitcode(ended[0])

    def _read(self) -> str:
        while select.select([self._fd], [], [], 0.05)[0]:
            try:
                found = os.read(self._fd, 65536)
            except OSError:
                break
            if not found:
                break
            self.text += found.decode(errors="replace")
        return self.text


def test_the_bar_stays_out_of_the_commands_lines_and_goes_with_it(tmp_path: Path) -> None:
    line = "printf 'half '; sleep 0.2; echo line $i"
    wait = f"until [ -e {tmp_path / 'seen'} ]; do sleep 0.1; done"
    program = f"test -t 1 && echo terminal; for i in 1 2 3 4; do {line}; done; {wait}; "
    program += f"for i in 5 6 7 8; do {line}; done"
    seen = Terminal(*WATCH, "--out", str(tmp_path / "r"), "--", "sh", "-c", program)
    seen.read_until("cores")
    (tmp_path / "seen").touch()
    assert seen.finish() == 0
    assert "terminal\r\n" in seen.text
    while_running, after = screen(seen.text[: seen.text.rindex("\x1b[r")]), screen(seen.text)
    for lines in (while_running, after):
        assert [line for line in lines if "line" in line] == [f"half line {n}" for n in range(1, 9)]
    assert any(line.startswith("CPU") for line in while_running[-1:])
    assert not any(line.startswith("gpuprobe  ") for line in after)
    assert "Verdict" in seen.text


def screen(text: str, rows: int = 30) -> list[str]:
    """Return what a terminal shows after such output, line by line."""
    shown = pyte.Screen(100, rows)
    pyte.Stream(shown).feed(text)
    return [line.rstrip() for line in shown.display]


@pytest.mark.parametrize(("words", "rows"), [(("--no-live",), 30), ((), 8)])
def test_no_bar_where_it_is_not_wanted_or_has_no_room(words: tuple[str, ...], rows: int, tmp_path: Path) -> None:
    seen = Terminal(*WATCH, *words, "--out", str(tmp_path / "r"), "--", "sleep", "1.5", rows=rows)
    assert seen.finish() == 0
    assert "\x1b7" not in seen.text


def test_ctrl_c_reaches_the_command_once(tmp_path: Path) -> None:
    seen = Terminal(*WATCH, "--out", str(tmp_path / "r"), "--", sys.executable, "-c", COUNTER, "1")
    seen.read_until("ready")
    seen.press(b"\x03")
    assert seen.finish() == 9
    assert "SIGINT\r\n" in seen.text
    assert "SIGINT SIGINT" not in seen.text


def test_a_command_that_ignores_ctrl_c_goes_on(tmp_path: Path) -> None:
    wait = f"until [ -e {tmp_path / 'pressed'} ]; do sleep 0.1; done"
    program = f"trap '' INT; echo ready; {wait}; echo still here; exit 5"
    seen = Terminal(*WATCH, "--out", str(tmp_path / "r"), "--", "sh", "-c", program)
    seen.read_until("ready")
    seen.press(b"\x03")
    (tmp_path / "pressed").touch()
    assert seen.finish() == 5
    assert "still here" in seen.text


@pytest.mark.parametrize(
    ("program", "code"),
    [("echo ready; exec sleep 600", 129), ("trap 'exit 7' HUP; echo ready; while :; do sleep 0.1; done", 7)],
)
def test_a_terminal_that_is_closed_ends_the_command_and_leaves_a_recording(
    program: str, code: int, tmp_path: Path
) -> None:
    seen = Terminal(*WATCH, "--out", str(tmp_path / "r"), "--", "sh", "-c", program)
    seen.read_until("ready")
    assert seen.close() == code
    outcome = load(Watch, tmp_path / "r" / "watch.json").outcome
    assert outcome is not None
    assert outcome.exit_code == code


def levels(rows: list[str]) -> list[set[int]]:
    """Return the heights of the dots of each column of a line, from the top."""
    found: list[set[int]] = []
    for place in range(len(rows[0])):
        for dots in DOTS:
            set_ = {
                DOTS_UP * number + dot
                for number, row in enumerate(rows)
                for dot, bit in enumerate(dots)
                if ord(row[place]) - BLANK_CELL & bit
            }
            found.append(set_)
    return found


def test_a_line_over_time_joins_its_values_and_leaves_gaps() -> None:
    rows = braille_line([0.0, 1.0, None, 0.5], 3, 2)
    assert [len(row) for row in rows] == [3, 3]
    # What is new stands at the right; a jump is a stroke from the bottom to the top.
    assert levels(rows) == [set(), set(), {7}, set(range(8)), set(), {4}]
    assert levels(braille_line([0.2] * 9 + [2.0, -1.0], 1, 1)) == [{0}, {0, 1, 2, 3}]
    assert braille_line([], 2, 1) == [chr(BLANK_CELL) * 2]
