"""The report as Markdown: the verdict first, then the ranking, the reasons, and how to get each figure again."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from gpuprobe import wording
from gpuprobe.report import account, cells, story
from gpuprobe.report.page import template
from gpuprobe.report.verdict import verdict

if TYPE_CHECKING:
    from gpuprobe.ranking.load import Loaded


def render(loaded: Loaded, plots: list[tuple[str, str]]) -> str:
    """Return `report.md`; `plots` are (file, what it shows) pairs, relative to the study's folder."""
    study, ranking = loaded.study, loaded.ranking
    rows = [cells.row(row, ranking) for row in ranking.rows]
    columns = [column for column in cells.COLUMNS if any(row[column.key] for row in rows)]
    context: dict[str, Any] = {
        "study": study,
        "ranking": ranking,
        "verdict": verdict(loaded),
        "columns": columns,
        "dropped": [column for column in cells.COLUMNS if column not in columns],
        "rows": rows,
        "stories": [(search, story.table(search), story.ending(search)) for search in ranking.searches],
        "ledger": account.table([row for row in ranking.rows if row.account is not None]),
        "scorecard": [cells.scored(row) for row in ranking.scorecard],
        "details": [cells.details(row, ranking) for row in ranking.rows],
        "made": datetime.fromtimestamp(study.created_ns / 1e9, timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "plots": plots,
        "traces": cells.traces(loaded),
        "reproduce": [(row.strategy, cells.command(study, row.strategy)) for row in ranking.rows],
        "folder": PurePath(loaded.folder).name,
        "wording": wording,
        "evidence": cells.evidence,
        "faults": study.request.inject,
    }
    return template("report.md.jinja").render(context)
