"""Time between two steps that is feeding, not callbacks.

Keras on JAX, and loops of JAX, fetch a batch before they call the compiled function. No trace tells that from
callbacks: what `fit` was given does. A pipeline of TensorFlow that is at work all along, and for which the training
still waits, sets the pace of what lies between the steps too: without callbacks the training would wait for as long in
its iterator. Where its maps are Python, they hold the interpreter's lock meanwhile.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from gpuprobe import wording
from gpuprobe.diagnosis.join import LOWER
from gpuprobe.thresholds import fixed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gpuprobe.diagnosis.records import Finding
    from gpuprobe.records import Evidence

# Frameworks whose batches come between the calls, and the data that Python makes batches of.
FETCHES_BETWEEN = frozenset({"jax"})
MADE_BY_PYTHON = frozenset({"a generator", "a PyDataset"})
EITHER = "There the next batch is fetched too, and the trace does not tell it from callbacks, metrics and logging."


def told_apart(findings: Sequence[Finding], known: Evidence) -> tuple[Finding, ...]:
    """Return the findings, with time between steps called what it is where batches are made in it."""
    busy = known.number("pipeline_busy_fraction") or 0.0
    if known.text("framework") == "tensorflow" and busy >= fixed.PIPELINE_NEVER_PAUSES:
        return _paced(findings)
    if known.text("framework") not in FETCHES_BETWEEN:
        return tuple(findings)
    others = {found.cause for found in findings}
    return tuple(
        _fed(found, known) if found.cause == "host_between_steps" and "input_bound" not in others else found
        for found in findings
    )


def _paced(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """Return the findings, the time between steps as part of the wait for a pipeline that never pauses."""
    first = next((found for found in findings if found.primary), None)
    waits = next((found for found in findings if found.cause == "input_bound"), None)
    if first is None or first.cause != "host_between_steps" or waits is None or waits.confidence == "low":
        return tuple(findings)
    more = (
        f"{wording.share(first.severity)} more passes between the steps, while the pipeline works without a pause: "
        "it sets the pace there too."
    )
    lead = msgspec.structs.replace(
        waits,
        primary=True,
        severity=min(1.0, waits.severity + first.severity),
        claim=f"{waits.claim} {more}",
        # Callbacks that take as long as the pipeline would look the same.
        confidence=waits.confidence if waits.severity > first.severity else LOWER[waits.confidence],
        symptom_of=None,
        ties_with=None,
    )
    return (lead, *(found for found in findings if found is not first and found is not waits))


def _fed(found: Finding, known: Evidence) -> Finding:
    kind, callbacks = known.text("data_kind"), known.get("own_callbacks")
    if kind not in MADE_BY_PYTHON:
        return msgspec.structs.replace(found, claim=f"{found.claim} {EITHER}", confidence=LOWER[found.confidence])
    alone = callbacks is not None and not callbacks.value
    claim = f"{found.claim.partition(':')[0]}: Python makes the next batch there, from {kind}"
    return msgspec.structs.replace(
        found,
        cause="input_bound",
        stage="python_feed",
        claim=f"{claim}, and no callback of yours runs." if alone else f"{claim}; your callbacks run there too.",
        confidence=found.confidence if alone else LOWER[found.confidence],
        evidence=(*found.evidence, *known.only("data_kind", "own_callbacks")),
    )
