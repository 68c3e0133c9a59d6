"""Writes a study's report beside its records, from what is on disk; without TensorFlow."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpuprobe.errors import OutputError
from gpuprobe.ranking.load import load
from gpuprobe.recording import PAGE_FILE, RANKING_FILE, REPORT_FILE
from gpuprobe.records import to_json, write_whole
from gpuprobe.report import html, markdown, palette, plots

if TYPE_CHECKING:
    from pathlib import Path

    from gpuprobe.ranking.load import Loaded


def write(folder: Path) -> Loaded:
    """Write `report.md`, `report.html`, `report.json` and the plots into a study's folder; return what was read.

    Raises InputError where the folder holds no study, OutputError where it cannot be written.
    """
    loaded = load(folder)
    drawn = plots.render(loaded)
    text = markdown.render(loaded, drawn)
    page = html.render(text, drawn, ink=palette.INK, simulated=loaded.study.environment.simulated)
    try:
        (folder / plots.PLOTS_FOLDER).mkdir(exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder}: the report cannot be written ({error.strerror})") from error
    # What is read first is written first: a disk may be nearly full.
    write_whole(folder / REPORT_FILE, text)
    write_whole(folder / PAGE_FILE, page)
    write_whole(folder / RANKING_FILE, to_json(loaded.ranking))
    for plot in drawn:
        write_whole(folder / plot.file, plot.svg)
    return loaded
