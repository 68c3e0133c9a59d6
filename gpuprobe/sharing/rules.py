"""What stands in a shared copy instead of each fact, as one pattern over all of them: a pure function of the facts."""

from __future__ import annotations

import functools
import html
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote

from gpuprobe.sharing import find, secrets
from gpuprobe.sharing.words import telling

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from gpuprobe.sharing.facts import Facts

# A value this short, or one that is an ordinary word, is replaced only where secrets stand.
SHORTEST_SECRET = 6
# A serial number this short is part of ordinary numbers.
SHORTEST_ID = 8
# What stands before and after a whole path, a whole word and a whole number.
WHOLE_PATH = r"(?:(?<![\w.~/-])|(?<=://)){}(?![\w-])"
WHOLE_WORD = r"(?<![^\W_]){}(?![^\W_])"
WHOLE_NUMBER = r"(?<![\w.:]){}(?![\w:]*[\w]|\.\d)"
# An ordinary word is somebody's name there.
AS_USER = r"(?:(?<=USER=)|(?<=LOGNAME=)|(?<=USERNAME=)|(?<=~)){}(?!\w)|(?<![^\W_]){}(?=@)"
AS_HOST = r"(?:(?<=HOST=)|(?<=HOSTNAME=)|(?<=@)|(?<=://)){}(?![\w-])"
# The keys of JSON under which nothing else stands than what tells one card, one machine or one user.
CARD_KEYS = re.compile(r"(?:mig\d+_)?(?:uuid|serial)|(?:gpu_)?pci_bus_id")
HOST_KEYS, USER_KEYS = frozenset({"host", "hostname", "hostnames"}), frozenset({"user", "username"})


@dataclass(frozen=True)
class Rule:
    """A fact as it may stand in a text, what stands for it, and how it is told from a part of something else."""

    fact: str
    stand_in: str
    around: str = "{}"
    any_case: bool = False


class Rules:
    """All rules as one pattern, tried from the longest fact on."""

    def __init__(self, rules: Iterable[Rule], keyed: Callable[[str, str], str | None], *, secret: bool = True) -> None:
        ordered = sorted(dict.fromkeys(rules), key=lambda rule: len(rule.fact), reverse=True)
        self._stand_ins = [rule.stand_in for rule in ordered]
        self._pattern = re.compile("|".join(map(_pattern, ordered)) or r"(?!)")
        self._keyed, self._secret = keyed, secret
        self.needles = tuple(needle for rule in ordered for needle in _needles(rule))

    def clean(self, text: str, key: str = "") -> str:
        """Return a text without what tells; `key` is what it stands under, in JSON or as an option."""
        if key and text:
            if self._secret and secrets.is_secret_key(key):
                return secrets.PLACEHOLDER
            under = self._keyed(key, text)
            if under is not None:
                return under
        return self._pattern.sub(self._stand_in, secrets.hidden(text) if self._secret else text)

    def blank(self, text: str) -> str:
        """Return a text of the same length in bytes, with each fact overwritten: for what counts its own bytes."""

        def over(piece: str) -> str:
            return "_" * len(piece.encode(errors="surrogateescape"))

        hidden = secrets.hidden(text, over) if self._secret else text
        return self._pattern.sub(lambda match: over(match[0]), hidden)

    def _stand_in(self, match: re.Match[str]) -> str:
        return self._stand_ins[(match.lastindex or 1) - 1]


def rules_of(facts: Facts) -> Rules:
    """Return the rules that follow from the facts."""
    return Rules([rule for kind in KINDS for rule in kind(facts)], keyed(facts))


def keyed(facts: Facts) -> Callable[[str, str], str | None]:
    """Return what stands for a value under a key that names cards, machines or users; None under any other."""
    cards = {one: f"<card {number}>" for number, card in enumerate(facts.cards, 1) for one in card}
    hosts, users = host_names(facts), user_names(facts)

    def under(key: str, value: str) -> str | None:
        if CARD_KEYS.fullmatch(key):
            return cards.get(value.strip().lower(), value if value.startswith("<card") else "<card>")
        if key in HOST_KEYS:
            return hosts.get(value)
        return users.get(value) if key in USER_KEYS else None

    return under


@functools.cache
def is_telling_key(key: str) -> bool:
    """Say whether what stands under a key of JSON is replaced, whatever it is."""
    return key in HOST_KEYS or key in USER_KEYS or bool(CARD_KEYS.fullmatch(key)) or secrets.is_secret_key(key)


def numbered(name: str, values: Iterable[str], same: Callable[[str], str] = str) -> dict[str, str]:
    """Return what stands for each value: the name alone where all are the same thing, else with a number."""
    things = sorted({same(value) for value in values})
    if len(things) == 1:
        return dict.fromkeys(values, f"<{name}>")
    return {value: f"<{name} {things.index(same(value)) + 1}>" for value in values}


def host_names(facts: Facts) -> dict[str, str]:
    """Return what stands for each host: its name with and without a domain is one."""
    return numbered(
        "host", facts.hosts, lambda host: host.lower() if host[:1].isdigit() else host.lower().split(".")[0]
    )


def user_names(facts: Facts) -> dict[str, str]:
    """Return what stands for each user."""
    return numbered("user", facts.users, str.lower)


def paths(facts: Facts) -> Iterator[Rule]:
    """Replace folders, with what lies in them left to read."""
    folders = numbered("folder", facts.folders)
    known = [
        *((path, stand_in) for path, stand_in in folders.items()),
        *((path, "~") for path in facts.homes),
        *((path, "<study>") for path in facts.studies),
        *((path, "<tmp>") for path in facts.temporary),
    ]
    for path, stand_in in known:
        around = "{}" if find.is_private(path) or not path.startswith("/") else WHOLE_PATH
        yield from _written(Rule(path, stand_in, around))
    for path in facts.pythons:
        yield from _written(
            Rule(path, "<python>", "{}" if find.is_private(path) else rf"{{}}(?={find.PYTHON.pattern})")
        )


def names(facts: Facts) -> Iterator[Rule]:
    """Replace the names of machines and users; one that is an ordinary word only where names stand."""
    for known, around in ((host_names(facts), AS_HOST), (user_names(facts), AS_USER)):
        for name, stand_in in known.items():
            yield from _written(Rule(name, stand_in, WHOLE_WORD if telling(name) else around, any_case=True))


def cards(facts: Facts) -> Iterator[Rule]:
    """Replace what tells one card from another of its model."""
    for number, card in enumerate(facts.cards, 1):
        for one in card:
            if len(one) >= SHORTEST_ID:
                yield Rule(one, f"<card {number}>", WHOLE_WORD, any_case=True)


def addresses(facts: Facts) -> Iterator[Rule]:
    """Replace the addresses of the machine on its networks."""
    for address, stand_in in numbered("address", facts.addresses).items():
        yield Rule(address, stand_in, WHOLE_NUMBER, any_case=True)


def known_secrets(facts: Facts) -> Iterator[Rule]:
    """Replace a secret that one place told wherever else it stands."""
    for value in facts.secrets:
        if is_long_secret(value):
            yield from _written(Rule(value, secrets.PLACEHOLDER))


def is_long_secret(value: str) -> bool:
    """Say whether a secret is looked for in any text."""
    return len(value) >= SHORTEST_SECRET and telling(value)


KINDS: tuple[Callable[[Facts], Iterator[Rule]], ...] = (known_secrets, cards, paths, names, addresses)


def _written(rule: Rule) -> Iterator[Rule]:
    """Yield a rule for each way in which a fact is written: as it is, in a URL, in HTML, in JSON within a text."""
    fact = rule.fact
    forms = [
        fact,
        quote(fact),
        quote(fact, safe=""),
        html.escape(fact),
        json.dumps(fact)[1:-1],
        fact.replace("/", r"\/"),
    ]
    for form in dict.fromkeys(forms):
        yield Rule(form, rule.stand_in, rule.around, rule.any_case)


def _needles(rule: Rule) -> list[str]:
    """Return what a text holds at the least where a rule may change it."""
    if rule.around == AS_USER:
        return [f"={rule.fact}", f"~{rule.fact}", f"{rule.fact}@"]
    return [f"{mark}{rule.fact}" for mark in "=@/"] if rule.around == AS_HOST else [rule.fact]


def _pattern(rule: Rule) -> str:
    fact = re.escape(rule.fact)
    around = rule.around.replace("{}", fact)
    return f"((?i:{around}))" if rule.any_case else f"({around})"
