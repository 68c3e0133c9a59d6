"""The stages of a proof on a GPU: each returns what it found, `done`, and of what it had no time for all: `covered`."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

from gpu_expected import EXPECTED
from gpu_proof import HERE

from gpuprobe.recording import STUDY_FILE
from gpuprobe.strategies.registry import select

if TYPE_CHECKING:
    from pathlib import Path

    from gpu_proof import Proof

READINGS = ("utilization_percent", "power_w", "sm_clock_mhz", "cpu_cores")
# What one flaw may take, and what it takes at least: to start, to train, and to be diagnosed.
FLAW_LIMIT_S, FLAW_LEAST_S = 90.0, 20.0
# What a study takes beside its budget: to start, to end its last run, and to write its report. Interrupted, it still
# writes the report of what it has; one that could not is written after it.
AROUND_STUDY_S, STUDY_GRACE_S, REPORT_S = 35.0, 12.0, 10.0
# Turns of a training with and without the callback, and what it takes to start that and to warm up.
FEWEST_TURNS, CALLBACK_STARTS_S = 3, 15.0
TOO_LONG = "took too long"


def doctor(proof: Proof) -> dict[str, Any]:
    """Say by check how it ended; what a check says may name the host, and stays here."""
    answer = proof.python("-m", "gpuprobe.cli", "doctor", "--json", limit_s=120)
    if not answer.out:
        return {"missing": "doctor did not answer"}
    results = json.loads(answer.out)["results"]
    return {"done": True, "checks": {one["name"]: one["status"] for one in results}}


def flaws(proof: Proof) -> dict[str, Any]:
    """Train each flaw, and say what it was called; those that got a verdict are not trained again."""
    judged = dict(proof.found.get("flaws", {}).get("judged", {}))
    for name, expected in EXPECTED.items():
        if judged.get(name, {}).get("cause") or proof.left_s < FLAW_LEAST_S:
            continue
        limit_s, began_s = min(FLAW_LIMIT_S, proof.left_s), time.monotonic()
        found = _judged(proof, name, limit_s)
        if found.get("missing") == TOO_LONG and limit_s < FLAW_LIMIT_S:
            # Another time it has all of its time.
            break
        judged[name] = {"expected": expected, **found, "seconds": round(time.monotonic() - began_s, 1)}
        proof.keep("flaws", {"done": False, "judged": judged})
        print(f"  {name}: {found.get('cause') or found.get('missing')}", flush=True)
    told = sum(bool(one.get("cause")) for one in judged.values())
    return {"done": told == len(EXPECTED), "covered": f"{told} of {len(EXPECTED)} flaws", "judged": judged}


def _judged(proof: Proof, name: str, limit_s: float) -> dict[str, Any]:
    out = proof.work / "flaws" / name
    neighbour = proof.load(limit_s) if name == "shared_card" else None
    try:
        answer = proof.python(HERE / "gpu_flaws.py", name, out, limit_s=limit_s)
    finally:
        if neighbour is not None:
            neighbour.kill()
            neighbour.wait()
    run = next(out.glob("*/runs/1-fit"), None)
    if answer.code != 0 or run is None:
        return {"missing": TOO_LONG if answer.code is None else f"the training failed ({answer.code})"}
    answer = proof.python("-m", "gpuprobe.cli", "diagnose", run, "--json", limit_s=120)
    if answer.code is None or not answer.out:
        return {"missing": "the diagnosis did not answer"}
    said = json.loads(answer.out)
    primary = next((one for one in said["findings"] if one["primary"]), {})
    device = next(iter(said["devices"]), {})
    load = {one["name"]: one["value"] for one in said["telemetry"] if one["name"] in READINGS}
    told = {"cause": primary.get("cause"), "confidence": primary.get("confidence"), "readings": load}
    return {**told, "step_ms": device.get("step_ms"), "ledger_ms": device.get("ledger_ms")}


def callback(proof: Proof) -> dict[str, Any]:
    """Say how much longer a step takes beside the Probe, in turns with one that has none; each turn counts."""
    seconds = max(1.0, proof.left_s - CALLBACK_STARTS_S)
    answer = proof.python(HERE / "gpu_flaws.py", "time", proof.work / "timed", f"{seconds:.0f}")
    lines = [line.split()[1:] for line in answer.out.splitlines() if line.startswith("STEP_MS ")]
    pairs = [(float(line[0]), float(line[1])) for line in lines if len(line) == 2]
    if not pairs:
        return {"missing": "the training ended no turn"}
    bare_ms, probed_ms = zip(*pairs, strict=True)
    covered = f"{len(pairs)} turns, and {FEWEST_TURNS} are wanted"
    return {"done": len(pairs) >= FEWEST_TURNS, "covered": covered, "bare_ms": bare_ms, "probed_ms": probed_ms}


def study(proof: Proof) -> dict[str, Any]:
    """Measure every strategy, each with its prediction."""
    earlier = max(proof.work.glob(f"*/{STUDY_FILE}"), default=None)
    # On a processor a shallower network: there the study is tried, and proves nothing.
    on_gpu = proof.found.get("doctor", {}).get("checks", {}).get(f"{proof.backend}_gpu") == "pass"
    # A search would take the time of the others, whose predictions are to be held against what is measured.
    names = ",".join(one.name for one in select("all") if not one.combines and not one.lacks(proof.backend))
    depth = 20 if on_gpu else 8
    new = ("--strategies", names, "--data", "synthetic", "--quick", "--depth", depth, "--out", proof.work)
    words = ("--resume", earlier.parent) if earlier else (*new, "--backend", proof.backend)
    budget = f"{max(30.0, proof.left_s - AROUND_STUDY_S):.0f}s"
    run = ("-m", "gpuprobe.cli", "run", *words, "--budget", budget)
    proof.python(*run, limit_s=max(1.0, proof.left_s - REPORT_S), grace_s=STUDY_GRACE_S)
    where = max(proof.work.glob(f"*/{STUDY_FILE}"), default=None)
    if where is None:
        return {"missing": "the study could not begin"}
    report = where.parent / "report.json"
    if not report.is_file():
        proof.python("-m", "gpuprobe.cli", "report", where.parent)
    if not report.is_file():
        return {"missing": "the study left no report"}
    return _told(json.loads(report.read_text()), where.parent)


def _told(report: dict[str, Any], folder: Path) -> dict[str, Any]:
    rows, skipped = report["rows"], {one["strategy"]: one["message"] for one in report["skipped"]}
    runs = [json.loads(run.read_text()) for run in sorted(folder.glob("runs/*/run.json"))]
    slowed = [run["trace"]["slowdown"] for run in runs if run.get("trace") and run["trace"].get("slowdown")]
    return {
        "done": bool(rows) and not report["not_run"],
        "covered": f"{len(rows)} of {len(rows) + len(report['not_run'])} strategies",
        "device": rows[0]["settings"]["device"] if rows and rows[0]["settings"] else "",
        "rows": [{"strategy": row["strategy"], "samples_per_s": row["samples_per_s"]["value"]} for row in rows],
        "skipped": skipped,
        "predictions": [one for one in report["scorecard"] if one["predicted"] or one["missing"]],
        "profiler_slowdown": slowed,
    }


def totals(proof: Proof) -> dict[str, Any]:
    """Add up each trace's kernels once more, event by event, beside our own breakdown."""
    from gpu_totals import compared

    traces = [*proof.work.glob("flaws/*/*/runs/*/trace"), *proof.work.glob("*/runs/*/trace")]
    found, seen = [], 0
    for trace in traces:
        if proof.left_s <= 0:
            break
        found.append(compared(trace))
        seen += 1
    every = seen == len(traces) and proof.is_done("study") and proof.is_done("flaws")
    covered = f"{seen} of the {len(traces)} traces so far"
    return {"done": bool(traces) and every, "covered": covered, "traces": [one for one in found if one]}
