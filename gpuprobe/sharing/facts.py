"""The identifying facts by kind: texts such as paths, names, addresses, ids and secrets of a machine or its user."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

PCI_BUS_ID = re.compile(r"([0-9a-f]{4,8}):([0-9a-f]{2}):([0-9a-f]{2})\.([0-7])", re.IGNORECASE)


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
    """Collects facts under the same names as in `Facts`; `done` returns them.

    `accounts` are pairs of user and host from texts like `user@host`; the user counts if the host is known.
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
        id_forms = {form for card_id in ids if card_id for form in _id_forms(card_id)}
        if id_forms:
            cards_with_same_id = [card for card in self.cards if card & id_forms]
            merged_card = id_forms.union(*cards_with_same_id)
            card_position = self.cards.index(cards_with_same_id[0]) if cards_with_same_id else len(self.cards)
            self.cards = [card for card in self.cards if not any(card is card_id for card_id in cards_with_same_id)]
            self.cards.insert(card_position, merged_card)

    def done(self) -> Facts:
        """Return the facts; a folder that is also a study, home, temporary or Python folder counts only as that."""

        self.users |= {user for user, host in self.accounts if host in self.hosts}
        fact_kinds = [fact_field.name for fact_field in fields(Facts) if fact_field.name != "cards"]
        facts: dict[str, frozenset[str]] = {kind: frozenset(getattr(self, kind)) for kind in fact_kinds}
        facts["folders"] -= facts["studies"] | facts["homes"] | facts["temporary"] | facts["pythons"]
        return Facts(**facts, cards=tuple(map(frozenset, self.cards)))


def _id_forms(card_id: str) -> set[str]:
    """Return the forms of one id: drivers and CUDA write a PCI bus id with a domain of 4 or of 8 digits."""
    bus_id = PCI_BUS_ID.fullmatch(card_id.strip())
    if bus_id is None:
        return {card_id.strip().lower()}
    domain, bus, device, function = int(bus_id[1], 16), *(part.lower() for part in bus_id.groups()[1:])
    return {f"{domain:0{width}x}:{bus}:{device}.{function}" for width in (4, 8)}
