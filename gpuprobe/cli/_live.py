"""Shows a running study: a table in a terminal, plain lines in a pipe."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from rich.console import Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from gpuprobe import telemetry, wording
from gpuprobe.ranking.rates import Interval, rate_so_far
from gpuprobe.recording import TELEMETRY_FILE, run_folder
from gpuprobe.records import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from types import TracebackType

    from rich.console import Console, RenderableType

    from gpuprobe.measure.run_in_progress import RunInProgress
    from gpuprobe.records import Run, RunSpec, Study

PHASE_WORDS = {
    "start": "starting",
    "build": "building",
    "warmup": "warming up",
    "held": "warm, waiting",
    "settle": "settling",
    "window": "measuring",
    "trace": "tracing",
    "paused": "taking turns",
    "refill": "taking turns",
    "turn": "taking turns",
}
# The view is redrawn rarely, because drawing slows the training on a machine with few cores.
REFRESH_PER_S = 2


class LiveView:
    """Shows a study in progress, of which it is an observer.

    `verdict` returns the verdict so far in one line, from the study's folder; it is called after each run.
    """

    def __init__(self, console: Console, study: Study, folder: Path, verdict: Callable[[], str]) -> None:
        self._console, self._study, self._folder, self._verdict = console, study, folder, verdict
        self._states = {strategy.name: "" for strategy in study.strategies}
        self._rates: dict[str, list[Interval]] = {strategy.name: [] for strategy in study.strategies}
        self._begun, self._done, self._total = 0, 0, 1
        self._started, self._drawn = time.monotonic(), 0.0
        self._finished_s = 0.0
        self._spec: RunSpec | None = None
        self._phase = ""
        self._load = ""
        self._verdict_so_far = ""
        self._live = Live(self._picture(), console=console, refresh_per_second=REFRESH_PER_S, transient=True)

    def __enter__(self) -> LiveView:
        if self._console.is_terminal:
            self._live.start(refresh=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        if self._console.is_terminal:
            self._live.stop()

    def run_started(self, spec: RunSpec, index: int, total: int) -> None:
        """Show the run as starting."""
        if self._spec is None:
            # A resumed study has runs that were finished before.
            self._done = index
        self._spec, self._begun, self._total, self._phase = spec, index + 1, total, ""
        self._states[spec.strategy] = "starting"
        self._print_plain(f"[{self._begun}/{total}] {_run_name(spec)}, round {spec.round}: starting")

    def run_progress(self, progress: RunInProgress) -> None:
        """Show the phase that the run is in, its rate so far, and the load of the GPU or the processor."""
        spec = progress.spec
        if progress.phases and progress.phases[-1].name != self._phase:
            phase_before, self._phase = PHASE_WORDS.get(self._phase), progress.phases[-1].name
            if self._phase in {"warmup", "window", "trace", "turn"} and phase_before != PHASE_WORDS[self._phase]:
                self._print_plain(f"[{self._begun}/{self._total}] {spec.strategy}: {PHASE_WORDS[self._phase]}")
        phase_words = PHASE_WORDS.get(self._phase, "starting")
        if not self._console.is_terminal or time.monotonic() - self._drawn < 1 / REFRESH_PER_S:
            return
        self._drawn = time.monotonic()
        rate_now = rate_so_far(progress.as_record(Outcome(state="interrupted")))
        self._states[spec.strategy] = f"{phase_words}, {_rate_with_interval(rate_now)}" if rate_now else phase_words
        self._load = telemetry.load_now(run_folder(self._folder, spec.round, spec.strategy, spec.step) / TELEMETRY_FILE)
        self._live.update(self._picture())

    def run_finished(self, run: Run) -> None:
        """Show how the run ended, and the verdict so far."""
        self._done += 1
        self._finished_s = time.monotonic() - self._started
        strategy, run_outcome = run.spec.strategy, run.outcome
        run_rate = rate_so_far(run)
        if run.is_measured and run_rate:
            self._rates[strategy].append(run_rate)
            self._states[strategy] = "done"
        else:
            self._states[strategy] = f"{run_outcome.state.replace('_', ' ')}: {run_outcome.message}"
        time_left = wording.clock(self._left_s())
        outcome_words = (
            f"{_rate_with_interval(run_rate)} samples/s" if run_rate and run.is_measured else self._states[strategy]
        )
        self._print_plain(f"[{self._done}/{self._total}] {strategy}: {outcome_words}; about {time_left} left")
        self._verdict_so_far = self._verdict()
        self._print_plain(f"  so far: {self._verdict_so_far}")
        self._live.update(self._picture())

    def _print_plain(self, line: str) -> None:
        if not self._console.is_terminal:
            self._console.print(line, markup=False, highlight=False, soft_wrap=True)

    def _left_s(self) -> float:
        """Estimate the seconds left, at most the rest of the budget.

        The remaining runs are assumed to last as long as the finished ones did on average.
        """
        elapsed_s = time.monotonic() - self._started
        runs_s = self._finished_s / max(1, self._done) * (self._total - self._done)
        return max(0.0, min(self._finished_s + runs_s, self._study.request.budget_s) - elapsed_s)

    def _picture(self) -> RenderableType:
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
        table.add_column("strategy", no_wrap=True)
        table.add_column("samples/s", justify="right", no_wrap=True)
        table.add_column("")
        best_rate = max(
            (strategy_rate.value for strategy_rates in self._rates.values() for strategy_rate in strategy_rates),
            default=0.0,
        )
        for strategy, strategy_rates in self._rates.items():
            running = self._spec is not None and strategy == self._spec.strategy
            strategy_rate = strategy_rates[-1] if strategy_rates else None
            rate_bar = "\u2588" * round(24 * strategy_rate.value / best_rate) if strategy_rate and best_rate else ""
            state_words = (
                Text(self._states[strategy], "cyan") if running or not strategy_rate else Text(rate_bar, "green")
            )
            table.add_row(
                Text(strategy, "bold" if running else ""),
                _rate_with_interval(strategy_rate) if strategy_rate else "",
                state_words,
            )
        # A heading of one line keeps the table's height when the terminal is resized.
        heading = Text(self._study.workload, "bold", no_wrap=True, overflow="ellipsis")
        view_parts: list[RenderableType] = [heading, Text(""), table, Text(""), self._progress()]
        if self._load:
            view_parts.append(Text(self._load, "dim"))
        if self._verdict_so_far:
            view_parts.append(Text(f"So far: {self._verdict_so_far}", "italic"))
        return Group(*view_parts)

    def _progress(self) -> RenderableType:
        if self._spec is None:
            return Text("preparing the first run", "dim")
        progress_words = f"  run {min(max(self._begun, self._done + 1), self._total)} of {self._total}"
        if self._done:
            progress_words += f", about {wording.clock(self._left_s())} left"
        progress_line = Table.grid()
        progress_line.add_row(ProgressBar(total=self._total, completed=self._done, width=40), Text(progress_words))
        return progress_line


def _rate_with_interval(rate: Interval) -> str:
    half_interval = (rate.high - rate.low) / 2
    return f"{wording.significant(rate.value)} \u00b1 {wording.significant(half_interval, 2)}"


def _run_name(spec: RunSpec) -> str:
    if not spec.step:
        return spec.strategy
    return f"{spec.strategy}, step {spec.step} ({wording.listing(spec.combines) or 'no change'})"
