"""A fast search for texts that may hold a fact, so that only these need the full rules."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

# A text within binary data: a printable run at least as long as the shortest fact.
PRINTABLE_RUN = re.compile(rb"[\x20-\x7e]{3,}")
_PRINTABLE = re.compile(r"[\x20-\x7e]{3,}")


@dataclass(frozen=True)
class Prefilter:
    """`pattern` matches the start of a possible fact in a printable run; `raw` are facts without such a run."""

    pattern: re.Pattern[str]
    raw: tuple[bytes, ...] = ()

    def in_text(self, text: str) -> bool:
        """Return whether a text may hold a fact."""
        return self.pattern.search(text) is not None or any(
            fact.decode(errors="surrogateescape") in text for fact in self.raw
        )

    def hits(self, data: bytes) -> list[int]:
        """Return the sorted byte offsets at which a fact may stand."""
        positions_by_run: dict[bytes, list[int]] = {}
        offsets: list[int] = []
        for run in PRINTABLE_RUN.finditer(data):
            run_bytes = run[0]
            fact_positions = positions_by_run.get(run_bytes)
            if fact_positions is None:
                fact_positions = positions_by_run[run_bytes] = [
                    match.start() for match in self.pattern.finditer(run_bytes.decode())
                ]
            if fact_positions:
                offsets += [run.start() + fact_position for fact_position in fact_positions]
        for fact in self.raw:
            raw_position = data.find(fact)
            while raw_position >= 0:
                offsets.append(raw_position)
                raw_position = data.find(fact, raw_position + 1)
        return sorted(offsets)


def prefilter_of(facts: Iterable[str], hints: Iterable[str]) -> Prefilter:
    """Return the prefilter for facts (texts) and `hints` (regular expressions); case is ignored in both."""
    fact_patterns, raw_facts = set(), []
    for fact in facts:
        printable = max(_PRINTABLE.findall(fact), key=len, default="")
        if printable:
            fact_patterns.add(re.escape(printable.lower()))
        elif fact:
            raw_facts.append(fact.encode(errors="surrogateescape"))
    longest_first = [*sorted(fact_patterns, key=len, reverse=True), *hints]
    return Prefilter(re.compile("|".join(longest_first) or r"(?!)", re.IGNORECASE | re.ASCII), tuple(raw_facts))
