"""Who was right: the sentence of TensorFlow's own profiler beside ours, on GPU traces that others recorded.

    python benchmarks/verdicts.py TRACES > benchmarks/verdicts.md

TRACES is a folder with the traces and their `INDEX.csv`: `file`, `label` (the true cause from the published times, or
several joined by " or " where they tie), `clear` (1 where the first leads by ten points), and `xprof_statement`, what
the profiler published when the trace was taken.
"""

from __future__ import annotations

import csv
import re
import sys
from pathlib import Path

from gpuprobe.diagnosis.case import Case
from gpuprobe.diagnosis.diagnose import diagnose
from gpuprobe.ledger.breakdown import breakdown_of
from gpuprobe.traces.read import read

# What the profiler's leading sentence amounts to, by its words.
SENTENCES = (
    (r"(?<!POTENTIALLY )(?:HIGHLY|MODERATELY) input-bound", "input_bound"),
    (r"POTENTIALLY input-bound", "input_bound"),
    (r"NOT input-bound", "not input_bound"),
)
SHORT = re.compile(r"Your program is (.*?)(?: because|\.)")


def xprof_says(sentence: str) -> tuple[str, str]:
    """Return the profiler's verdict in its own words, and the cause that a reader takes from them."""
    words = SHORT.search(sentence)
    cause = next((cause for pattern, cause in SENTENCES if re.search(pattern, sentence)), "nothing")
    return (words[1] if words else sentence[:60] or "nothing"), cause


def is_right(said: str, label: str) -> bool:
    """Whether an answer fits the truth; to say what it is not is right where it is not that."""
    true = label.split(" or ")
    return true != ["input_bound"] if said == "not input_bound" else said in true


def main(folder: Path) -> None:
    print("# XProf's sentence and ours\n")
    print("Written by `python benchmarks/verdicts.py TRACES`, on GPU traces that others recorded in 2020 and 2021. The")
    print('truth is the largest part of the step by the times that the profiler itself published. "Not input-bound"')
    print("counts as right wherever the input is not the cause, although it names none.\n")
    print("| trace | truth | XProf's leading sentence | right | gpuprobe | confidence | right |")
    print("|---|---|---|---|---|---|---|")
    right = {"xprof": 0, "gpuprobe": 0}
    rows = list(csv.DictReader((folder / "INDEX.csv").read_text().splitlines()))
    for row in rows:
        primary = diagnose(Case(breakdown_of(read(folder / row["file"])))).primary
        ours, sure = (primary.cause, primary.confidence) if primary else ("nothing", "")
        words, theirs = xprof_says(row["xprof_statement"])
        marks = {"xprof": is_right(theirs, row["label"]), "gpuprobe": is_right(ours, row["label"])}
        for who, mark in marks.items():
            right[who] += mark
        name = Path(row["file"]).name.partition(".")[0]
        told = " | ".join([name, row["label"], words, _mark(marks["xprof"]), ours, sure, _mark(marks["gpuprobe"])])
        print(f"| {told} |")
    print(f"\nRight of {len(rows)}: XProf's leading sentence {right['xprof']}, gpuprobe {right['gpuprobe']}.")


def _mark(right: bool) -> str:
    return "yes" if right else "no"


if __name__ == "__main__":
    main(Path(sys.argv[1]))
