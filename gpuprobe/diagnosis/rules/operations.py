"""The rules about operations that could be avoided: loops in the model, and an optimizer that updates too many rows.

A GPU's trace shows each iteration of a loop. A processor's trace shows only operations that take some time. The graph
of the step, where it was read, gives the number of iterations, and whether one needs the result of the one before.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gpuprobe import wording
from gpuprobe.diagnosis.records import Finding, NotEvaluated
from gpuprobe.diagnosis.rules.because import because
from gpuprobe.diagnosis.rules.finding import finding_of
from gpuprobe.diagnosis.rules.trace_confidence import breakdown_confidence
from gpuprobe.thresholds import fixed

if TYPE_CHECKING:
    from gpuprobe.diagnosis.causes import CauseId
    from gpuprobe.diagnosis.rules.rule import Result
    from gpuprobe.records import Confidence, Evidence
    from gpuprobe.thresholds import Thresholds

TRACED = ("loop_share", "loop_turns", "loop_maps")
OF_GRAPH = ("graph_loop", "graph_loop_turns", "graph_loop_started")


@dataclass(frozen=True)
class _Loop:
    """A loop that takes `share` of the step (0 to 1) in `turns` iterations; `serial` is None where no graph was read.

    `recurrent` says that it is a recurrent layer's by its name, which counts where no graph was read.
    `by` says in words how its share is known; `of` names the signals that show it.
    """

    path: str
    share: float
    turns: float
    serial: bool | None
    by: str
    of: tuple[str, ...]
    recurrent: bool = False


def serial_loop(evidence: Evidence, limits: Thresholds) -> Result:
    """A loop in the graph of the step that runs once for each sample, or a `tf.map_fn`."""
    loop, reason = _loop_of(evidence, limits)
    if loop is None:
        return NotEvaluated(cause="serial_loop", reason=reason) if reason else None
    if loop.serial or loop.recurrent:
        return None
    batch = evidence.number("batch_size")
    of_samples = bool(batch) and fixed.TURNS_NOTED_LOW <= loop.turns / (batch or 1.0) <= fixed.TURNS_NOTED_HIGH
    if of_samples:
        runs = f"once for each of the {batch:.0f} samples of a batch, one after the other"
    elif evidence.flag("loop_maps") and loop.of == TRACED:
        runs = "once for each element, one after the other"
    elif loop.serial is False:
        runs = f"{loop.turns:.0f} times in a step, one after the other, and no iteration needs another"
    elif batch is None:
        runs = f"{loop.turns:.0f} times a step, which may be once for each sample: the batch size is not known"
    else:
        return None
    sure = of_samples or bool(evidence.flag("loop_maps")) or loop.serial is False
    return _finding(evidence, "serial_loop", loop, f"it runs {runs}", "high" if sure else "medium")


def loop_through_time(evidence: Evidence, limits: Thresholds) -> Result:
    """A loop in the graph of the step whose iterations need each other.

    If only the trace shows the loop, which does not tell that, one that does not run once for each sample.
    """
    loop, reason = _loop_of(evidence, limits)
    if loop is None:
        return NotEvaluated(cause="loop_through_time", reason=reason) if reason else None
    if loop.serial is False:
        return None
    if loop.serial:
        runs = f"it runs {loop.turns:.0f} times in each step, and each iteration needs the one before"
        linear = bool(evidence.flag("graph_loop_linear"))
        return _finding(evidence, "loop_through_time", loop, runs, "high", "linear" if linear else None)
    if loop.recurrent:
        runs = (
            f"it runs {loop.turns:.0f} times in a step, and by its name it is a recurrent layer's, of which each "
            "iteration needs the one before"
        )
        return _finding(evidence, "loop_through_time", loop, runs, "medium")
    batch = evidence.number("batch_size")
    if batch is None or evidence.flag("loop_maps") or loop.turns / batch >= fixed.TURNS_NOTED_LOW:
        return None
    runs = (
        f"it runs {loop.turns:.0f} times in a step of {batch:.0f} samples; the trace does not tell whether each "
        "iteration needs the one before"
    )
    return _finding(evidence, "loop_through_time", loop, runs, "medium")


def dense_update(evidence: Evidence, limits: Thresholds) -> Result:
    """An optimizer that updates all rows of a weight, although the batch used few, takes most of the step."""
    if reason := evidence.lacking("dense_update_share"):
        return NotEvaluated(cause="dense_update", reason=reason)
    share = evidence.number("dense_update_share") or 0.0
    if share < limits.mostly:
        return None
    return finding_of(
        evidence,
        "dense_update",
        severity=share,
        confidence=breakdown_confidence(evidence, limits, share),
        claim=f"In {wording.share(share)} of the step the optimizer updates all rows of a weight, as that of an "
        f"embedding, for the few that the batch used.{because('dense_update', evidence)}",
        names=("dense_update_share", "operation_share"),
    )


def _loop_of(evidence: Evidence, limits: Thresholds) -> tuple[_Loop | None, str]:
    """Return the loop that takes much of the step, in many iterations; else None, and why that is not known, if so."""
    traced, graph = evidence.lacking(*TRACED), evidence.lacking(*OF_GRAPH)
    loops = []
    if not traced:
        share, turns = evidence.numbers("loop_share", "loop_turns")
        path = evidence.text("loop")
        serial = evidence.flag("graph_loop_serial") if _same(path, evidence.text("graph_loop")) else None
        of_step = turns / (evidence.number("steps_per_execution") or 1.0)
        recurrent = serial is None and bool(evidence.flag("loop_recurrent"))
        by = f"takes {wording.share(share)} of the step"
        loops.append(_Loop(path, share, of_step, serial, by, TRACED, recurrent))
    if not graph and (loop := _of_graph(evidence)) is not None:
        loops.append(loop)
    kept = [loop for loop in loops if loop.share >= limits.loop_share and loop.turns >= limits.loop_turns]
    if kept:
        return kept[0], ""
    unread = evidence.get(OF_GRAPH[0])
    # A processor's trace leaves out short operations: without the graph a loop of them is not seen.
    hidden = unread.missing if unread is not None and evidence.text("device_kind") == "cpu" else None
    return None, hidden or ("" if loops else traced or "")


def _of_graph(evidence: Evidence) -> _Loop | None:
    """Return the loop of the graph if it starts nearly all operations, else None.

    Its share is that of the step in which operations are started.
    """
    turns, started = evidence.numbers("graph_loop_turns", "graph_loop_started")
    starting = evidence.number("share.overhead")
    if starting is None or started < fixed.LOOP_STARTS:
        return None
    share = starting * started
    by = (
        f"starts {wording.share(started)} of the operations of a step, and starting them takes "
        f"{wording.share(share)} of it"
    )
    return _Loop(evidence.text("graph_loop"), share, turns, evidence.flag("graph_loop_serial"), by, OF_GRAPH)


def _same(path: str, other: str) -> bool:
    """Whether two paths name the same loop; a trace leaves out the scopes around the model."""
    return bool(path and other) and (f"/{other}".endswith(f"/{path}") or f"/{path}".endswith(f"/{other}"))


def _finding(
    evidence: Evidence, cause: CauseId, loop: _Loop, runs: str, confidence: Confidence, stage: str | None = None
) -> Finding:
    return finding_of(
        evidence,
        cause,
        severity=loop.share,
        confidence=confidence,
        claim=f"A loop in the model's graph, {loop.path}, {loop.by}: {runs}.",
        names=(*loop.of, "batch_size"),
        stage=stage,
    )
