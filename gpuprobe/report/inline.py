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
    ranked, _ = cells.ranking_table(loaded.ranking, cells.RANKED)
    return _paragraphs(answer.where, answer.told, answer.code, table(ranked))


def diagnosis_text(diagnosis: Diagnosis) -> str:
    """Return a diagnosis in lines: verdict, why, next, and how long the steps of each device are."""
    findings_words = findings.diagnosis_in_words(diagnosis)
    sentences = (("Verdict", findings_words.verdict), ("Why", findings_words.why), ("Next", findings_words.next))
    return _lines(
        "\n".join(breakdown.device_headline(device) for device in diagnosis.devices), sentences, findings_words.code
    )


def diagnosis_markdown(diagnosis: Diagnosis) -> str:
    """Return a diagnosis with the breakdown of each device as a table."""
    findings_words = findings.diagnosis_in_words(diagnosis)
    sentences = (("Verdict", findings_words.verdict), ("Why", findings_words.why), ("Next", findings_words.next))
    breakdowns = []
    for device in diagnosis.devices:
        breakdowns += [plain(breakdown.device_headline(device)), table(breakdown.category_table(device))]
    return _paragraphs("", sentences, findings_words.code, *breakdowns)


def _lines(first_line: str, sentences: Sequence[tuple[str, str]], code: str) -> str:
    answer_lines = [first_line]
    for title, sentence in sentences:
        answer_lines += [f"{title}: {sentence.replace('`', '')}" if sentence else "", code if title == "Next" else ""]
    return shown("\n".join(answer_line for answer_line in answer_lines if answer_line))


def _paragraphs(first_line: str, sentences: Sequence[tuple[str, str]], code: str, *more_parts: str) -> str:
    answer_parts: list[str] = [said(first_line)]
    for title, sentence in sentences:
        answer_parts += [
            f"**{title}.** {said(sentence)}" if sentence else "",
            fenced(code) if title == "Next" and code else "",
        ]
    return paragraphs(*answer_parts, *more_parts)
