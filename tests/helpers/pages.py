"""Pages as a browser sees them, and that they do no harm."""

from __future__ import annotations

import re
from html.parser import HTMLParser


class Page(HTMLParser):
    """What a browser would see: its tags, their attributes, and the text of its cells and paragraphs."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_data(self, data: str) -> None:
        self.text += data


def assert_harmless_part(found: Page, text: str) -> None:
    """Check that nothing in it runs or is loaded."""
    assert not {"script", "link", "img", "iframe", "object", "base", "form"} & set(found.tags)
    for tag, name, value in found.attributes:
        assert not name.startswith("on"), (tag, name)
        assert name != "src", (tag, value)
        if name.endswith("href"):
            assert value.startswith("#"), (tag, value)
    assert "@import" not in text
    assert all(target.startswith("#") for target in re.findall(r"url\(['\"]?([^)]*)", text))


def assert_harmless(found: Page, text: str) -> None:
    """Check the same of a whole page, which forbids it to itself as well."""
    assert_harmless_part(found, text)
    assert ("meta", "http-equiv", "Content-Security-Policy") in found.attributes
