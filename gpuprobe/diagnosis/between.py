"""Time between two steps that goes into feeding, not into callbacks.

Keras on JAX, and loops in JAX, fetch a batch before they call the compiled function. A trace does not tell that from
callbacks, but the data and callbacks that `fit` was given do. In TensorFlow, a pipeline that never pauses and that the
training still waits for also causes the time between the steps: without callbacks, the training would wait as long in
its iterator. If its maps call Python, they also hold the interpreter's lock between the steps.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from gpuprobe import wording
from gpuprobe.diagnosis.confidence import LOWER
from gpuprobe.thresholds import fixed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gpuprobe.diagnosis.records import Finding
    from gpuprobe.records import Evidence

# Frameworks that fetch batches between the calls, and kinds of data whose batches Python makes.
FETCHES_BETWEEN = frozenset({"jax"})
MADE_BY_PYTHON = frozenset({"a generator", "a PyDataset"})
FEEDING_OR_CALLBACKS = (
    "The next batch is fetched there too, and the trace does not tell that from callbacks, metrics and logging."
)


def feeding_told_apart(findings: Sequence[Finding], known: Evidence) -> tuple[Finding, ...]:
    """Return the findings; time between steps becomes part of `input_bound` where batches are made in it.

    Where JAX's trace does not tell whether they are, the finding says so and is less sure.
    """
    busy = known.number("pipeline_busy_fraction") or 0.0
    if known.text("framework") == "tensorflow" and busy >= fixed.PIPELINE_NEVER_PAUSES:
        return _with_pipelines_pace(findings)
    if known.text("framework") not in FETCHES_BETWEEN:
        return tuple(findings)
    others = {finding.cause for finding in findings}
    return tuple(
        _as_feeding(finding, known)
        if finding.cause == "host_between_steps" and "input_bound" not in others
        else finding
        for finding in findings
    )


def _with_pipelines_pace(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """Return the findings, with the time between steps as part of the wait for a pipeline that never pauses."""
    first = next((finding for finding in findings if finding.primary), None)
    waits = next((finding for finding in findings if finding.cause == "input_bound"), None)
    if first is None or first.cause != "host_between_steps" or waits is None or waits.confidence == "low":
        return tuple(findings)
    also_between = (
        f"Another {wording.share(first.severity)} passes between the steps, while the pipeline works without a pause: "
        "it sets the pace there too."
    )
    lead = msgspec.structs.replace(
        waits,
        primary=True,
        severity=min(1.0, waits.severity + first.severity),
        claim=f"{waits.claim} {also_between}",
        # Callbacks that take as long as the pipeline would look the same.
        confidence=waits.confidence if waits.severity > first.severity else LOWER[waits.confidence],
        symptom_of=None,
        ties_with=None,
    )
    return (lead, *(finding for finding in findings if finding is not first and finding is not waits))


def _as_feeding(finding: Finding, known: Evidence) -> Finding:
    kind, callbacks = known.text("data_kind"), known.get("own_callbacks")
    if kind not in MADE_BY_PYTHON:
        return msgspec.structs.replace(
            finding, claim=f"{finding.claim} {FEEDING_OR_CALLBACKS}", confidence=LOWER[finding.confidence]
        )
    no_callbacks = callbacks is not None and not callbacks.value
    claim = f"{finding.claim.partition(':')[0]}: Python makes the next batch there, from {kind}"
    return msgspec.structs.replace(
        finding,
        cause="input_bound",
        stage="python_feed",
        claim=f"{claim}, and no callback of yours runs." if no_callbacks else f"{claim}; your callbacks run there too.",
        confidence=finding.confidence if no_callbacks else LOWER[finding.confidence],
        evidence=(*finding.evidence, *known.only("data_kind", "own_callbacks")),
    )
