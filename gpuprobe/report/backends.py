"""Why one backend of Keras is faster than another: their steps side by side in milliseconds, and their first calls."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from gpuprobe import wording
from gpuprobe.backends.known import title
from gpuprobe.diagnosis.between import FETCHES_BETWEEN
from gpuprobe.report.categories import CATEGORIES
from gpuprobe.units import MS_PER_S

if TYPE_CHECKING:
    from gpuprobe.ranking.ranking import Ranking, Row
    from gpuprobe.records import Settings

# A sentence leaves out parts smaller than this share of the difference of two steps; the table has all parts.
WORTH_TELLING = 0.05
# Traces that show less than this share of the difference of two steps do not explain most of it.
IN_THE_TRACE = 0.5
# The parts in which operations are started, computed, and given their batch.
LAUNCHING = frozenset({"cpu_dispatch", "idle_launch", "idle_queue"})
COMPUTING = frozenset({"cpu_compute", "gpu_compute"})
FEEDING, BETWEEN = frozenset({"idle_input", "gpu_copy_h2d"}), "idle_between_steps"
# Who starts the operations of a step, the slowest way first.
DRIVEN = (
    "Python starts its operations one at a time (jit_compile is off)",
    "TensorFlow's graph starts its operations one at a time, without Python (jit_compile is off)",
    "its step is compiled into one program (jit_compile is on)",
)


def step_by_backend(ranking: Ranking) -> tuple[list[list[str]], list[str]]:
    """Return a table and sentences; both empty where all strategies train with one backend.

    The table has a heading and a row a strategy: its step in the timed window, its traced step and the parts of that
    in ms, and the seconds of the first call. The parts add up to the traced step, and so do those of a difference.
    """
    rows = ranking.rows
    if len({row.settings.backend for row in rows}) < 2:
        return [], []
    parts = {row.strategy: _parts_ms(row) for row in rows}
    categories = [name for name in CATEGORIES if any(name in part for part in parts.values())]
    titles = [f"`{name}`" for name in categories]
    heading = ["strategy", "backend", "rank", "step", "traced step", *titles, "first call"]
    cells = []
    for row in rows:
        part = parts[row.strategy]
        traced = wording.milliseconds(sum(part.values())) if part else "no trace"
        own = [f"{part[name]:.2f} ms" if name in part else "" for name in categories]
        first = wording.duration(row.first_call_s)
        step = wording.milliseconds(_step_ms(row))
        cells.append([f"`{row.strategy}`", title(row.settings.backend), str(row.rank), step, traced, *own, first])
    fastest, *slower = rows
    return [heading, *cells], [_why_slower(row, fastest, parts) + _first_call(row, fastest) for row in slower]


def _why_slower(row: Row, fastest: Row, parts: dict[str, dict[str, float]]) -> str:
    """Say which parts make a traced step longer than the fastest; for a shared rank, that no difference was seen."""
    name = f"`{row.strategy}` ({title(row.settings.backend)})"
    if row.rank == fastest.rank:
        return f"{name} shares its rank with `{fastest.strategy}`: no difference beyond the noise."
    own, other = parts[row.strategy], parts[fastest.strategy]
    if not own or not other:
        return f"{name} is slower than `{fastest.strategy}`; without a trace of both it is not known why."
    grown = {name: own.get(name, 0.0) - other.get(name, 0.0) for name in own | other}
    whole = sum(grown.values())
    if whole <= 0:
        steps = f"{wording.milliseconds(_step_ms(row))} in the timed window, {wording.milliseconds(sum(own.values()))}"
        return (
            f"{name} is slower than `{fastest.strategy}` in the timed windows, but not in the traces: its step took "
            f"{steps} in the trace. So it is not known why."
        )
    least = WORTH_TELLING * whole
    ordered = sorted(grown, key=lambda name: -grown[name])
    longer_parts = [
        f"{grown[part]:+.2f} ms `{part}` ({CATEGORIES[part].meaning})" for part in ordered if grown[part] >= least
    ]
    shorter_parts = [f"{grown[part]:+.2f} ms `{part}`" for part in ordered if grown[part] <= -least]
    longer = f"{name}: its traced step is {whole:.2f} ms longer than that of `{fastest.strategy}`: "
    named = f"{longer}{wording.listing([*longer_parts, *shorter_parts])}."
    in_windows = _step_ms(row) - _step_ms(fastest)
    if whole < IN_THE_TRACE * in_windows:
        named += f" In the timed windows it is {in_windows:.2f} ms longer: most of that is not in the traces."
    return named + _reasons(row, fastest, [part for part in ordered if grown[part] >= least])


def _reasons(row: Row, fastest: Row, parts: list[str]) -> str:
    """Say for each longer part which setting is known to make it longer, or that it is not known why."""
    found = {part: _reason(part, row.settings, fastest) for part in parts}
    known = [f" `{part}`: {reason}." for part, reason in found.items() if reason]
    unknown = [f"`{part}`" for part, reason in found.items() if not reason]
    rest = f" Not known why, since no setting tells: {wording.listing(unknown)}." if unknown else ""
    return "".join(known) + rest


def _reason(part: str, own: Settings, fastest: Row) -> str:
    """Return why a part of a step is longer than that of the fastest, empty where no setting tells."""
    other, name = fastest.settings, f"`{fastest.strategy}`"
    if part in LAUNCHING and _driven(own) < _driven(other):
        return f"{DRIVEN[_driven(own)]}; {name}: {DRIVEN[_driven(other)]}"
    if own.backend != other.backend and (reason := _fed(part, own, other)):
        return reason
    return _computed(own, fastest) if part in COMPUTING else ""


def _fed(part: str, own: Settings, other: Settings) -> str:
    if part in FEEDING:
        return f"Keras feeds the same data in another way under {title(own.backend)} than under {title(other.backend)}"
    if part == BETWEEN and own.backend in FETCHES_BETWEEN:
        return f"Keras also fetches the next batch there under {title(own.backend)}: the trace does not tell that apart"
    return ""


def _computed(own: Settings, fastest: Row) -> str:
    other, name = fastest.settings, f"`{fastest.strategy}`"
    # JAX does not tell its number of threads: it has at most one for each core.
    if own.intra_op_threads < other.intra_op_threads:
        threads = wording.count(own.intra_op_threads, "thread")
        return f"it computes with {threads}, {name} with up to {other.intra_op_threads}"
    if own.compute_dtype != other.compute_dtype:
        return f"it computes in {own.compute_dtype}, {name} in {other.compute_dtype}"
    return "it computes without TF32" if other.tf32 and own.tf32 is False else ""


def _driven(settings: Settings) -> int:
    if settings.jit_compile:
        return 2
    return 0 if settings.run_eagerly or settings.backend == "torch" else 1


def _first_call(row: Row, fastest: Row) -> str:
    """Say after how many steps the fastest has made up for a longer first call; empty where its call is no longer."""
    longer_ms = MS_PER_S * (fastest.first_call_s - row.first_call_s)
    # Batches may differ in size, so what a step saves is counted for each sample.
    saved_ms = _step_ms(row) / row.settings.batch_size - _step_ms(fastest) / fastest.settings.batch_size
    if row.rank == fastest.rank or longer_ms <= 0 or saved_ms <= 0:
        return ""
    steps = math.ceil(longer_ms / (saved_ms * fastest.settings.batch_size))
    return (
        f" The first call of `{fastest.strategy}`, which traces and compiles, takes "
        f"{wording.duration(longer_ms / MS_PER_S)} longer; that is made up for after {steps:,} steps."
    )


def _step_ms(row: Row) -> float:
    return MS_PER_S * row.settings.batch_size / row.samples_per_s.value


def _parts_ms(row: Row) -> dict[str, float]:
    """Return the parts of one traced step; what the trace marks as a step is a call of the train function."""
    if row.breakdown is None:
        return {}
    per_call = row.settings.steps_per_execution
    return {name: ms / per_call for name, ms in row.breakdown.ledger_ms.items() if ms > 0}
