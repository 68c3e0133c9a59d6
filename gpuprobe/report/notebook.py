"""A study and a diagnosis as the output of a notebook's cell: the answer, with the rest folded; HTML without a script.

Names that others chose are escaped as on a page, by the same functions. The styles apply within the cell alone.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import jinja2

from gpuprobe import wording
from gpuprobe.evidence.breakdown import main_device
from gpuprobe.report import answer, breakdown, cells, figures, html
from gpuprobe.report.page import filled
from gpuprobe.report.study_answer import of_study
from gpuprobe.report.verdict import verdict

if TYPE_CHECKING:
    from gpuprobe.diagnosis.records import Diagnosis
    from gpuprobe.ranking.load import Loaded
    from gpuprobe.report.answer import Answer

# Cells of one notebook would have the same anchors.
ANCHOR = re.compile(r' id="part-\d+"')
_environment = jinja2.Environment(loader=jinja2.PackageLoader("gpuprobe.report"), autoescape=True, trim_blocks=True)


def study_html(loaded: Loaded) -> str:
    """Return a study's answer, and folded its ranking and the verdict in full."""
    first_screen = of_study(loaded)
    markdown = filled(
        "notebook_study.md.jinja",
        answer=first_screen,
        study=loaded.study,
        ranking=loaded.ranking,
        ranked=cells.ranking_table(loaded.ranking, cells.RANKED)[0],
        verdict=verdict(loaded),
        looks=[],
        faults=loaded.study.request.inject,
        wording=wording,
    )
    return _cell(markdown, first_screen, simulated=loaded.study.environment.simulated)


def diagnosis_html(diagnosis: Diagnosis) -> str:
    """Return a diagnosis's answer, and folded its evidence and the breakdown of each device."""
    first_screen = answer.of_diagnosis(diagnosis, main_device(diagnosis))
    devices = [(breakdown.device_headline(device), breakdown.category_table(device)) for device in diagnosis.devices]
    markdown = filled(
        "notebook_diagnosis.md.jinja", answer=first_screen, evidence=answer.evidence(diagnosis), devices=devices
    )
    return _cell(markdown, first_screen)


def _cell(markdown: str, first_screen: Answer, *, simulated: bool = False) -> str:
    bars = first_screen.bars
    page_parts = html.page_parts(markdown, {bars.file: figures.render(bars)} if bars else {})
    colours = jinja2.PackageLoader("gpuprobe.report").get_source(_environment, "colours.css")[0]
    cell_html = _environment.get_template("notebook.html.jinja").render(
        answer=page_parts.answer,
        body=page_parts.body,
        colours=colours.replace(":root", ".gpuprobe"),
        simulated=html.SIMULATED if simulated else "",
    )
    return ANCHOR.sub("", cell_html)
