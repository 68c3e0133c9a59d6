"""A status bar on the last lines of a terminal, below the scrolling output of a command.

The terminal scrolls only the lines above (DECSTBM), and the cursor is restored after each drawing, so nothing is
written between the command's own lines. Source: ECMA-48 and DEC's VT510 manual.
"""

from __future__ import annotations

import contextlib
import io
import os
import signal
import time
from collections import deque
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from gpuprobe import wording
from gpuprobe.cli._line import ACROSS, line
from gpuprobe.cli._terminal import Terminal
from gpuprobe.telemetry import Follower

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from types import FrameType, TracebackType

    from rich.console import RenderableType

SAVE, RESTORE, DOWN, CLEAR_LINE, WHOLE_SCREEN = "\0337", "\0338", "\033D", "\033[2K", "\033[r"
# A terminal with fewer lines has no status bar.
LEAST_ROWS = 12
MOST_GPUS = 4
# Points kept: more than the widest terminal shows.
HISTORY = 1024
# The load over time is a line of LOW rows, in a terminal of ROOMY rows or more of HIGH rows; its scale has SCALE cells.
SCALE, LOW, HIGH, ROOMY = 7, 2, 4, 30


class StatusBar:
    """Shows the newest values of a recording on a terminal; without a terminal it does nothing."""

    def __init__(self, fd: int, recording: Path, cores: float) -> None:
        self._fd, self._path, self._cores = fd, recording, cores
        self._latest: Follower | None = None
        self._started = time.monotonic()
        self._shape = (0, 0, 0)
        self._history: deque[tuple[float, float | None]] = deque(maxlen=HISTORY)

    def __enter__(self) -> StatusBar:
        if signal.getsignal(signal.SIGTSTP) is signal.SIG_DFL:
            signal.signal(signal.SIGTSTP, self._stop)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self._remove()
        if signal.getsignal(signal.SIGTSTP) == self._stop:
            signal.signal(signal.SIGTSTP, signal.SIG_DFL)

    def _stop(self, number: int, _frame: FrameType | None) -> None:
        """On Ctrl-Z restore the terminal for the shell, then stop; execution continues here after `fg`."""
        self._remove()
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
        signal.signal(number, self._stop)

    def draw(self) -> None:
        """Draw the current values, unless another program is in the terminal's foreground."""
        if not self._is_in_foreground():
            return
        columns, rows = self._size()
        # The sampler writes the names of the columns some time after its start.
        if self._latest is None or self._latest.t_ns is None:
            self._latest = Follower(self._path)
            self._latest.skip_to_tail()
        self._latest.look()
        lines = self._lines(self._latest, columns, rows)
        if rows < LEAST_ROWS:
            self._remove()
            return
        self._make_room(columns, rows, len(lines))
        first = rows - len(lines) + 1
        text = "".join(f"\033[{first + place};1H{CLEAR_LINE}{line}" for place, line in enumerate(lines))
        self._write(f"{SAVE}{text}{RESTORE}")

    def _make_room(self, columns: int, rows: int, height: int) -> None:
        if self._shape == (columns, rows, height):
            return
        self._remove()
        self._shape = (columns, rows, height)
        # The bar's lines may hold output: scroll it up, and move the cursor with it.
        room = DOWN * height + f"\033[{height}A"
        self._write(f"{room}{SAVE}\033[1;{rows - height}r{RESTORE}")

    def _remove(self) -> None:
        _, rows, height = self._shape
        if height and self._is_in_foreground():
            cleared = "".join(f"\033[{row};1H{CLEAR_LINE}" for row in range(rows - height + 1, rows + 1))
            self._write(f"{SAVE}{WHOLE_SCREEN}{cleared}{RESTORE}")
        self._shape = (0, 0, 0)

    def _lines(self, now: Follower, columns: int, rows: int) -> list[str]:
        table = Table.grid(padding=(0, 2, 0, 0))
        clock = wording.clock(time.monotonic() - self._started)
        head: list[RenderableType] = [Text.assemble(("gpuprobe", "bold cyan"), "  ", (clock, "dim"))]
        if now.t_ns is None:
            table.add_row(Text("the sampler is starting", "dim"))
        else:
            head = [*self._load_line(now, columns, rows, clock)]
            for index in now.gpus[:MOST_GPUS]:
                table.add_row(f"GPU {index}", *self._gpu_cells(now, index))
            if len(now.gpus) > MOST_GPUS:
                table.add_row("", Text(f"and {wording.count(len(now.gpus) - MOST_GPUS, 'GPU')} more", "dim"))
            table.add_row("CPU", *self._cpu_cells(now))
        console = Terminal(file=io.StringIO(), width=columns, force_terminal=True, legacy_windows=False)
        with console.capture() as captured:
            for part in (*head, table):
                console.print(part, no_wrap=True, overflow="crop", crop=True)
        return captured.get().splitlines()

    def _load_line(self, now: Follower, columns: int, rows: int, clock: str) -> Iterator[Text]:
        """Return the load of the first GPU, or of the processors where there is none, as a line over time."""
        gpu = now.gpus[0] if now.gpus else None
        load = now.recent.get(f"gpu{gpu}_utilization_percent") if gpu is not None else now.rate("tree_cpu_s")
        most, top = (100.0, "100 %") if gpu is not None else (self._cores, f"{self._cores:g}")
        self._history.append((time.monotonic(), None if load is None else load / most))
        width = max(1, columns - SCALE)
        recent = list(self._history)[-ACROSS * width :]
        load_name = f"utilization of GPU {gpu}" if gpu is not None else "busy cores"
        span = f"{load_name}, the last {wording.clock(recent[-1][0] - recent[0][0])}"
        yield Text.assemble(("gpuprobe", "bold cyan"), "  ", (clock, "dim"), "   ", (span, "dim"))
        height = HIGH if rows >= ROOMY else LOW
        for place, row in enumerate(line([value for _, value in recent], width, height)):
            mark = top if place == 0 else "0" if place == height - 1 else ""
            yield Text.assemble((f"{mark:>{SCALE - 1}}\u2502", "dim"), (row, "green"))

    def _gpu_cells(self, now: Follower, index: int) -> list[Text]:
        values = now.recent

        def value(field: str) -> float | None:
            return values.get(f"gpu{index}_{field}")

        used = value("utilization_percent")
        parts = [
            wording.mebibytes(memory) if (memory := value("memory_used_mib")) is not None else "",
            f"{power:.0f} W" if (power := value("power_w")) is not None else "",
            f"{clock:.0f} MHz" if (clock := value("sm_clock_mhz")) is not None else "",
            f"{heat:.0f} °C" if (heat := value("temperature_c")) is not None else "",
        ]
        utilization = f"{used:3.0f} %" if used is not None else "  ? %"
        return [Text(utilization, "bold"), Text("  ".join(filter(None, parts)))]

    def _cpu_cells(self, now: Follower) -> list[Text]:
        cores = now.rate("tree_cpu_s")
        memory = now.recent.get("tree_memory_mib")
        busy = f"{wording.significant(max(cores, 0.0), 2)} of {self._cores:g} cores" if cores is not None else ""
        share = f"{100 * max(cores, 0.0) / self._cores:3.0f} %" if cores is not None else "  ? %"
        parts = [busy, wording.mebibytes(memory) if memory is not None else ""]
        return [Text(share, "bold"), Text("  ".join(filter(None, parts)))]

    def _size(self) -> tuple[int, int]:
        try:
            return os.get_terminal_size(self._fd)
        except OSError:
            return 80, 0

    def _is_in_foreground(self) -> bool:
        try:
            return os.tcgetpgrp(self._fd) == os.getpgrp()
        except OSError:
            return False

    def _write(self, text: str) -> None:
        # A closed terminal must not end the command.
        with contextlib.suppress(OSError):
            os.write(self._fd, text.encode(errors="replace"))
