"""The one way for styled text to a terminal: no name that others chose can steer it or fill the screen."""

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
    """A console whose texts, those in tables and panels too, are `shown`; what rich itself writes to steer it stays."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Render what may hold text of others."""
        return super().render(_shown(renderable), options)


def _shown(renderable: RenderableType) -> RenderableType:
    if isinstance(renderable, str):
        return shown(renderable)
    if isinstance(renderable, Text) and (text := shown(renderable.plain)) != renderable.plain:
        return Text(
            text, renderable.style, justify=renderable.justify, overflow=renderable.overflow, end=renderable.end
        )
    return renderable
