"""What Python does between two steps where a framework makes the next batch there: feeding, not callbacks.

Keras on JAX, and loops of JAX, fetch a batch before they call the compiled function. No trace tells that from
callbacks: what `fit` was given does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from gpuprobe.diagnosis.join import LOWER

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
    if known.text("framework") not in FETCHES_BETWEEN:
        return tuple(findings)
    others = {found.cause for found in findings}
    return tuple(
        _fed(found, known) if found.cause == "host_between_steps" and "input_bound" not in others else found
        for found in findings
    )


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
