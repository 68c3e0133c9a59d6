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

# A sentence leaves out parts below this share of the difference between two steps; the table has all parts.
LEAST_PART_NAMED = 0.05
# Where the traces show less than this share of the difference between two steps, they do not explain most of it.
EXPLAINED_BY_TRACES = 0.5
# The parts in which operations are started, computed, and given their batch.
LAUNCHING = frozenset({"cpu_dispatch", "idle_launch", "idle_queue"})
COMPUTING = frozenset({"cpu_compute", "gpu_compute"})
FEEDING, BETWEEN = frozenset({"idle_input", "gpu_copy_h2d"}), "idle_between_steps"
# Who starts the operations of a step, the slowest way first.
OPERATIONS_STARTED_BY = (
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
    parts_by_strategy = {row.strategy: _parts_ms(row) for row in rows}
    categories = [
        category for category in CATEGORIES if any(category in parts_ms for parts_ms in parts_by_strategy.values())
    ]
    category_titles = [f"`{category}`" for category in categories]
    heading = ["strategy", "backend", "rank", "step", "traced step", *category_titles, "first call"]
    table_rows = []
    for row in rows:
        parts_ms = parts_by_strategy[row.strategy]
        traced_step = wording.milliseconds(sum(parts_ms.values())) if parts_ms else "no trace"
        parts_in_ms = [f"{parts_ms[category]:.2f} ms" if category in parts_ms else "" for category in categories]
        first_call = wording.duration(row.first_call_s)
        timed_step = wording.milliseconds(_step_ms(row))
        table_rows.append(
            [
                f"`{row.strategy}`",
                title(row.settings.backend),
                str(row.rank),
                timed_step,
                traced_step,
                *parts_in_ms,
                first_call,
            ]
        )
    fastest, *slower = rows
    return [heading, *table_rows], [
        _why_slower(row, fastest, parts_by_strategy) + _first_call(row, fastest) for row in slower
    ]


def _why_slower(row: Row, fastest: Row, parts: dict[str, dict[str, float]]) -> str:
    """Say which parts make a traced step longer than that of the fastest, or that no difference is beyond the noise."""
    name = f"`{row.strategy}` ({title(row.settings.backend)})"
    if row.rank == fastest.rank:
        return f"{name} shares its rank with `{fastest.strategy}`: no difference beyond the noise."
    if fastest.strategy in row.ties_with:
        return f"{name} ties with `{fastest.strategy}`: no difference beyond the noise."
    own_ms, fastest_ms = parts[row.strategy], parts[fastest.strategy]
    if not own_ms or not fastest_ms:
        return f"{name} is slower than `{fastest.strategy}`; without a trace of both it is not known why."
    longer_by_ms = {name: own_ms.get(name, 0.0) - fastest_ms.get(name, 0.0) for name in own_ms | fastest_ms}
    step_longer_ms = sum(longer_by_ms.values())
    if step_longer_ms <= 0:
        steps = (
            f"{wording.milliseconds(_step_ms(row))} in the timed window, {wording.milliseconds(sum(own_ms.values()))}"
        )
        return (
            f"{name} is slower than `{fastest.strategy}` in the timed windows, but not in the traces: its step took "
            f"{steps} in the trace. So it is not known why."
        )
    least_ms = LEAST_PART_NAMED * step_longer_ms
    by_growth = sorted(longer_by_ms, key=lambda name: -longer_by_ms[name])
    longer_parts = [
        f"{longer_by_ms[part]:+.2f} ms `{part}` ({CATEGORIES[part].meaning})"
        for part in by_growth
        if longer_by_ms[part] >= least_ms
    ]
    shorter_parts = [f"{longer_by_ms[part]:+.2f} ms `{part}`" for part in by_growth if longer_by_ms[part] <= -least_ms]
    longer_sentence = f"{name}: its traced step is {step_longer_ms:.2f} ms longer than that of `{fastest.strategy}`: "
    parts_sentence = f"{longer_sentence}{wording.listing([*longer_parts, *shorter_parts])}."
    windows_longer_ms = _step_ms(row) - _step_ms(fastest)
    if step_longer_ms < EXPLAINED_BY_TRACES * windows_longer_ms:
        parts_sentence += (
            f" In the timed windows it is {windows_longer_ms:.2f} ms longer: most of that is not in the traces."
        )
    return parts_sentence + _reasons(row, fastest, [part for part in by_growth if longer_by_ms[part] >= least_ms])


def _reasons(row: Row, fastest: Row, parts: list[str]) -> str:
    """Say for each longer part which setting makes it longer, or that no setting explains it."""
    reason_by_part = {part: _reason(part, row.settings, fastest) for part in parts}
    known_reasons = [f" `{part}`: {reason}." for part, reason in reason_by_part.items() if reason]
    unknown_parts = [f"`{part}`" for part, reason in reason_by_part.items() if not reason]
    unknown_sentence = f" No setting explains {wording.listing(unknown_parts)}." if unknown_parts else ""
    return "".join(known_reasons) + unknown_sentence


def _reason(part: str, settings: Settings, fastest: Row) -> str:
    """Return why a part of a step is longer than that of the fastest; empty where no setting explains it."""
    faster, name = fastest.settings, f"`{fastest.strategy}`"
    if part in LAUNCHING and _started_by(settings) < _started_by(faster):
        return f"{OPERATIONS_STARTED_BY[_started_by(settings)]}; {name}: {OPERATIONS_STARTED_BY[_started_by(faster)]}"
    if settings.backend != faster.backend and (reason := _fed_differently(part, settings, faster)):
        return reason
    return _computed_differently(settings, fastest) if part in COMPUTING else ""


def _fed_differently(part: str, settings: Settings, faster: Settings) -> str:
    if part in FEEDING:
        feeds = f"under {title(settings.backend)} than under {title(faster.backend)}"
        return f"Keras feeds the same data in another way {feeds}"
    if part == BETWEEN and settings.backend in FETCHES_BETWEEN:
        backend = title(settings.backend)
        return f"Keras also fetches the next batch there under {backend}: the trace does not tell that apart"
    return ""


def _computed_differently(settings: Settings, fastest: Row) -> str:
    faster, name = fastest.settings, f"`{fastest.strategy}`"
    # JAX does not tell its number of threads: it has at most one for each core.
    if settings.intra_op_threads < faster.intra_op_threads:
        threads = wording.count(settings.intra_op_threads, "thread")
        return f"it computes with {threads}, {name} with up to {faster.intra_op_threads}"
    if settings.compute_dtype != faster.compute_dtype:
        return f"it computes in {settings.compute_dtype}, {name} in {faster.compute_dtype}"
    return "it computes without TF32" if faster.tf32 and settings.tf32 is False else ""


def _started_by(settings: Settings) -> int:
    if settings.jit_compile:
        return 2
    return 0 if settings.run_eagerly or settings.backend == "torch" else 1


def _first_call(row: Row, fastest: Row) -> str:
    """Say after how many steps the fastest has made up for its longer first call; empty where it is not longer."""
    longer_ms = MS_PER_S * (fastest.first_call_s - row.first_call_s)
    # Batches may differ in size, so what a step saves is counted for each sample.
    saved_ms = _step_ms(row) / row.settings.batch_size - _step_ms(fastest) / fastest.settings.batch_size
    if row.rank == fastest.rank or longer_ms <= 0 or saved_ms <= 0:
        return ""
    steps_to_recover = math.ceil(longer_ms / (saved_ms * fastest.settings.batch_size))
    return (
        f" The first call of `{fastest.strategy}`, which traces and compiles, takes "
        f"{wording.duration(longer_ms / MS_PER_S)} longer; that is made up for after {steps_to_recover:,} steps."
    )


def _step_ms(row: Row) -> float:
    return MS_PER_S * row.settings.batch_size / row.samples_per_s.value


def _parts_ms(row: Row) -> dict[str, float]:
    """Return the parts of one step in ms.

    The breakdown is of one call of the train function, so it is divided by `steps_per_execution`.
    """
    if row.breakdown is None:
        return {}
    per_call = row.settings.steps_per_execution
    return {category: ms / per_call for category, ms in row.breakdown.ledger_ms.items() if ms > 0}
