"""A study and a diagnosis as the output of a notebook's cell: the answer, with the rest folded; HTML without a script.

What others chose is text there, as on a page: both are made by the same functions. All styles hold within the cell.
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

# Anchors of one cell would be those of another.
ANCHOR = re.compile(r' id="part-\d+"')
_environment = jinja2.Environment(loader=jinja2.PackageLoader("gpuprobe.report"), autoescape=True, trim_blocks=True)


def study_html(loaded: Loaded) -> str:
    """Return a study's answer, and folded its ranking and the verdict in full."""
    found = of_study(loaded)
    text = filled(
        "notebook_study.md.jinja",
        answer=found,
        study=loaded.study,
        ranking=loaded.ranking,
        ranked=cells.table(loaded.ranking, cells.RANKED)[0],
        verdict=verdict(loaded),
        looks=[],
        faults=loaded.study.request.inject,
        wording=wording,
    )
    return _cell(text, found, simulated=loaded.study.environment.simulated)


def diagnosis_html(diagnosis: Diagnosis) -> str:
    """Return a diagnosis's answer, and folded its evidence and the breakdown of each device."""
    found = answer.of_diagnosis(diagnosis, main_device(diagnosis))
    devices = [(breakdown.headline(device), breakdown.rows(device)) for device in diagnosis.devices]
    text = filled("notebook_diagnosis.md.jinja", answer=found, evidence=answer.evidence(diagnosis), devices=devices)
    return _cell(text, found)


def _cell(text: str, found: Answer, *, simulated: bool = False) -> str:
    shown = {found.bars.file: figures.render(found.bars)} if found.bars else {}
    parts = html.parts(text, shown)
    colours = jinja2.PackageLoader("gpuprobe.report").get_source(_environment, "colours.css")[0]
    made = _environment.get_template("notebook.html.jinja").render(
        answer=parts.answer,
        body=parts.body,
        colours=colours.replace(":root", ".gpuprobe"),
        simulated=html.SIMULATED if simulated else "",
    )
    return ANCHOR.sub("", made)
