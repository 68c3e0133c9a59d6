"""Writes a study's report beside its records, from what is on disk; without TensorFlow."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gpuprobe.errors import OutputError
from gpuprobe.ranking.load import load
from gpuprobe.recording import PAGE_FILE, RANKING_FILE, REPORT_FILE
from gpuprobe.records import to_json, write_whole
from gpuprobe.report import charts, drawn, figures, html, markdown, plots
from gpuprobe.report.study_answer import of_study

if TYPE_CHECKING:
    from pathlib import Path

    from gpuprobe.ranking.load import Loaded


@dataclass(frozen=True)
class Rendered:
    """`report.md`, `report.html`, and the pictures of `report.md` as SVG, by their files in the study's folder."""

    text: str
    page: str
    pictures: dict[str, bytes]


def rendered(loaded: Loaded) -> Rendered:
    """Return the report of a study that was read."""
    simulated = loaded.study.environment.simulated
    answer = of_study(loaded)
    all_charts = [*filter(None, [answer.bars]), *drawn.charts(loaded)]
    markdown_text = markdown.render(loaded, answer, all_charts)
    figure_by_file = {chart.file: figures.render(chart, simulated=simulated) for chart in all_charts}
    html_page = html.render(markdown_text, figure_by_file, opened=markdown.OPENED, simulated=simulated)
    return Rendered(markdown_text, html_page, plots.render(all_charts, simulated=simulated))


def write(folder: Path) -> Loaded:
    """Write `report.md`, `report.html`, `report.json` and the plots into a study's folder; return what was read.

    Raises InputError where the folder holds no study, OutputError where it cannot be written.
    """
    loaded = load(folder)
    report = rendered(loaded)
    try:
        (folder / charts.PLOTS_FOLDER).mkdir(exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder}: the report cannot be written ({error.strerror})") from error
    # What is read first is written first, since the disk may become full.

    write_whole(folder / REPORT_FILE, report.text)
    write_whole(folder / PAGE_FILE, report.page)
    write_whole(folder / RANKING_FILE, to_json(loaded.ranking))
    for file, picture in report.pictures.items():
        write_whole(folder / file, picture)
    return loaded
