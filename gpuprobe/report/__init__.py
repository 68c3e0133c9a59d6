"""A ranked study into Markdown, JSON and plots. Renderers return text; `write` puts it beside the study's record."""
