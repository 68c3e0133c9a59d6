"""The Markdown templates of this room, and how they are filled in."""

from __future__ import annotations

import jinja2

_environment = jinja2.Environment(
    loader=jinja2.PackageLoader("gpuprobe.report"),
    trim_blocks=True,
    lstrip_blocks=True,
    undefined=jinja2.StrictUndefined,
    keep_trailing_newline=True,
    # The output is Markdown, where escaping for HTML would show.
    autoescape=False,  # noqa: S701
)


def template(name: str) -> jinja2.Template:
    """Return a template by the name of its file."""
    return _environment.get_template(name)
