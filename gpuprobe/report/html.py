"""The report as one HTML file that needs no network: its Markdown rendered, its plots inlined; light, dark, printable.

There is no second way to the words: what is in `report.md` is what is here. Raw HTML in the Markdown stays text, an
image that is no plot of ours is left out, and the page forbids itself to load or run anything.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import jinja2
from markdown_it import MarkdownIt
from markdown_it.common.utils import escapeHtml

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from markdown_it.renderer import RendererHTML
    from markdown_it.token import Token
    from markdown_it.utils import EnvType, OptionsDict

    from gpuprobe.report.plots import Plot

SIMULATED = "SIMULATED"
# Characters of a cell that is not broken into lines.
SHORT = 24
_environment = jinja2.Environment(loader=jinja2.PackageLoader("gpuprobe.report"), autoescape=True, trim_blocks=True)


def render(markdown: str, plots: Sequence[Plot] = (), *, ink: str = "", simulated: bool = False) -> str:
    """Return the page; `ink` is the plots' colour of text and lines, which becomes that of the page's."""
    parser = MarkdownIt("commonmark", {"html": False}).enable("table")
    pictures = {plot.file: _inline(plot, ink) for plot in plots}
    for kind, rule in (
        ("fence", _fence),
        ("image", _image(pictures)),
        ("td_open", _td_open),
        ("table_open", _table_open),
        ("table_close", _table_close),
    ):
        parser.add_render_rule(kind, rule)
    tokens = parser.parse(markdown)
    contents = _name_headings(tokens)
    title = next((text for level, _, text in contents if level == 1), "gpuprobe")
    top = next((place for place, token in enumerate(tokens) if _opens(token, "h2")), len(tokens))

    def drawn(part: list[Token]) -> str:
        # A figure and its sign stay on one line; a long name at the head of narrow figures may break.
        text = str(parser.renderer.render(part, parser.options, {})).replace(" %", "\u00a0%")
        return re.sub(r"<th>[^<]*</th>", lambda head: head[0].replace("_", "_<wbr>"), text)

    return _environment.get_template("page.html.jinja").render(
        title=title,
        answer=drawn(tokens[:top]),
        body=drawn(tokens[top:]),
        contents=[(anchor, text) for level, anchor, text in contents if level == 2],
        simulated=SIMULATED if simulated else "",
    )


def _opens(token: Token, tag: str) -> bool:
    return token.type == "heading_open" and token.tag == tag


def _name_headings(tokens: Sequence[Token]) -> list[tuple[int, str, str]]:
    """Give each heading an anchor of its own; return (level, anchor, text) of all."""
    found: list[tuple[int, str, str]] = []
    for place, token in enumerate(tokens):
        if token.type == "heading_open":
            inline = tokens[place + 1].children or []
            text = "".join(child.content for child in inline)
            anchor = f"part-{len(found)}"
            token.attrSet("id", anchor)
            found.append((int(token.tag[1]), anchor, text))
    return found


def _inline(plot: Plot, ink: str) -> str:
    """Return an SVG as an element: no prolog, ids of its own on the page, and the page's colour for text and lines."""
    text = plot.svg.decode()
    text = text[text.index("<svg") :]
    prefix = re.sub(r"\W", "-", plot.file)
    text = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{prefix}-", text)
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    if ink:
        text = text.replace(ink, "currentColor")
    label = escapeHtml(plot.title)
    return text.replace("<svg ", f'<svg role="img" aria-label="{label}" ', 1)


def _image(pictures: Mapping[str, str]):  # type: ignore[no-untyped-def]  # markdown-it binds it as a method
    def image(_: RendererHTML, tokens: Sequence[Token], place: int, options: OptionsDict, env: EnvType) -> str:
        del options, env
        picture = pictures.get(str(tokens[place].attrGet("src")))
        return f"<span class='plot'>{picture}</span>" if picture else escapeHtml(tokens[place].content)

    return image


def _fence(_: RendererHTML, tokens: Sequence[Token], place: int, options: OptionsDict, env: EnvType) -> str:
    """Code, where a diff's lines are marked as what goes and what comes."""
    del options, env
    kinds = {"+": "comes", "-": "goes"} if tokens[place].info == "diff" else {}
    lines = []
    for line in tokens[place].content.rstrip("\n").split("\n"):
        kind = kinds.get(line[:1])
        lines.append(f"<span class='{kind}'>{escapeHtml(line)}</span>" if kind else escapeHtml(line))
    return "<pre><code>" + "\n".join(lines) + "</code></pre>\n"


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
