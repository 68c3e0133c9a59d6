"""Proves or refutes on a GPU what README claims: one command, whatever the time lasts for.

    python benchmarks/gpu.py [--backend jax] [--minutes 8] --out DIR

Each stage writes what it found into DIR/gpu.json as it ends, with a page beside it. Started again on the same DIR, it
goes on with what is missing. Where the time is short, later stages are left out and named. Of the host nothing is
written but the name of the card. Without a GPU it runs through all the same, and says "not yet on a GPU".
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gpu_card import card, sampler
from gpu_expected import EXPECTED
from gpu_page import page

from gpuprobe import telemetry
from gpuprobe.backends.known import BACKENDS, environment, usual
from gpuprobe.recording import STUDY_FILE
from gpuprobe.strategies.registry import select

HERE = Path(__file__).parent
RESULT, PAGE, WORK = "gpu.json", "gpu.html", "work"
READINGS = ("utilization_percent", "power_w", "sm_clock_mhz", "cpu_cores")
FLAW_LIMIT_S = 90.0
# What a study takes beside its budget: to start, to end its last run, and to write its report.
AROUND_STUDY_S = 30.0
# Interrupted, a study still writes the report of what it has; anything else has nothing to write.
GRACE_S, OTHERS_GRACE_S = 15.0, 1.0


@dataclass
class Proof:
    """What was found so far, by stage, and when the stage that runs has to end."""

    out: Path
    backend: str
    ends_s: float
    found: dict[str, Any] = field(default_factory=dict)

    @property
    def left_s(self) -> float:
        return self.ends_s - time.monotonic()

    def is_done(self, stage: str) -> bool:
        return bool(self.found.get(stage, {}).get("done"))

    @property
    def work(self) -> Path:
        return self.out / WORK

    def keep(self, stage: str, value: Any) -> None:
        """Write it where a stop cannot lose it."""
        self.found[stage] = value
        new = self.out / f"{RESULT}.new"
        new.write_text(json.dumps(self.found, indent=1) + "\n")
        new.replace(self.out / RESULT)
        (self.out / PAGE).write_text(page(self.found))

    def python(
        self, *words: object, limit_s: float | None = None, grace_s: float = OTHERS_GRACE_S
    ) -> subprocess.CompletedProcess[str] | None:
        """Run Python under the backend, None where it took longer than there is time.

        Then it is interrupted, and killed `grace_s` later.
        """
        limit_s = max(1.0, min(limit_s or self.left_s, self.left_s))
        command = [sys.executable, *map(str, words)]
        running = subprocess.Popen(
            command, env=_environ(self.backend), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        try:
            out, err = running.communicate(timeout=limit_s)
        except subprocess.TimeoutExpired:
            running.send_signal(signal.SIGINT)
            with suppress(subprocess.TimeoutExpired):
                running.communicate(timeout=grace_s)
            running.kill()
            running.communicate()
            return None
        if running.returncode and err.strip():
            # It may name the host: printed, it does not come into the result.
            print(f"  {err.strip().splitlines()[-1]}", flush=True)
        return subprocess.CompletedProcess(command, running.returncode, out, err)


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
    proof.keep("left_out", [])
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
    """Run a stage that is not done yet, unless its time is not there."""
    if proof.is_done(name):
        return
    # The least comes before the shares of the later ones.
    proof.ends_s = min(ends_s, max(proof.ends_s, time.monotonic() + STAGES[name].least_s))
    if proof.left_s < STAGES[name].least_s:
        proof.keep("left_out", [*proof.found["left_out"], name])
        print(f"{name}: left out, {proof.left_s:.0f} s left", flush=True)
        return
    began_s = time.monotonic()
    print(f"{name}: begins, has {proof.left_s:.0f} s", flush=True)
    try:
        value = STAGES[name].run(proof)
    except Exception as error:  # noqa: BLE001 - what one stage meets must not cost the others
        traceback.print_exc()
        value = {"missing": f"it ended with {type(error).__name__}"}
    seconds = round(time.monotonic() - began_s, 1)
    proof.keep(name, {**value, "seconds": seconds})
    if not value.get("done"):
        proof.keep("left_out", [*proof.found["left_out"], f"{name} in part"])
    print(f"{name}: {value.get('missing') or 'done' if value.get('done') else 'in part'}, {seconds:.0f} s", flush=True)


def doctor(proof: Proof) -> dict[str, Any]:
    """Say by check how it ended; what a check says may name the host, and stays here."""
    done = proof.python("-m", "gpuprobe.cli", "doctor", "--json", limit_s=120)
    if done is None or not done.stdout:
        return {"missing": "doctor did not answer"}
    results = json.loads(done.stdout)["results"]
    return {"done": True, "checks": {one["name"]: one["status"] for one in results}}


def study(proof: Proof) -> dict[str, Any]:
    """Measure every strategy, each with its prediction."""
    before = set(proof.work.glob(f"*/{STUDY_FILE}"))
    earlier = max(before, default=None)
    # On a processor a shallower network: there the study is tried, and proves nothing.
    on_gpu = proof.found.get("doctor", {}).get("checks", {}).get(f"{proof.backend}_gpu") == "pass"
    # A search would take the time of the others, whose predictions are to be held against what is measured.
    names = ",".join(one.name for one in select("all") if not one.combines and not one.lacks(proof.backend))
    depth = 20 if on_gpu else 8
    new = ("--strategies", names, "--data", "synthetic", "--quick", "--depth", depth, "--out", proof.work)
    words = ("--resume", earlier.parent) if earlier else new
    budget_s = max(30.0, proof.left_s - AROUND_STUDY_S)
    more = ("--budget", f"{budget_s:.0f}s", *(() if earlier else ("--backend", proof.backend)))
    proof.python("-m", "gpuprobe.cli", "run", *words, *more, grace_s=GRACE_S)
    where = max(proof.work.glob(f"*/{STUDY_FILE}"), default=None)
    if where is None:
        return {"missing": "the study could not begin"}
    report = where.parent / "report.json"
    if not report.is_file():
        return {"missing": "the study left no report"}
    told = json.loads(report.read_text())
    rows = told["rows"]
    runs = [json.loads(run.read_text()) for run in sorted(where.parent.glob("runs/*/run.json"))]
    slowed = [run["trace"]["slowdown"] for run in runs if run.get("trace") and run["trace"].get("slowdown")]
    return {
        "done": bool(rows) and not told["not_run"],
        "device": rows[0]["settings"]["device"] if rows and rows[0]["settings"] else "",
        "rows": [{"strategy": row["strategy"], "samples_per_s": row["samples_per_s"]["value"]} for row in rows],
        "skipped": {one["strategy"]: one["message"] for one in told["skipped"]},
        "predictions": [one for one in told["scorecard"] if one["predicted"] or one["missing"]],
        "profiler_slowdown": slowed,
    }


def flaws(proof: Proof) -> dict[str, Any]:
    """Train each flaw, and say what it was called; those that were judged are not trained again."""
    judged = dict(proof.found.get("flaws", {}).get("judged", {}))
    for name, expected in EXPECTED.items():
        if name in judged or proof.left_s < STAGES["flaws"].least_s:
            continue
        limit_s = min(FLAW_LIMIT_S, proof.left_s)
        found = _judged(proof, name, limit_s)
        if found.get("missing") == TOO_LONG and limit_s < FLAW_LIMIT_S:
            # Another time it has all of its time.
            break
        judged[name] = {"expected": expected, **found}
        proof.keep("flaws", {"done": False, "judged": judged})
        print(f"  {name}: {found.get('cause') or found.get('missing')}", flush=True)
    return {"done": len(judged) == len(EXPECTED), "judged": judged}


TOO_LONG = "took too long"


def _judged(proof: Proof, name: str, limit_s: float) -> dict[str, Any]:
    out = proof.work / "flaws" / name
    script = HERE / "gpu_flaws.py"
    neighbour = _load(proof, limit_s) if name == "shared_card" else None
    try:
        done = proof.python(script, name, out, limit_s=limit_s)
    finally:
        if neighbour is not None:
            neighbour.kill()
            neighbour.wait()
    run = next(out.glob("*/runs/1-fit"), None)
    if done is None or done.returncode or run is None:
        return {"missing": TOO_LONG if done is None else f"the training failed ({done.returncode})"}
    answer = proof.python("-m", "gpuprobe.cli", "diagnose", run, "--json", limit_s=120)
    if answer is None or not answer.stdout:
        return {"missing": "the diagnosis did not answer"}
    said = json.loads(answer.stdout)
    primary = next((one for one in said["findings"] if one["primary"]), {})
    device = next(iter(said["devices"]), {})
    load = {one["name"]: one["value"] for one in said["telemetry"] if one["name"] in READINGS}
    told = {"cause": primary.get("cause"), "confidence": primary.get("confidence"), "readings": load}
    return {**told, "step_ms": device.get("step_ms"), "ledger_ms": device.get("ledger_ms")}


def _load(proof: Proof, seconds: float) -> subprocess.Popen[bytes]:
    command = [sys.executable, str(HERE / "gpu_flaws.py"), "load", str(seconds)]
    environ = _environ(proof.backend)
    return subprocess.Popen(command, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def _environ(backend: str) -> dict[str, str]:
    return {**os.environ, **environment(backend)}


def callback(proof: Proof) -> dict[str, Any]:
    """Say how much slower the Probe makes a training that it watches, three turns of each."""
    done = proof.python(HERE / "gpu_flaws.py", "time", proof.work / "timed")
    line = next((line for line in (done.stdout if done else "").splitlines() if line.startswith("SECONDS")), "")
    seconds = [float(word) for word in line.split()[1:]]
    if not seconds:
        return {"missing": "the training did not end"}
    half = len(seconds) // 2
    return {"done": True, "bare_s": seconds[:half], "probed_s": seconds[half:]}


def totals(proof: Proof) -> dict[str, Any]:
    """Add up each trace's kernels once more, event by event, beside our own breakdown."""
    from gpu_totals import compared

    traces = [*proof.work.glob("*/runs/*/trace"), *proof.work.glob("flaws/*/*/runs/*/trace")]
    every = proof.is_done("study") and proof.is_done("flaws")
    return {"done": bool(traces) and every, "traces": [found for trace in traces if (found := compared(trace))]}


def watched(measure: Callable[..., dict[str, Any]]) -> Callable[[Proof], dict[str, Any]]:
    """Give a stage about the card what loads it."""
    return lambda proof: measure(proof.work, lambda seconds: _load(proof, seconds))


STAGES = {
    "doctor": Stage(doctor, 5, 0.08),
    "card_readings": Stage(watched(card), 25, 0.06),
    "sampler": Stage(watched(sampler), 15, 0.04),
    "study": Stage(study, 60, 0.34),
    "flaws": Stage(flaws, 20, 0.36),
    "callback": Stage(callback, 20, 0.08),
    "totals": Stage(totals, 5, 0.04),
}
if __name__ == "__main__":
    sys.exit(main())
