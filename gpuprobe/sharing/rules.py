"""The rules that replace each fact by a placeholder, such as `<host>`; they follow from the facts alone."""

from __future__ import annotations

import functools
import html
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote

from gpuprobe.sharing import find, secrets
from gpuprobe.sharing.words import identifies

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from gpuprobe.sharing.facts import Facts

# A shorter secret, or one that is an ordinary word, is replaced only after a key or option for secrets.
SHORTEST_SECRET = 6
# A shorter serial number may be part of any number.
SHORTEST_ID = 8
# Patterns around a fact that is a whole path, a whole word or a whole number.
WHOLE_PATH = r"(?:(?<![\w.~/-])|(?<=://)){}(?![\w-])"
WHOLE_WORD = r"(?<![^\W_]){}(?![^\W_])"
WHOLE_NUMBER = r"(?<![\w.:]){}(?![\w:]*[\w]|\.\d)"
# The contexts in which an ordinary word is the name of a user or a host.
AS_USER = r"(?:(?<=USER=)|(?<=LOGNAME=)|(?<=USERNAME=)|(?<=~)){}(?!\w)|(?<![^\W_]){}(?=@)"
AS_HOST = r"(?:(?<=HOST=)|(?<=HOSTNAME=)|(?<=@)|(?<=://)){}(?![\w-])"
# Keys of JSON whose value always identifies a card, a machine or a user.
CARD_KEYS = re.compile(r"(?:mig\d+_)?(?:uuid|serial)|(?:gpu_)?pci_bus_id")
HOST_KEYS, USER_KEYS = frozenset({"host", "hostname", "hostnames"}), frozenset({"user", "username"})


@dataclass(frozen=True)
class Rule:
    """A fact, its placeholder (`stand_in`), and a pattern `around` it, so that parts of other words do not match."""

    fact: str
    stand_in: str
    around: str = "{}"
    any_case: bool = False


class Rules:
    """All rules as one regular expression; longer facts are tried first."""

    def __init__(self, rules: Iterable[Rule], keyed: Callable[[str, str], str | None], *, secret: bool = True) -> None:
        longest_first = sorted(dict.fromkeys(rules), key=lambda rule: len(rule.fact), reverse=True)
        self._stand_ins = [rule.stand_in for rule in longest_first]
        self._pattern = re.compile("|".join(map(_pattern, longest_first)) or r"(?!)")
        self._keyed, self._secret = keyed, secret
        self.needles = tuple(needle for rule in longest_first for needle in _needles(rule))

    def clean(self, text: str, key: str = "") -> str:
        """Return a text with its facts replaced; `key` is the text's key in JSON, or the option before it."""
        if key and text:
            if self._secret and secrets.is_secret_key(key):
                return secrets.PLACEHOLDER
            placeholder_by_key = self._keyed(key, text)
            if placeholder_by_key is not None:
                return placeholder_by_key
        return self._pattern.sub(self._stand_in, secrets.without_secrets(text) if self._secret else text)

    def blank(self, text: str) -> str:
        """Return a text of equal length in bytes, with each fact overwritten by `_`, for formats that store lengths."""

        def blanked(piece: str) -> str:
            return "_" * len(piece.encode(errors="surrogateescape"))

        without_secrets = secrets.without_secrets(text, blanked) if self._secret else text
        return self._pattern.sub(lambda match: blanked(match[0]), without_secrets)

    def _stand_in(self, match: re.Match[str]) -> str:
        return self._stand_ins[(match.lastindex or 1) - 1]


def rules_of(facts: Facts) -> Rules:
    """Return the rules that follow from the facts."""
    return Rules([rule for kind in RULE_KINDS for rule in kind(facts)], placeholder_by_key_of(facts))


def placeholder_by_key_of(facts: Facts) -> Callable[[str, str], str | None]:
    """Return a function of key and value: the placeholder under a key of a card, machine or user, else None."""
    cards = {card_id: f"<card {card_number}>" for card_number, card in enumerate(facts.cards, 1) for card_id in card}
    hosts, users = host_names(facts), user_names(facts)

    def placeholder_under(key: str, key_value: str) -> str | None:
        if CARD_KEYS.fullmatch(key):
            return cards.get(key_value.strip().lower(), key_value if key_value.startswith("<card") else "<card>")
        if key in HOST_KEYS:
            return hosts.get(key_value)
        return users.get(key_value) if key in USER_KEYS else None

    return placeholder_under


@functools.cache
def is_identifying_key(key: str) -> bool:
    """Return whether every value of this key of JSON is replaced."""
    return key in HOST_KEYS or key in USER_KEYS or bool(CARD_KEYS.fullmatch(key)) or secrets.is_secret_key(key)


def numbered_placeholders(
    placeholder_name: str, values: Iterable[str], identity: Callable[[str], str] = str
) -> dict[str, str]:
    """Return a placeholder for each value.

    It is `<name>` where all values have the same `identity`, else `<name 1>`, `<name 2>`, ...
    """
    distinct_values = sorted({identity(fact_value) for fact_value in values})
    if len(distinct_values) == 1:
        return dict.fromkeys(values, f"<{placeholder_name}>")
    return {
        fact_value: f"<{placeholder_name} {distinct_values.index(identity(fact_value)) + 1}>" for fact_value in values
    }


def host_names(facts: Facts) -> dict[str, str]:
    """Return the placeholder of each host by its name; names with and without a domain are the same host."""
    return numbered_placeholders(
        "host", facts.hosts, lambda host: host.lower() if host[:1].isdigit() else host.lower().split(".")[0]
    )


def user_names(facts: Facts) -> dict[str, str]:
    """Return the placeholder of each user by name."""
    return numbered_placeholders("user", facts.users, str.lower)


def path_rules(facts: Facts) -> Iterator[Rule]:
    """Yield the rules that replace folders, but not the rest of a path within them."""
    folders = numbered_placeholders("folder", facts.folders)
    placeholder_by_path = [
        *((path, stand_in) for path, stand_in in folders.items()),
        *((path, "~") for path in facts.homes),
        *((path, "<study>") for path in facts.studies),
        *((path, "<tmp>") for path in facts.temporary),
    ]
    for path, stand_in in placeholder_by_path:
        around = "{}" if find.is_private(path) or not path.startswith("/") else WHOLE_PATH
        yield from _rule_for_each_form(Rule(path, stand_in, around))
    for path in facts.pythons:
        yield from _rule_for_each_form(
            Rule(path, "<python>", "{}" if find.is_private(path) else rf"{{}}(?={find.PYTHON.pattern})")
        )


def name_rules(facts: Facts) -> Iterator[Rule]:
    """Yield the rules that replace names of machines and users; ordinary words only where a name is expected."""
    for placeholder_by_name, around in ((host_names(facts), AS_HOST), (user_names(facts), AS_USER)):
        for owner_name, stand_in in placeholder_by_name.items():
            yield from _rule_for_each_form(
                Rule(owner_name, stand_in, WHOLE_WORD if identifies(owner_name) else around, any_case=True)
            )


def card_rules(facts: Facts) -> Iterator[Rule]:
    """Yield the rules that replace the ids of cards."""
    for card_number, card in enumerate(facts.cards, 1):
        for card_id in card:
            if len(card_id) >= SHORTEST_ID:
                yield Rule(card_id, f"<card {card_number}>", WHOLE_WORD, any_case=True)


def address_rules(facts: Facts) -> Iterator[Rule]:
    """Yield the rules that replace the addresses of the machine on its networks."""
    for address, stand_in in numbered_placeholders("address", facts.addresses).items():
        yield Rule(address, stand_in, WHOLE_NUMBER, any_case=True)


def secret_rules(facts: Facts) -> Iterator[Rule]:
    """Yield the rules that replace, in all texts, a secret that was found in one."""
    for secret in facts.secrets:
        if is_long_secret(secret):
            yield from _rule_for_each_form(Rule(secret, secrets.PLACEHOLDER))


def is_long_secret(value: str) -> bool:
    """Return whether a secret is long enough to be searched for in any text."""
    return len(value) >= SHORTEST_SECRET and identifies(value)


RULE_KINDS: tuple[Callable[[Facts], Iterator[Rule]], ...] = (
    secret_rules,
    card_rules,
    path_rules,
    name_rules,
    address_rules,
)


def _rule_for_each_form(rule: Rule) -> Iterator[Rule]:
    """Yield a rule for each way to write a fact: plain, in a URL, in HTML, in JSON within a text."""
    fact = rule.fact
    written_forms = [
        fact,
        quote(fact),
        quote(fact, safe=""),
        html.escape(fact),
        json.dumps(fact)[1:-1],
        fact.replace("/", r"\/"),
    ]
    for written_form in dict.fromkeys(written_forms):
        yield Rule(written_form, rule.stand_in, rule.around, rule.any_case)


def _needles(rule: Rule) -> list[str]:
    """Return substrings; every text that the rule changes contains one of them."""
    if rule.around == AS_USER:
        return [f"={rule.fact}", f"~{rule.fact}", f"{rule.fact}@"]
    return [f"{mark}{rule.fact}" for mark in "=@/"] if rule.around == AS_HOST else [rule.fact]


def _pattern(rule: Rule) -> str:
    escaped_fact = re.escape(rule.fact)
    around = rule.around.replace("{}", escaped_fact)
    return f"((?i:{around}))" if rule.any_case else f"({around})"
