"""Writes a study's report beside its records, from what is on disk; without TensorFlow."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpuprobe.errors import OutputError
from gpuprobe.ranking.load import load
from gpuprobe.records import to_json
from gpuprobe.report import markdown, plots

if TYPE_CHECKING:
    from pathlib import Path

    from gpuprobe.ranking.load import Loaded

REPORT_FILE = "report.md"
JSON_FILE = "report.json"
PLOTS_FOLDER = "plots"


def write(folder: Path) -> Loaded:
    """Write `report.md`, `report.json` and the plots into a study's folder; return the study as it was read.

    Raises InputError where the folder holds no study, OutputError where it cannot be written.
    """
    loaded = load(folder)
    drawn = plots.render(loaded)
    text = markdown.render(loaded, [(f"{PLOTS_FOLDER}/{file}", title) for file, title, _ in drawn])
    try:
        (folder / PLOTS_FOLDER).mkdir(exist_ok=True)
        for file, _, picture in drawn:
            (folder / PLOTS_FOLDER / file).write_bytes(picture)
        (folder / REPORT_FILE).write_text(text)
        (folder / JSON_FILE).write_bytes(to_json(loaded.ranking))
    except OSError as error:
        raise OutputError(f"{folder}: the report cannot be written ({error.strerror})") from error
    return loaded
