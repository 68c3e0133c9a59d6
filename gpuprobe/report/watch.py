"""The report of a watch, from disk: what telemetry, and traces of its trainings, say about one command."""

from __future__ import annotations

import shlex
from dataclasses import replace
from datetime import datetime, timezone
from typing import TYPE_CHECKING
from urllib.parse import quote

import msgspec

from gpuprobe import wording
from gpuprobe.diagnosis.case import Case
from gpuprobe.diagnosis.diagnose import diagnose
from gpuprobe.diagnosis.trainings import (
    Training,
    known_bug,
    leading_training,
    read_processes,
    read_trainings,
    same_verdict,
    why_no_trace,
    why_none,
)
from gpuprobe.evidence.breakdown import main_device
from gpuprobe.evidence.readings.signals import Seen
from gpuprobe.evidence.whole_run import RunBreakdown
from gpuprobe.recording import (
    PAGE_FILE,
    RANKING_FILE,
    REPORT_FILE,
    STEP_FILE,
    TELEMETRY_FILE,
    TRACE_LEFT_OUT,
    WATCH_FILE,
)
from gpuprobe.records import Record, Watch, load, to_json, write_whole
from gpuprobe.report import answer, breakdown, figures, findings, html, whole_run
from gpuprobe.report.answer import Answer
from gpuprobe.report.charts import PLOTS_FOLDER
from gpuprobe.report.page import filled
from gpuprobe.telemetry import read
from gpuprobe.units import NS_PER_S
from gpuprobe.watch.verdict import Judged, Verdict, judge, not_offered

SAME_VERDICT = "The same as of the training that leads."
# The parts that a page shows unfolded.
OPENED = ("What was read",)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


class WatchReport(Record, frozen=True, kw_only=True):
    """`report.json` of a watch: its record, the evidence, the verdict, and the trainings that it attached to.

    `no_training` says why there is none, where a trace was asked for. `processes` are where the wall time of each
    process went that loaded Keras.
    """

    watch: Watch
    seen: Seen
    verdict: Verdict
    trainings: tuple[Training, ...] = ()
    no_training: str = ""
    processes: tuple[RunBreakdown, ...] = ()


def load_report(folder: Path) -> WatchReport:
    """Judge a recording again; for one shared without its traces, what they said is read from its report.

    Raises InputError where the folder holds none, or one that cannot be read.
    """
    watch, trainings = load(Watch, folder / WATCH_FILE), read_trainings(folder)
    if any(training.missing == TRACE_LEFT_OUT for training in trainings):
        trainings = load(WatchReport, folder / RANKING_FILE).trainings
    return reported(folder, watch, trainings)


def reported(folder: Path, watch: Watch, trainings: tuple[Training, ...]) -> WatchReport:
    """Judge a watch whose trainings were diagnosed: by a trace, or by its readings where there is no trace.

    Raises InputError where its telemetry cannot be read.
    """
    seen, verdict = judge(read(folder / TELEMETRY_FILE), watch, why_no_trace(folder, trainings))
    traced = leading_training(trainings) is not None
    processes = read_processes(folder)
    verdict = _led_by_trace(verdict, trainings) if trainings else _led_by_process(verdict, processes)
    verdict = _with_known_bug(verdict, known_bug(folder), traced=traced)
    return WatchReport(
        watch=watch,
        seen=seen,
        verdict=verdict,
        trainings=trainings,
        no_training=why_none(folder),
        processes=processes,
    )


def _led_by_trace(verdict: Verdict, trainings: tuple[Training, ...]) -> Verdict:
    leading = leading_training(trainings)
    if leading is None or leading.diagnosis is None:
        return verdict
    findings_words, training_count = findings.diagnosis_in_words(leading.diagnosis), len(trainings)
    which_training = (
        f"training {trainings.index(leading) + 1} of {training_count}" if training_count > 1 else "its training"
    )
    primary = leading.diagnosis.primary
    evidence_source = "the clock over all" if primary is not None and primary.of == "run" else "the trace"
    sentence = f"By {evidence_source} of {which_training}: {findings_words.verdict}"
    return msgspec.structs.replace(
        verdict, verdict=sentence, why=findings_words.why, next=findings_words.next, code=findings_words.code
    )


def _led_by_process(verdict: Verdict, processes: tuple[RunBreakdown, ...]) -> Verdict:
    """Return the verdict, led by what calls of `predict` cost where a command only predicts and they cost much."""
    diagnosis = diagnose(Case(whole_run=processes[0])) if len(processes) == 1 else None
    if diagnosis is None or diagnosis.primary is None or diagnosis.primary.cause != "many_small_fits":
        return verdict
    words = findings.diagnosis_in_words(diagnosis)
    judged = Judged(device="process", findings=diagnosis.findings, not_evaluated=diagnosis.not_evaluated)
    sentence = f"By the clock over all of its process: {words.verdict}"
    return msgspec.structs.replace(
        verdict, verdict=sentence, why=words.why, next=words.next, code=words.code, judged=(judged, *verdict.judged)
    )


def _with_known_bug(verdict: Verdict, bug: str, *, traced: bool) -> Verdict:
    """Put a known bug that ended a training first where no trace leads: readings cannot show why a training ended."""
    if not bug:
        return verdict
    if traced:
        return msgspec.structs.replace(verdict, notes=(bug, *verdict.notes))
    return msgspec.structs.replace(verdict, verdict=f"{bug}.", why="", next="", code="")


def answered(report: WatchReport) -> Answer:
    """Return what the report begins with: the answer of the training that leads, else what the readings support."""
    leading, verdict = leading_training(report.trainings), report.verdict
    no_gpu_words = "" if report.seen.gpus else "No GPU was sampled. "
    if leading is not None and leading.diagnosis is not None:
        first_screen = answer.of_diagnosis(leading.diagnosis, main_device(leading.diagnosis))
    else:
        primary = next(
            (finding for judged in report.verdict.judged[:1] for finding in judged.findings if finding.primary), None
        )
        chips = (*answer.cause_chips(primary, disputed=False), ("evidence", "readings, no trace"))
        why, change = answer.first_sentence(verdict.why), answer.first_sentence(verdict.next)
        first_screen = Answer(answer.first_sentence(verdict.verdict), chips, None, change, verdict.code, why)
    return replace(first_screen, title=no_gpu_words + first_screen.title)


def render(report: WatchReport, pages: Mapping[str, str]) -> str:
    """Return `report.md`; `pages` are the addresses of the step pages, by the trainings' folders."""
    started = datetime.fromtimestamp(report.watch.started_ns / NS_PER_S, timezone.utc)
    return filled(
        "watch.md.jinja",
        watch=report.watch,
        seen=report.seen,
        verdict=report.verdict,
        answer=answered(report),
        trainings=report.trainings,
        pages=pages,
        leading=leading_training(report.trainings),
        no_training=report.no_training,
        same_verdict=same_verdict,
        same=SAME_VERDICT,
        breakdown=breakdown,
        findings=findings,
        processes=report.processes,
        whole_run=whole_run,
        command=shlex.join(report.watch.command),
        made=started.strftime("%Y-%m-%d %H:%M UTC"),
        not_offered=not_offered(report.seen.said),
        wording=wording,
    )


def write_watch(folder: Path) -> Path:
    """Write `report.md`, `report.html` and `report.json` into a recording's folder; return the first.

    Raises InputError where it holds no recording, OutputError where it cannot be written.
    """
    report = load_report(folder)
    step_pages = {training.folder: f"{training.folder}/{STEP_FILE}" for training in report.trainings}
    markdown = render(
        report,
        {training: quote(step_page) for training, step_page in step_pages.items() if (folder / step_page).is_file()},
    )
    simulated = report.watch.environment is not None and report.watch.environment.simulated
    bars = answered(report).bars
    figures_by_file = {bars.file: figures.render(bars, simulated=simulated)} if bars else {}
    write_whole(folder / REPORT_FILE, markdown)
    write_whole(folder / PAGE_FILE, html.render(markdown, figures_by_file, opened=OPENED, simulated=simulated))
    if bars:
        # Heavy, and not needed for what is printed when a command ends.
        from gpuprobe.report import plots

        (folder / PLOTS_FOLDER).mkdir(exist_ok=True)
        for picture_file, picture in plots.render([bars], simulated=simulated).items():
            write_whole(folder / picture_file, picture)
    write_whole(folder / RANKING_FILE, to_json(report))
    return folder / REPORT_FILE
