"""The identifying facts by kind: texts such as paths, names, addresses, ids and secrets of a machine or its user."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

PCI = re.compile(r"([0-9a-f]{4,8}):([0-9a-f]{2}):([0-9a-f]{2})\.([0-7])", re.IGNORECASE)


@dataclass(frozen=True)
class Facts:
    """The texts that must not be in a shared copy; each of `cards` holds all ids of one card.

    `studies` are paths of the study itself; `folders` the current folder and those of the study, its data and its
    model; `pythons` the prefixes (`sys.prefix`) of interpreters.
    """

    studies: frozenset[str] = frozenset()
    homes: frozenset[str] = frozenset()
    folders: frozenset[str] = frozenset()
    temporary: frozenset[str] = frozenset()
    pythons: frozenset[str] = frozenset()
    hosts: frozenset[str] = frozenset()
    users: frozenset[str] = frozenset()
    addresses: frozenset[str] = frozenset()
    secrets: frozenset[str] = frozenset()
    cards: tuple[frozenset[str], ...] = ()


@dataclass
class Gathering:
    """Collects facts under the same names; `done` returns them.

    `accounts` are pairs of user and host from texts like `user@host`; the user counts if the host is a known one.
    """

    studies: set[str] = field(default_factory=set)
    homes: set[str] = field(default_factory=set)
    folders: set[str] = field(default_factory=set)
    temporary: set[str] = field(default_factory=set)
    pythons: set[str] = field(default_factory=set)
    hosts: set[str] = field(default_factory=set)
    users: set[str] = field(default_factory=set)
    addresses: set[str] = field(default_factory=set)
    secrets: set[str] = field(default_factory=set)
    cards: list[set[str]] = field(default_factory=list)
    accounts: set[tuple[str, str]] = field(default_factory=set)

    def card(self, ids: Iterable[str]) -> None:
        """Add ids of one card; cards that share an id are merged."""
        new = {form for card_id in ids if card_id for form in _forms(card_id)}
        if new:
            same = [card for card in self.cards if card & new]
            joint = new.union(*same)
            place = self.cards.index(same[0]) if same else len(self.cards)
            self.cards = [card for card in self.cards if not any(card is card_id for card_id in same)]
            self.cards.insert(place, joint)

    def done(self) -> Facts:
        """Return the facts; a folder that is also the study's, a home, temporary or Python's counts only as that."""
        self.users |= {user for user, host in self.accounts if host in self.hosts}
        kinds = [each.name for each in fields(Facts) if each.name != "cards"]
        facts: dict[str, frozenset[str]] = {kind: frozenset(getattr(self, kind)) for kind in kinds}
        facts["folders"] -= facts["studies"] | facts["homes"] | facts["temporary"] | facts["pythons"]
        return Facts(**facts, cards=tuple(map(frozenset, self.cards)))


def _forms(card: str) -> set[str]:
    """Return the forms of one id: drivers and CUDA write a PCI bus id with a domain of 4 or of 8 digits."""
    match = PCI.fullmatch(card.strip())
    if match is None:
        return {card.strip().lower()}
    domain, bus, device, function = int(match[1], 16), *(part.lower() for part in match.groups()[1:])
    return {f"{domain:0{width}x}:{bus}:{device}.{function}" for width in (4, 8)}
