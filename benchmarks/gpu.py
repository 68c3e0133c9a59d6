"""Proves or refutes on a GPU what README claims: one command, whatever the time lasts for.

    python benchmarks/gpu.py [--backend jax] [--minutes 8] --out DIR

Each stage writes what it found into DIR/gpu.json as it ends, with a page beside it. Started again on the same DIR, it
goes on with what is missing. Where the time is short, stages do less or are left out, and `incomplete` says which.
Of the host nothing is written but the name of the card. Without a GPU it runs through all the same, and says "not yet
on a GPU".
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gpu_stages as stages
from gpu_card import card, sampler
from gpu_proof import PAGE, RESULT, WORK, Proof

from gpuprobe import telemetry
from gpuprobe.backends.known import BACKENDS, usual


@dataclass(frozen=True)
class Stage:
    """A part of the proof: begun only where `least_s` are left, and given its `share` of the whole time.

    What an earlier stage did not use is its too. The least is measured on two cores of a processor, where each takes
    longest.
    """

    run: Callable[[Proof], dict[str, Any]]
    least_s: float
    share: float


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backend", choices=list(BACKENDS), help="what Keras trains with (default: what is installed)")
    parser.add_argument("--minutes", type=float, default=8.0, help="when to stop, whatever is left")
    parser.add_argument("--out", type=Path, required=True, help="where the result goes")
    asked = parser.parse_args()
    backend = asked.backend or usual()
    (asked.out / WORK).mkdir(parents=True, exist_ok=True)
    earlier = asked.out / RESULT
    found = json.loads(earlier.read_text()) if earlier.is_file() else {}
    if found.get("backend", backend) != backend:
        sys.exit(f"{earlier}: was measured with {found['backend']}; name another --out")
    total_s = 60 * asked.minutes
    proof = Proof(asked.out, backend, 0.0, found)
    ends_s = time.monotonic() + total_s
    proof.keep("backend", backend)
    proof.keep("card", ", ".join(gpu.name for gpu in telemetry.inventory().gpus))
    proof.keep("incomplete", {})
    for name in STAGES:
        proof.ends_s = ends_s - total_s * _of_later(proof, name)
        carry_out(proof, name, ends_s)
    trained = proof.found.get("study", {}).get("device", "")
    proof.keep("proved_on", proof.found["card"] if "GPU" in trained else "")
    print(f"{asked.out / RESULT}: {proof.found['proved_on'] or 'not yet on a GPU'}; {asked.out / PAGE} shows it")
    return 0


def _of_later(proof: Proof, name: str) -> float:
    """Return which share of the whole time the stages after this one are to have, as far as they are not done."""
    later = list(STAGES)[list(STAGES).index(name) + 1 :]
    return sum(STAGES[one].share for one in later if not proof.is_done(one))


def carry_out(proof: Proof, name: str, ends_s: float) -> None:
    """Run a stage that is not done yet, unless its time is not there; say of one that it had too little time."""
    if proof.is_done(name):
        return
    least_s = STAGES[name].least_s
    # The least comes before the shares of the later ones.
    proof.ends_s = min(ends_s, max(proof.ends_s, time.monotonic() + least_s))
    given_s = proof.left_s
    if given_s < least_s:
        _say_incomplete(proof, name, f"left out: {max(0.0, given_s):.0f} s were left, and it takes {least_s:.0f} s")
        return
    began_s = time.monotonic()
    print(f"{name}: begins, has {given_s:.0f} s", flush=True)
    try:
        value = STAGES[name].run(proof)
    except Exception as error:  # noqa: BLE001 - what one stage meets must not cost the others
        traceback.print_exc()
        value = {"missing": f"it ended with {type(error).__name__}"}
    seconds = round(time.monotonic() - began_s, 1)
    proof.keep(name, {**value, "seconds": seconds})
    if value.get("done"):
        print(f"{name}: {value.get('missing') or 'done'}, {seconds:.0f} s", flush=True)
    else:
        _say_incomplete(proof, name, f"{value.get('missing') or value.get('covered') or 'in part'} ({seconds:.0f} s)")


def _say_incomplete(proof: Proof, name: str, words: str) -> None:
    proof.keep("incomplete", {**proof.found["incomplete"], name: words})
    print(f"{name}: {words}", flush=True)


def watched(measure: Callable[..., dict[str, Any]]) -> Callable[[Proof], dict[str, Any]]:
    """Give a stage about the card what loads it."""
    return lambda proof: measure(proof.work, proof.load)


# The verdicts first. The study can use whatever time the others leave, and comes after them.
STAGES = {
    "doctor": Stage(stages.doctor, 5, 0.06),
    "flaws": Stage(stages.flaws, stages.FLAW_LEAST_S, 0.36),
    "callback": Stage(stages.callback, 20, 0.08),
    "card_readings": Stage(watched(card), 25, 0.06),
    "sampler": Stage(watched(sampler), 15, 0.04),
    "study": Stage(stages.study, 60, 0.36),
    "totals": Stage(stages.totals, 5, 0.04),
}
if __name__ == "__main__":
    sys.exit(main())
