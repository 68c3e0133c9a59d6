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
from gpuprobe.cli._line import DOTS_ACROSS, braille_line
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
# The load over time is a line chart with a scale of SCALE cells. It has LOW rows; HIGH rows in a terminal of at least
# ROOMY rows.
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

    def _stop(self, stop_signal: int, _frame: FrameType | None) -> None:
        """On Ctrl-Z restore the terminal for the shell, then stop; execution continues here after `fg`."""
        self._remove()
        signal.signal(stop_signal, signal.SIG_DFL)
        os.kill(os.getpid(), stop_signal)
        signal.signal(stop_signal, self._stop)

    def draw(self) -> None:
        """Draw the current values, unless another program is in the terminal's foreground."""
        if not self._is_in_foreground():
            return
        terminal_columns, terminal_rows = self._size()
        # The sampler writes the names of the columns some time after its start.
        if self._latest is None or self._latest.t_ns is None:
            self._latest = Follower(self._path)
            self._latest.skip_to_tail()
        self._latest.look()
        bar_lines = self._lines(self._latest, terminal_columns, terminal_rows)
        if terminal_rows < LEAST_ROWS:
            self._remove()
            return
        self._make_room(terminal_columns, terminal_rows, len(bar_lines))
        first_row = terminal_rows - len(bar_lines) + 1
        screen_text = "".join(
            f"\033[{first_row + line_index};1H{CLEAR_LINE}{bar_line}" for line_index, bar_line in enumerate(bar_lines)
        )
        self._write(f"{SAVE}{screen_text}{RESTORE}")

    def _make_room(self, terminal_columns: int, terminal_rows: int, bar_height: int) -> None:
        if self._shape == (terminal_columns, terminal_rows, bar_height):
            return
        self._remove()
        self._shape = (terminal_columns, terminal_rows, bar_height)
        # The lines of the bar may hold output of the command: scroll it up, and move the cursor with it.
        scroll_up = DOWN * bar_height + f"\033[{bar_height}A"
        self._write(f"{scroll_up}{SAVE}\033[1;{terminal_rows - bar_height}r{RESTORE}")

    def _remove(self) -> None:
        _, terminal_rows, bar_height = self._shape
        if bar_height and self._is_in_foreground():
            cleared = "".join(
                f"\033[{row};1H{CLEAR_LINE}" for row in range(terminal_rows - bar_height + 1, terminal_rows + 1)
            )
            self._write(f"{SAVE}{WHOLE_SCREEN}{cleared}{RESTORE}")
        self._shape = (0, 0, 0)

    def _lines(self, follower: Follower, terminal_columns: int, terminal_rows: int) -> list[str]:
        table = Table.grid(padding=(0, 2, 0, 0))
        clock = wording.clock(time.monotonic() - self._started)
        head_lines: list[RenderableType] = [Text.assemble(("gpuprobe", "bold cyan"), "  ", (clock, "dim"))]
        if follower.t_ns is None:
            table.add_row(Text("the sampler is starting", "dim"))
        else:
            head_lines = [*self._load_line(follower, terminal_columns, terminal_rows, clock)]
            for index in follower.gpus[:MOST_GPUS]:
                table.add_row(f"GPU {index}", *self._gpu_cells(follower, index))
            if len(follower.gpus) > MOST_GPUS:
                table.add_row("", Text(f"and {wording.count(len(follower.gpus) - MOST_GPUS, 'GPU')} more", "dim"))
            table.add_row("CPU", *self._cpu_cells(follower))
        console = Terminal(file=io.StringIO(), width=terminal_columns, force_terminal=True, legacy_windows=False)
        with console.capture() as captured:
            for bar_part in (*head_lines, table):
                console.print(bar_part, no_wrap=True, overflow="crop", crop=True)
        return captured.get().splitlines()

    def _load_line(self, follower: Follower, terminal_columns: int, terminal_rows: int, clock: str) -> Iterator[Text]:
        """Return the load of the first GPU, or of the processors where there is none, as a line over time."""
        gpu = follower.gpus[0] if follower.gpus else None
        load = follower.recent.get(f"gpu{gpu}_utilization_percent") if gpu is not None else follower.rate("tree_cpu_s")
        full_load, full_load_label = (100.0, "100 %") if gpu is not None else (self._cores, f"{self._cores:g}")
        self._history.append((time.monotonic(), None if load is None else load / full_load))
        width = max(1, terminal_columns - SCALE)
        recent = list(self._history)[-DOTS_ACROSS * width :]
        load_name = f"utilization of GPU {gpu}" if gpu is not None else "busy cores"
        load_span = f"{load_name}, the last {wording.clock(recent[-1][0] - recent[0][0])}"
        yield Text.assemble(("gpuprobe", "bold cyan"), "  ", (clock, "dim"), "   ", (load_span, "dim"))
        chart_height = HIGH if terminal_rows >= ROOMY else LOW
        for row_index, chart_row in enumerate(
            braille_line([load_value for _, load_value in recent], width, chart_height)
        ):
            scale_label = full_load_label if row_index == 0 else "0" if row_index == chart_height - 1 else ""
            yield Text.assemble((f"{scale_label:>{SCALE - 1}}\u2502", "dim"), (chart_row, "green"))

    def _gpu_cells(self, follower: Follower, index: int) -> list[Text]:
        recent_values = follower.recent

        def value(field: str) -> float | None:
            return recent_values.get(f"gpu{index}_{field}")

        gpu_percent = value("utilization_percent")
        gpu_figures = [
            wording.mebibytes(memory) if (memory := value("memory_used_mib")) is not None else "",
            f"{power:.0f} W" if (power := value("power_w")) is not None else "",
            f"{clock:.0f} MHz" if (clock := value("sm_clock_mhz")) is not None else "",
            f"{heat:.0f} °C" if (heat := value("temperature_c")) is not None else "",
        ]
        utilization = f"{gpu_percent:3.0f} %" if gpu_percent is not None else "  ? %"
        return [Text(utilization, "bold"), Text("  ".join(filter(None, gpu_figures)))]

    def _cpu_cells(self, follower: Follower) -> list[Text]:
        busy_cores = follower.rate("tree_cpu_s")
        memory = follower.recent.get("tree_memory_mib")
        cores_words = (
            f"{wording.significant(max(busy_cores, 0.0), 2)} of {self._cores:g} cores" if busy_cores is not None else ""
        )
        cpu_percent = f"{100 * max(busy_cores, 0.0) / self._cores:3.0f} %" if busy_cores is not None else "  ? %"
        cpu_figures = [cores_words, wording.mebibytes(memory) if memory is not None else ""]
        return [Text(cpu_percent, "bold"), Text("  ".join(filter(None, cpu_figures)))]

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

    def _write(self, escape_sequence: str) -> None:
        # A closed terminal must not end the command.
        with contextlib.suppress(OSError):
            os.write(self._fd, escape_sequence.encode(errors="replace"))
