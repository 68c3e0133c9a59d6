"""A study and a diagnosis as a Python session shows them: the answer in a few lines, and in a notebook as Markdown."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpuprobe.foreign import shown
from gpuprobe.report import breakdown, cells, findings
from gpuprobe.report.page import fenced, paragraphs, plain, said, table
from gpuprobe.report.verdict import verdict

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gpuprobe.diagnosis.records import Diagnosis
    from gpuprobe.ranking.load import Loaded


def study_text(loaded: Loaded) -> str:
    """Return a study's verdict in lines."""
    answer = verdict(loaded)
    return _lines(answer.where, answer.told, answer.code)


def study_markdown(loaded: Loaded) -> str:
    """Return a study's verdict, and the table of its ranking."""
    answer = verdict(loaded)
    ranked, _ = cells.table(loaded.ranking, cells.RANKED)
    return _paragraphs(answer.where, answer.told, answer.code, table(ranked))


def diagnosis_text(diagnosis: Diagnosis) -> str:
    """Return a diagnosis in lines: verdict, why, next, and how long the steps of each device are."""
    words = findings.words(diagnosis)
    sentences = (("Verdict", words.verdict), ("Why", words.why), ("Next", words.next))
    return _lines("\n".join(breakdown.headline(device) for device in diagnosis.devices), sentences, words.code)


def diagnosis_markdown(diagnosis: Diagnosis) -> str:
    """Return a diagnosis with the breakdown of each device as a table."""
    words = findings.words(diagnosis)
    sentences = (("Verdict", words.verdict), ("Why", words.why), ("Next", words.next))
    breakdowns = []
    for device in diagnosis.devices:
        breakdowns += [plain(breakdown.headline(device)), table(breakdown.rows(device))]
    return _paragraphs("", sentences, words.code, *breakdowns)


def _lines(first: str, sentences: Sequence[tuple[str, str]], code: str) -> str:
    lines = [first]
    for title, text in sentences:
        lines += [f"{title}: {text.replace('`', '')}" if text else "", code if title == "Next" else ""]
    return shown("\n".join(line for line in lines if line))


def _paragraphs(first: str, sentences: Sequence[tuple[str, str]], code: str, *more: str) -> str:
    parts: list[str] = [said(first)]
    for title, text in sentences:
        parts += [f"**{title}.** {said(text)}" if text else "", fenced(code) if title == "Next" and code else ""]
    return paragraphs(*parts, *more)
