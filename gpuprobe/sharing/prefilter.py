"""A fast prefilter: which texts may hold a fact and need the full rules."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

# A text within binary data: a printable run at least as long as the shortest fact.
RUN = re.compile(rb"[\x20-\x7e]{3,}")
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
        """Return the offsets at which bytes may hold a fact, sorted."""
        seen: dict[bytes, list[int]] = {}
        offsets: list[int] = []
        for run in RUN.finditer(data):
            text = run[0]
            places = seen.get(text)
            if places is None:
                places = seen[text] = [match.start() for match in self.pattern.finditer(text.decode())]
            if places:
                offsets += [run.start() + place for place in places]
        for fact in self.raw:
            at = data.find(fact)
            while at >= 0:
                offsets.append(at)
                at = data.find(fact, at + 1)
        return sorted(offsets)


def prefilter_of(facts: Iterable[str], hints: Iterable[str]) -> Prefilter:
    """Return the prefilter for these facts, and for `hints`, which are patterns; both ignore case."""
    parts, raw = set(), []
    for fact in facts:
        printable = max(_PRINTABLE.findall(fact), key=len, default="")
        if printable:
            parts.add(re.escape(printable.lower()))
        elif fact:
            raw.append(fact.encode(errors="surrogateescape"))
    ordered = [*sorted(parts, key=len, reverse=True), *hints]
    return Prefilter(re.compile("|".join(ordered) or r"(?!)", re.IGNORECASE | re.ASCII), tuple(raw))
