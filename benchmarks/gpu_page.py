"""The page of a proof on a GPU, and the table of README that is made of it.

python benchmarks/gpu_page.py            write the table into README.md, of reports/gpu.json where there is one
"""

from __future__ import annotations

import json
import re
import statistics
from html import escape
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
KEPT = ROOT / "reports" / "gpu.json"
NOT_YET = "not yet on a GPU"
MARKS = re.compile(r"(<!-- proved on a GPU: made by benchmarks/gpu_page.py -->\n).*?(<!-- end -->)", re.DOTALL)
Rows = list[tuple[str, str]]


def rows(found: dict[str, Any]) -> Rows:
    """Return what was claimed and what came out, stage by stage; a stage that is missing says so."""
    return [
        ("NVML against nvidia-smi", _readings(found.get("card_readings", {}))),
        ("the sampler's cost", _sampler(found.get("sampler", {}))),
        ("the main study", _study(found.get("study", {}))),
        ("predictions beside measurements", _predictions(found.get("study", {}))),
        ("what the profiler slows", _slowdown(found.get("study", {}))),
        ("flaws put in", _flaws(found.get("flaws", {}))),
        ("what the callback slows", _callback(found.get("callback", {}))),
        ("kernel time added up twice", _totals(found.get("totals", {}))),
    ]


def table(found: dict[str, Any]) -> str:
    """Return the table as Markdown; without a GPU in it, what is not proved."""
    on = found.get("proved_on")
    told = [(claim, words if on else NOT_YET) for claim, words in rows(found)]
    lines = [
        f"| claim | measured on {on or 'a GPU'} |",
        "|---|---|",
        *(f"| {claim} | {words} |" for claim, words in told),
    ]
    return "\n".join(lines) + "\n"


def page(found: dict[str, Any]) -> str:
    """Return one page of everything."""
    on = found.get("proved_on") or f"{NOT_YET} (what follows ran on the processor)"
    body = "".join(f"<tr><th>{escape(claim)}</th><td>{escape(words)}</td></tr>" for claim, words in rows(found))
    missing = "; ".join(f"{name}: {words}" for name, words in found.get("incomplete", {}).items()) or "nothing"
    raw = escape(json.dumps(found, indent=1))
    return (
        "<!doctype html><meta charset=utf-8><title>gpuprobe on a GPU</title><style>body{font:16px sans-serif;max-width:"
        "60em;margin:2em auto}th{text-align:left;padding-right:2em}</style>"
        f"<h1>gpuprobe: {escape(on)}</h1><p>Backend {escape(found.get('backend', ''))}. Incomplete: {escape(missing)}."
        f"</p><table>{body}</table><details><summary>All figures</summary><pre>{raw}</pre></details>\n"
    )


def _readings(found: dict[str, Any]) -> str:
    pairs = [
        f"{name} {ours['nvml']:.4g} against {ours['nvidia_smi']:.4g}"
        for name, ours in found.get("at_work", {}).items()
        if ours["nvml"] is not None and ours["nvidia_smi"] is not None
    ]
    return "; ".join(pairs) or found.get("missing") or "nvidia-smi told nothing"


def _sampler(found: dict[str, Any]) -> str:
    if "core_share" not in found:
        return _missing(found)
    return f"{100 * found['core_share']:.1f} % of one core, {found['readings']} readings"


def _study(found: dict[str, Any]) -> str:
    ranked = [f"{row['strategy']} {row['samples_per_s']:.4g}/s" for row in found.get("rows", [])]
    part = "" if found.get("done") or not found.get("covered") else f" ({found['covered']})"
    return f"{', '.join(ranked)}{part}" if ranked else _missing(found)


def _predictions(found: dict[str, Any]) -> str:
    errors = [abs(one["error"]) for one in found.get("predictions", []) if one.get("error") is not None]
    if not errors:
        return "none to compare"
    return f"{len(errors)}, median error {100 * statistics.median(errors):.1f} %, worst {100 * max(errors):.1f} %"


def _slowdown(found: dict[str, Any]) -> str:
    slowed = found.get("profiler_slowdown", [])
    return f"{statistics.median(slowed):.2f} times, median of {len(slowed)} runs" if slowed else _missing(found)


def _flaws(found: dict[str, Any]) -> str:
    judged = found.get("judged", {})
    right = [name for name, one in judged.items() if one.get("cause") in one["expected"]]
    wrong = [f"{name} as {one.get('cause') or one.get('missing')}" for name, one in judged.items() if name not in right]
    return (
        f"{len(right)} of {len(judged)} called right" + (f"; {', '.join(wrong)}" if wrong else "")
        if judged
        else (_missing(found))
    )


def _callback(found: dict[str, Any]) -> str:
    if "bare_ms" not in found:
        return _missing(found)
    ratios = [probed / bare for bare, probed in zip(found["bare_ms"], found["probed_ms"], strict=True)]
    return f"steps {statistics.median(ratios):.3f} times as long, median of {len(ratios)} turns"


def _totals(found: dict[str, Any]) -> str:
    pairs = [
        abs(one["ours_kernel_fraction"] - one["grid_kernel_fraction"])
        for one in found.get("traces", [])
        if one["ours_kernel_fraction"] is not None and one["grid_kernel_fraction"] is not None
    ]
    return f"{len(pairs)} traces, at most {max(pairs):.4f} of the span apart" if pairs else "no trace of a GPU"


def _missing(found: dict[str, Any]) -> str:
    return str(found.get("missing") or "not measured")


def main() -> None:
    found = json.loads(KEPT.read_text()) if KEPT.is_file() else {}
    readme = ROOT / "README.md"
    readme.write_text(MARKS.sub(lambda marks: marks[1] + table(found) + marks[2], readme.read_text()))


if __name__ == "__main__":
    main()
