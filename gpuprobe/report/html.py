"""The report as one HTML file that needs no network: its Markdown rendered, its charts in it; light, dark, printable.

The page says what `report.md` says, and nothing else. What comes before the first heading is the answer; each part
after it folds. Raw HTML in the Markdown stays text, an image that is no chart of ours is left out, and the page forbids
itself to load or run anything.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import jinja2
from markdown_it import MarkdownIt
from markdown_it.common.utils import escapeHtml

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from markdown_it.renderer import RendererHTML
    from markdown_it.token import Token
    from markdown_it.utils import EnvType, OptionsDict

SIMULATED = "SIMULATED"
# Characters of a cell that is not broken into lines.
SHORT = 24
# The tags of headings, outermost first: what begins with one of them folds.
FOLDING = ("h2", "h3")
# A figure with its unit.
FIGURE = re.compile(r"(\d) (%|us\b|ms\b|s\b|min\b|h\b)")
_environment = jinja2.Environment(loader=jinja2.PackageLoader("gpuprobe.report"), autoescape=True, trim_blocks=True)


@dataclass(frozen=True)
class Parts:
    """Markdown as HTML: the answer before the first heading, what folds below it, and the (anchor, heading) of each."""

    title: str
    answer: str
    body: str
    contents: list[tuple[str, str]]


def render(
    markdown: str, figures: Mapping[str, str] | None = None, *, opened: Sequence[str] = (), simulated: bool = False
) -> str:
    """Return the page; `figures` are charts as HTML by the file that an image names, `opened` the parts not folded."""
    return _environment.get_template("page.html.jinja").render(
        parts=parts(markdown, figures, opened=opened), simulated=SIMULATED if simulated else ""
    )


def parts(markdown: str, figures: Mapping[str, str] | None = None, *, opened: Sequence[str] = ()) -> Parts:
    """Return Markdown as the parts of a page; raw HTML in it becomes text."""
    parser = MarkdownIt("commonmark", {"html": False}).enable("table")
    for kind, rule in (
        ("fence", _fence),
        ("image", _image(figures or {})),
        ("td_open", _td_open),
        ("table_open", _table_open),
        ("table_close", _table_close),
    ):
        parser.add_render_rule(kind, rule)
    tokens = parser.parse(markdown)
    contents = _name_headings(tokens)
    title = next((text for level, _, text in contents if level == 1), "gpuprobe")
    top = next((place for place, token in enumerate(tokens) if _opens(token, FOLDING[0])), len(tokens))
    return Parts(
        title=title,
        answer=_to_html(parser, tokens[:top]),
        body=_folded(parser, tokens[top:], opened),
        contents=[(anchor, text) for level, anchor, text in contents if level == 2],
    )


def _to_html(parser: MarkdownIt, part: Sequence[Token]) -> str:
    # A figure and its unit stay on one line; a long name as a column's title may break at its underscores.
    text = FIGURE.sub("\\1\u00a0\\2", str(parser.renderer.render(part, parser.options, {})))
    text = re.sub(r"<p>(<figure.*?</figure>)</p>", r"\1", text, flags=re.DOTALL)
    return re.sub(r"<th>[^<]*</th>", lambda head: head[0].replace("_", "_<wbr>"), text)


def _folded(parser: MarkdownIt, part: Sequence[Token], opened: Sequence[str], depth: int = 0) -> str:
    """Return a part with what each heading of that depth begins folded below it."""
    if depth == len(FOLDING):
        return _to_html(parser, part)
    bounds = [*(place for place, token in enumerate(part) if _opens(token, FOLDING[depth])), len(part)]
    pieces = [_to_html(parser, part[: bounds[0]])]
    for start, end in pairwise(bounds):
        # A heading is three tokens: it opens, its text, it closes.
        head, inside = part[start : start + 3], _folded(parser, part[start + 3 : end], opened, depth + 1)
        name = str(head[0].attrs.pop("id"))
        kind = "" if depth else " class='fold'"
        is_open = " open" if head[1].content in opened else ""
        pieces.append(
            f"<details{kind}{is_open}><summary>{_to_html(parser, head)}</summary>\n"
            f'<div class="inside" id="{name}">\n{inside}</div></details>\n'
        )
    return "".join(pieces)


def _opens(token: Token, tag: str) -> bool:
    return token.type == "heading_open" and token.tag == tag


def _name_headings(tokens: Sequence[Token]) -> list[tuple[int, str, str]]:
    """Give each heading an anchor of its own; return (level, anchor, text) of all."""
    headings: list[tuple[int, str, str]] = []
    for place, token in enumerate(tokens):
        if token.type == "heading_open":
            inline = tokens[place + 1].children or []
            text = "".join(child.content for child in inline)
            anchor = f"part-{len(headings)}"
            token.attrSet("id", anchor)
            headings.append((int(token.tag[1]), anchor, text))
    return headings


def _image(figures: Mapping[str, str]):  # type: ignore[no-untyped-def]  # markdown-it binds it as a method
    def image(_: RendererHTML, tokens: Sequence[Token], place: int, options: OptionsDict, env: EnvType) -> str:
        del options, env
        return figures.get(str(tokens[place].attrGet("src"))) or escapeHtml(tokens[place].content)

    return image


def _fence(_: RendererHTML, tokens: Sequence[Token], place: int, options: OptionsDict, env: EnvType) -> str:
    """Code, where a diff's lines are marked as what goes and what comes."""
    del options, env
    kinds = {"+": "comes", "-": "goes"} if tokens[place].info == "diff" else {}
    lines = []
    for line in tokens[place].content.rstrip("\n").split("\n"):
        kind = kinds.get(line[:1])
        lines.append(f"<span class='{kind}'>{escapeHtml(line)}</span>" if kind else escapeHtml(line))
    return "<pre tabindex='0'><code>" + "\n".join(lines) + "</code></pre>\n"


def _td_open(_: RendererHTML, tokens: Sequence[Token], place: int, options: OptionsDict, env: EnvType) -> str:
    """A figure with its interval stays on one line; a sentence does not."""
    del options, env
    return "<td class='short'>" if len(tokens[place + 1].content) <= SHORT else "<td>"


def _table_open(_: RendererHTML, tokens: Sequence[Token], place: int, options: OptionsDict, env: EnvType) -> str:
    del tokens, place, options, env
    # A table wider than the screen scrolls by itself, by touch, wheel or keys; the page stays where it is.
    return "<div class='table' tabindex='0' role='region' aria-label='table'><table>\n"


def _table_close(_: RendererHTML, tokens: Sequence[Token], place: int, options: OptionsDict, env: EnvType) -> str:
    del tokens, place, options, env
    return "</table></div>\n"
