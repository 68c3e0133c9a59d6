"""The report as one HTML file that needs no network: its Markdown rendered, its charts in it; light, dark, printable.

The page has the words of `report.md` and no others. The text before the first heading is the answer; each part after
it can be folded. Raw HTML in the Markdown stays text, an image that is not one of the charts is left out, and the
content policy of the page forbids to load or run anything.
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
SHORT_CELL = 24
# The tags of headings, outermost first, whose parts can be folded.
FOLDED_TAGS = ("h2", "h3")
# A figure with its unit.
NUMBER_AND_UNIT = re.compile(r"(\d) (%|us\b|ms\b|s\b|min\b|h\b)")
_environment = jinja2.Environment(loader=jinja2.PackageLoader("gpuprobe.report"), autoescape=True, trim_blocks=True)


@dataclass(frozen=True)
class PageParts:
    """Markdown as HTML: the answer before the first heading, the folded parts below, and (anchor, heading) of each."""

    title: str
    answer: str
    body: str
    contents: list[tuple[str, str]]


def render(
    markdown: str, figures: Mapping[str, str] | None = None, *, opened: Sequence[str] = (), simulated: bool = False
) -> str:
    """Return the page; `figures` are charts as HTML by the file that an image names, `opened` the parts not folded."""
    return _environment.get_template("page.html.jinja").render(
        parts=page_parts(markdown, figures, opened=opened), simulated=SIMULATED if simulated else ""
    )


def page_parts(markdown: str, figures: Mapping[str, str] | None = None, *, opened: Sequence[str] = ()) -> PageParts:
    """Return Markdown as the parts of a page; raw HTML in it becomes text."""
    parser = MarkdownIt("commonmark", {"html": False}).enable("table")
    for token_kind, render_rule in (
        ("fence", _code_rule),
        ("image", _image_rule(figures or {})),
        ("td_open", _cell_rule),
        ("table_open", _table_start_rule),
        ("table_close", _table_end_rule),
    ):
        parser.add_render_rule(token_kind, render_rule)
    tokens = parser.parse(markdown)
    contents = _name_headings(tokens)
    title = next((heading_text for level, _, heading_text in contents if level == 1), "gpuprobe")
    first_heading = next(
        (token_index for token_index, token in enumerate(tokens) if _opens_heading(token, FOLDED_TAGS[0])), len(tokens)
    )
    return PageParts(
        title=title,
        answer=_to_html(parser, tokens[:first_heading]),
        body=_folded(parser, tokens[first_heading:], opened),
        contents=[(anchor, heading_text) for level, anchor, heading_text in contents if level == 2],
    )


def _to_html(parser: MarkdownIt, tokens: Sequence[Token]) -> str:
    # A figure and its unit stay on one line; a long name as a column's title may break at its underscores.
    html_text = NUMBER_AND_UNIT.sub("\\1\u00a0\\2", str(parser.renderer.render(tokens, parser.options, {})))
    html_text = re.sub(r"<p>(<figure.*?</figure>)</p>", r"\1", html_text, flags=re.DOTALL)
    return re.sub(r"<th>[^<]*</th>", lambda table_head: table_head[0].replace("_", "_<wbr>"), html_text)


def _folded(parser: MarkdownIt, tokens: Sequence[Token], opened: Sequence[str], depth: int = 0) -> str:
    """Return tokens as HTML, with the part below each heading of this depth folded."""
    if depth == len(FOLDED_TAGS):
        return _to_html(parser, tokens)
    heading_bounds = [
        *(token_index for token_index, token in enumerate(tokens) if _opens_heading(token, FOLDED_TAGS[depth])),
        len(tokens),
    ]
    html_pieces = [_to_html(parser, tokens[: heading_bounds[0]])]
    for start, end in pairwise(heading_bounds):
        # A heading is three tokens: it opens, its text, it closes.
        heading_tokens, inside_html = (
            tokens[start : start + 3],
            _folded(parser, tokens[start + 3 : end], opened, depth + 1),
        )
        anchor = str(heading_tokens[0].attrs.pop("id"))
        fold_class = "" if depth else " class='fold'"
        is_open = " open" if heading_tokens[1].content in opened else ""
        html_pieces.append(
            f"<details{fold_class}{is_open}><summary>{_to_html(parser, heading_tokens)}</summary>\n"
            f'<div class="inside" id="{anchor}">\n{inside_html}</div></details>\n'
        )
    return "".join(html_pieces)


def _opens_heading(token: Token, tag: str) -> bool:
    return token.type == "heading_open" and token.tag == tag


def _name_headings(tokens: Sequence[Token]) -> list[tuple[int, str, str]]:
    """Give each heading an anchor of its own; return (level, anchor, text) of all."""
    headings: list[tuple[int, str, str]] = []
    for token_index, token in enumerate(tokens):
        if token.type == "heading_open":
            inline_tokens = tokens[token_index + 1].children or []
            heading_text = "".join(child.content for child in inline_tokens)
            anchor = f"part-{len(headings)}"
            token.attrSet("id", anchor)
            headings.append((int(token.tag[1]), anchor, heading_text))
    return headings


def _image_rule(figures: Mapping[str, str]):  # type: ignore[no-untyped-def]  # markdown-it binds it as a method
    def image(_: RendererHTML, tokens: Sequence[Token], token_index: int, options: OptionsDict, env: EnvType) -> str:
        del options, env
        return figures.get(str(tokens[token_index].attrGet("src"))) or escapeHtml(tokens[token_index].content)

    return image


def _code_rule(_: RendererHTML, tokens: Sequence[Token], token_index: int, options: OptionsDict, env: EnvType) -> str:
    """Return code as HTML; in a diff, added and removed lines are marked."""
    del options, env
    mark_by_sign = {"+": "comes", "-": "goes"} if tokens[token_index].info == "diff" else {}
    code_lines = []
    for code_line in tokens[token_index].content.rstrip("\n").split("\n"):
        line_mark = mark_by_sign.get(code_line[:1])
        code_lines.append(
            f"<span class='{line_mark}'>{escapeHtml(code_line)}</span>" if line_mark else escapeHtml(code_line)
        )
    return "<pre tabindex='0'><code>" + "\n".join(code_lines) + "</code></pre>\n"


def _cell_rule(_: RendererHTML, tokens: Sequence[Token], token_index: int, options: OptionsDict, env: EnvType) -> str:
    """Return the tag of a cell: a short cell, such as a figure with its interval, stays on one line."""
    del options, env
    return "<td class='short'>" if len(tokens[token_index + 1].content) <= SHORT_CELL else "<td>"


def _table_start_rule(
    _: RendererHTML, tokens: Sequence[Token], token_index: int, options: OptionsDict, env: EnvType
) -> str:
    del tokens, token_index, options, env
    # A table wider than the screen scrolls by itself, by touch, wheel or keys; the page stays where it is.
    return "<div class='table' tabindex='0' role='region' aria-label='table'><table>\n"


def _table_end_rule(
    _: RendererHTML, tokens: Sequence[Token], token_index: int, options: OptionsDict, env: EnvType
) -> str:
    del tokens, token_index, options, env
    return "</table></div>\n"
