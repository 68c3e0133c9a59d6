"""The answer that a report begins with: what is fastest, why the baseline is not, what to do first, and how sure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gpuprobe import wording
from gpuprobe.backends.known import title
from gpuprobe.report import scaling
from gpuprobe.report.breakdown import step_sentence
from gpuprobe.report.causes import cause_in_words
from gpuprobe.report.cells import times
from gpuprobe.report.following import following, gains
from gpuprobe.report.resolution import resolution, untold
from gpuprobe.report.sure import sure

if TYPE_CHECKING:
    from gpuprobe.ranking.load import Loaded
    from gpuprobe.ranking.ranking import Ranking, Row
    from gpuprobe.records import Study

NAMED_IN_A_TIE = 4
# The words in place of a cause: the training is healthy, or its cause is not known.
UNCAUSED = {"compute_bound": "Nothing holds it up", "unattributed": "No cause is known"}


@dataclass(frozen=True)
class Verdict:
    """A few sentences on each question; empty where there is nothing to say.

    `where` is the first line, on where it was measured. `cause` is the primary finding's; `next` is its remedy and
    `code` the change, as a diff. `gain` is what the measured changes gained, `sure` how far the result can be trusted.
    """

    where: str
    verdict: str
    why: str
    next: str
    code: str
    gain: str = ""
    sure: str = ""
    cause: str = ""

    @property
    def told(self) -> tuple[tuple[str, str], ...]:
        """Title and sentences of each question, in the order in which they are answered."""
        return (
            ("Verdict", self.verdict),
            ("Why", self.why),
            ("Next", self.next),
            ("Gain", self.gain),
            ("How sure", self.sure),
        )

    @property
    def line(self) -> str:
        """The verdict in one line without markup, for the live view, with its cause where that is known."""
        why = "" if self.cause in {"", "unattributed"} else self.why
        return f"{self.verdict} {why}".replace("`", "").strip()


def verdict(loaded: Loaded, *, provisional: bool = False) -> Verdict:
    """Say what a study found so far, also where it is unfinished or measured nothing.

    A `provisional` verdict is of a study that still runs: it does not say that the machine was too busy.
    """
    study, ranking = loaded.study, loaded.ranking
    measured_where = f"{_measured_where(study, ranking)} {resolution(ranking, study)}".strip()
    if not ranking.rows:
        return Verdict(measured_where, "No run finished.", _first_failure(ranking), "", "")
    step_words, cause_words = _step_and_cause(ranking)
    next_step, code = following(ranking, study)
    if ranking.scaling is not None and (scaled := scaling.scaling_headline(ranking.scaling)):
        step_words = f"{scaled}. {step_words}".strip()
    why_untold = None if provisional else untold(ranking, study)
    verdict_sentences = f"{why_untold.said} {step_words}" if why_untold else f"{step_words} {_fastest(ranking, study)}"
    verdict_words = f"{verdict_sentences.strip()}{_unmeasured(ranking, study)}"
    primary_cause = next((finding.cause for finding in ranking.findings if finding.primary), "")
    return Verdict(
        measured_where,
        verdict_words,
        cause_words,
        next_step,
        code,
        gains(ranking, study),
        sure(ranking, study),
        primary_cause,
    )


def _step_and_cause(ranking: Ranking) -> tuple[str, str]:
    """Return where the baseline's step goes, and the cause of it."""
    baseline = ranking.row(ranking.baseline)
    primary = next((finding for finding in ranking.findings if finding.primary), None)
    step_words = step_sentence(baseline.strategy, baseline.breakdown) if baseline and baseline.breakdown else ""
    if primary is None:
        return step_words, ""
    tie_words = f", which ties with `{primary.ties_with}`" if primary.ties_with else ""
    cause_sentences = [
        f"The cause is that {cause_in_words(primary)}{tie_words}, with {primary.confidence} confidence.",
        primary.claim,
    ]
    if primary.cause in UNCAUSED:
        cause_sentences[0] = (
            f"{UNCAUSED[primary.cause]} (`{primary.cause}`{tie_words}), with {primary.confidence} confidence."
        )
    symptoms = [cause_in_words(finding) for finding in ranking.findings if finding.symptom_of == primary.cause]
    if symptoms:
        cause_sentences.append(f"It is also the reason why {wording.listing(symptoms)}.")
    return step_words, " ".join(cause_sentences)


def _measured_where(study: Study, ranking: Ranking) -> str:
    environment = study.environment
    if environment.gpus and any(f.cause == "not_on_gpu" and f.primary for f in ranking.findings):
        trained_with = title(ranking.rows[0].settings.backend) if ranking.rows else "Keras"
        return f"{trained_with} did not use the GPU ({environment.gpus[0].name}): the ranking is for the processor."
    if environment.gpus:
        measured_word = "Simulated" if environment.simulated else "Measured"
        return f"{measured_word} on {environment.gpus[0].name}, driver {environment.driver}."
    return (
        f"There is no GPU here ({environment.no_gpu}). The ranking is for the processor ({environment.cpu}, "
        f"{wording.count(environment.cores, 'core')}) and says nothing about a GPU."
    )


def _fastest(ranking: Ranking, study: Study) -> str:
    """Say which strategy is the fastest with the baseline's loss curve, and which faster ones have another.

    It is called the fastest only where none is ahead of it, and it is faster beyond the noise than each outside its
    rank.
    """
    baseline, fastest_row = ranking.row(ranking.baseline), ranking.fastest
    assert baseline is not None
    if len(ranking.rows) == 1:
        return f"`{baseline.strategy}` trains {_pace(baseline, study)}."
    same_loss = [row for row in ranking.rows if row is baseline or not (row.loss_difference or row.drift)]
    among = "" if len(same_loss) == len(ranking.rows) else " with the same loss curve"
    rows_before = ranking.rows[: ranking.rows.index(fastest_row)] if fastest_row else ranking.rows
    other_losses = "".join(_other_loss(row) for row in rows_before)
    if fastest_row is None:
        return f"{_none_faster(same_loss, baseline, among, study)}.{other_losses}"
    tied_rows = [row for row in same_loss if row.strategy in fastest_row.ties_with]
    claim = "is faster beyond the noise"
    if fastest_row is same_loss[0] and all(row.rank == fastest_row.rank for row in tied_rows):
        claim = f"is the fastest of {wording.count(len(same_loss), 'strategy', 'strategies')}{among}"
    epoch_change = (
        f"{_epoch(fastest_row, study)} instead of {wording.duration(baseline.epoch_s.value)}, "
        if baseline.epoch_s
        else ""
    )
    speedup = times(fastest_row.speedup) if fastest_row.speedup else ""
    return (
        f"`{fastest_row.strategy}` {claim}: {epoch_change}{speedup} as fast as `{baseline.strategy}`."
        f"{_tied_with(tied_rows)}{other_losses}"
    )


def _none_faster(same_loss: list[Row], baseline: Row, among: str, study: Study) -> str:
    """Say that no strategy is faster than the baseline, and which come first all the same."""
    first_row = same_loss[0]
    first_rank = [row for row in same_loss if row.rank == first_row.rank]
    none_faster = f"No strategy{among} is faster than `{baseline.strategy}` beyond the noise"
    if first_rank == [baseline]:
        return f"{none_faster}, which trains {_pace(baseline, study)}"
    if baseline in first_rank:
        return f"{none_faster}: {_shared_first_rank(first_rank, among)}"
    speedup = times(first_row.speedup) if first_row.speedup else ""
    return f"{none_faster}: the first of them, `{first_row.strategy}`, is {speedup} as fast"


def _pace(row: Row, study: Study) -> str:
    epoch = _epoch(row, study)
    return f"{wording.significant(row.samples_per_s.value)} samples/s{f', {epoch}' if epoch else ''}"


def _epoch(row: Row, study: Study) -> str:
    return f"{wording.duration(row.epoch_s.value)} an epoch of {study.epoch}" if row.epoch_s else ""


def _unmeasured(ranking: Ranking, study: Study) -> str:
    """Say how many strategies were not measured, since the fastest may be among them."""
    if not ranking.not_run or len(study.strategies) < 2:
        return ""
    return f" {len(ranking.not_run)} of {len(study.strategies)} strategies were not measured."


def _other_loss(row: Row) -> str:
    """Name a faster strategy with another loss curve: no gain before its accuracy is known."""
    if row.speedup is None or not row.is_faster:
        return ""
    return f" `{row.strategy}` is {times(row.speedup)} as fast, but its loss curve differs."


def _tied_with(tied_rows: list[Row]) -> str:
    if not tied_rows:
        return ""
    return (
        f" {_strategy_names(tied_rows, 'others')} {'ties' if len(tied_rows) == 1 else 'tie'} with it within the noise."
    )


def _shared_first_rank(tied_rows: list[Row], among: str) -> str:
    """Say which strategies tie, and over what range of rates.

    `among` says that strategies with another loss curve are left out; it may be empty.
    """
    tied_rates = [row.samples_per_s.value for row in tied_rows]
    slowest, fastest = wording.significant(min(tied_rates)), wording.significant(max(tied_rates))
    names = _strategy_names(tied_rows, f"strategies{among}")
    return f"{names} share the first rank, from {slowest} to {fastest} samples/s"


def _strategy_names(named_rows: list[Row], noun: str) -> str:
    strategies = [f"`{row.strategy}`" for row in named_rows]
    return wording.listing(strategies) if len(strategies) <= NAMED_IN_A_TIE else f"{len(strategies)} {noun}"


def _first_failure(ranking: Ranking) -> str:
    if not ranking.failures:
        return "No run was started."
    failure = ranking.failures[0]
    return f"{failure.strategy}: {failure.state.replace('_', ' ')}, {failure.message}."
