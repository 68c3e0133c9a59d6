"""Styled text for a terminal, with all text from other sources made safe."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

from gpuprobe.foreign import shown

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rich.console import ConsoleOptions, RenderableType
    from rich.segment import Segment


class Terminal(Console):
    """A console that passes all texts, in tables and panels too, through `shown`; rich's own control codes stay."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Render text that may come from other sources."""
        return super().render(_shown(renderable), options)


def _shown(renderable: RenderableType) -> RenderableType:
    if isinstance(renderable, str):
        return shown(renderable)
    if isinstance(renderable, Text) and (text := shown(renderable.plain)) != renderable.plain:
        return Text(
            text, renderable.style, justify=renderable.justify, overflow=renderable.overflow, end=renderable.end
        )
    return renderable
