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
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gpu_card import card, sampler
from gpu_expected import EXPECTED
from gpu_page import page

from gpuprobe import telemetry
from gpuprobe.backends.known import BACKENDS, environment, usual
from gpuprobe.recording import STUDY_FILE

HERE = Path(__file__).parent
RESULT, PAGE, WORK = "gpu.json", "gpu.html", "work"
# A stage begins only where so much time is left; measured on two cores of a processor, where each takes longest.
LEAST_S = {"doctor": 5, "card_readings": 25, "sampler": 15, "study": 90, "flaws": 30, "callback": 30, "totals": 5}
STUDY_SHARE = 0.45
READINGS = ("utilization_percent", "power_w", "sm_clock_mhz", "cpu_cores")
FLAW_LIMIT_S = 90.0


@dataclass
class Proof:
    """What was found so far, by stage, and how long there is left."""

    out: Path
    backend: str
    ends_s: float
    found: dict[str, Any] = field(default_factory=dict)

    @property
    def left_s(self) -> float:
        return self.ends_s - time.monotonic()

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

    def python(self, *words: object, limit_s: float | None = None) -> subprocess.CompletedProcess[str] | None:
        """Run Python under the backend, None where it took longer than there is time."""
        limit_s = max(1.0, min(limit_s or self.left_s, self.left_s))
        try:
            return subprocess.run(
                [sys.executable, *map(str, words)],
                env={**os.environ, **environment(self.backend)},
                capture_output=True,
                text=True,
                timeout=limit_s,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return None


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
    proof = Proof(asked.out, backend, time.monotonic() + 60 * asked.minutes, found)
    proof.keep("backend", backend)
    proof.keep("card", ", ".join(gpu.name for gpu in telemetry.inventory().gpus))
    proof.keep("left_out", [])
    for name, stage in STAGES.items():
        carry_out(proof, name, stage)
    trained = proof.found.get("study", {}).get("device", "")
    proof.keep("proved_on", proof.found["card"] if "GPU" in trained else "")
    print(f"{asked.out / RESULT}: {proof.found['proved_on'] or 'not yet on a GPU'}; {asked.out / PAGE} shows it")
    return 0


def carry_out(proof: Proof, name: str, stage: Callable[[Proof], Any]) -> None:
    """Run a stage that is not done yet, unless its time is not there."""
    if proof.found.get(name, {}).get("done"):
        return
    if proof.left_s < LEAST_S[name]:
        proof.keep("left_out", [*proof.found["left_out"], name])
        print(f"{name}: left out, {proof.left_s:.0f} s left", flush=True)
        return
    began_s = time.monotonic()
    print(f"{name}: begins, {proof.left_s:.0f} s left", flush=True)
    value = stage(proof)
    proof.keep(name, {**value, "seconds": round(time.monotonic() - began_s, 1)})


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
    words = ("--resume", earlier.parent) if earlier else ("--data", "synthetic", "--quick", "--out", proof.work)
    budget_s = max(60.0, STUDY_SHARE * proof.left_s)
    more = ("--budget", f"{budget_s:.0f}s", *(() if earlier else ("--backend", proof.backend)))
    proof.python("-m", "gpuprobe.cli", "run", *words, *more, limit_s=budget_s + 60)
    where = max(proof.work.glob(f"*/{STUDY_FILE}"), default=None)
    if where is None:
        return {"missing": "the study could not begin"}
    proof.python("-m", "gpuprobe.cli", "report", where.parent, limit_s=120)
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
        if name in judged or proof.left_s < LEAST_S["flaws"] / 2:
            continue
        judged[name] = {"expected": expected, **_judged(proof, name)}
        proof.keep("flaws", {"done": False, "judged": judged})
    return {"done": len(judged) == len(EXPECTED), "judged": judged}


def _judged(proof: Proof, name: str) -> dict[str, Any]:
    out = proof.work / "flaws" / name
    script = HERE / "gpu_flaws.py"
    neighbour = _load(proof, FLAW_LIMIT_S) if name == "shared_card" else None
    try:
        done = proof.python(script, name, out, limit_s=FLAW_LIMIT_S)
    finally:
        if neighbour is not None:
            neighbour.kill()
            neighbour.wait()
    run = next(out.glob("*/runs/1-fit"), None)
    if done is None or done.returncode or run is None:
        return {"missing": "took too long" if done is None else f"the training failed ({done.returncode})"}
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
    environ = {**os.environ, **environment(proof.backend)}
    return subprocess.Popen(command, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


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
    return {"done": bool(traces), "traces": [found for trace in traces if (found := compared(trace))]}


def watched(measure: Callable[..., dict[str, Any]]) -> Callable[[Proof], dict[str, Any]]:
    """Give a stage about the card what loads it."""
    return lambda proof: measure(proof.work, lambda seconds: _load(proof, seconds))


STAGES: dict[str, Callable[[Proof], dict[str, Any]]] = {
    "doctor": doctor,
    "card_readings": watched(card),
    "sampler": watched(sampler),
    "study": study,
    "flaws": flaws,
    "callback": callback,
    "totals": totals,
}
if __name__ == "__main__":
    sys.exit(main())
