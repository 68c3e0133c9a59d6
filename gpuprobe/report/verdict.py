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
# What is said in place of a cause: the training is healthy, or nothing explains it.
UNCAUSED = {"compute_bound": "Nothing holds it up", "unattributed": "No cause is known"}


@dataclass(frozen=True)
class Verdict:
    """A few sentences for each question, and the first line on where it was measured; empty where there is none.

    `cause` is the primary finding's, empty where there is none; `next` is its remedy and `code` its change, as a diff;
    `gain` is what the changes that were measured gave, and `sure` how far all of it can be trusted.
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
        """The verdict in one line without markup, for the live view: the cause is told once there is one."""
        why = "" if self.cause in {"", "unattributed"} else self.why
        return f"{self.verdict} {why}".replace("`", "").strip()


def verdict(loaded: Loaded, *, provisional: bool = False) -> Verdict:
    """Say what a study found so far, also where it is unfinished or measured nothing.

    A `provisional` verdict is of a study that still runs: it does not say that the machine was too busy.
    """
    study, ranking = loaded.study, loaded.ranking
    where = f"{_measured_where(study, ranking)} {resolution(ranking, study)}".strip()
    if not ranking.rows:
        return Verdict(where, "No run finished.", _failed(ranking), "", "")
    step, why = _step_and_cause(ranking)
    first, code = following(ranking, study)
    if ranking.scaling is not None and (scaled := scaling.headline(ranking.scaling)):
        step = f"{scaled}. {step}".strip()
    reason = None if provisional else untold(ranking, study)
    sentences = f"{reason.said} {step}" if reason else f"{step} {_fastest(ranking, study)}"
    answer = f"{sentences.strip()}{_unmeasured(ranking, study)}"
    primary = next((finding.cause for finding in ranking.findings if finding.primary), "")
    return Verdict(where, answer, why, first, code, gains(ranking, study), sure(ranking, study), primary)


def _step_and_cause(ranking: Ranking) -> tuple[str, str]:
    """Return where the baseline's step goes, and the cause of it."""
    baseline = ranking.row(ranking.baseline)
    primary = next((finding for finding in ranking.findings if finding.primary), None)
    step = step_sentence(baseline.strategy, baseline.breakdown) if baseline and baseline.breakdown else ""
    if primary is None:
        return step, ""
    tie = f", which ties with `{primary.ties_with}`" if primary.ties_with else ""
    sentences = [
        f"The cause is that {cause_in_words(primary)}{tie}, with {primary.confidence} confidence.",
        primary.claim,
    ]
    if primary.cause in UNCAUSED:
        sentences[0] = f"{UNCAUSED[primary.cause]} (`{primary.cause}`{tie}), with {primary.confidence} confidence."
    behind = [cause_in_words(finding) for finding in ranking.findings if finding.symptom_of == primary.cause]
    if behind:
        sentences.append(f"It is also the reason why {wording.listing(behind)}.")
    return step, " ".join(sentences)


def _measured_where(study: Study, ranking: Ranking) -> str:
    environment = study.environment
    if environment.gpus and any(f.cause == "not_on_gpu" and f.primary for f in ranking.findings):
        trained_with = title(ranking.rows[0].settings.backend) if ranking.rows else "Keras"
        return f"{trained_with} did not use the GPU ({environment.gpus[0].name}): the ranking is for the processor."
    if environment.gpus:
        done = "Simulated" if environment.simulated else "Measured"
        return f"{done} on {environment.gpus[0].name}, driver {environment.driver}."
    return (
        f"There is no GPU here ({environment.no_gpu}). The ranking is for the processor ({environment.cpu}, "
        f"{wording.count(environment.cores, 'core')}) and says nothing about a GPU."
    )


def _fastest(ranking: Ranking, study: Study) -> str:
    """Say which strategy is the fastest with the baseline's loss curve, and which faster ones have another."""
    baseline = ranking.row(ranking.baseline)
    assert baseline is not None
    alike = [row for row in ranking.rows if row is baseline or not (row.trains_otherwise or row.drift)]
    best = alike[0]
    first = [row for row in alike if row.rank == best.rank]
    epoch = f"{wording.duration(best.epoch_s.value)} an epoch of {study.epoch}" if best.epoch_s else ""
    rate = ", ".join([f"{wording.significant(best.samples_per_s.value)} samples/s", *([epoch] if epoch else [])])
    if len(ranking.rows) == 1:
        return f"`{best.strategy}` trains {rate}."
    otherwise = "".join(_other_loss(row) for row in ranking.rows[: ranking.rows.index(best)])
    among = "" if len(alike) == len(ranking.rows) else " with the same loss curve"
    none = f"No strategy{among.replace('train', 'trains')} is faster than `{baseline.strategy}` beyond the noise"
    if first == [baseline]:
        return f"{none}, which trains {rate}.{otherwise}"
    if baseline in first:
        return f"{none}: {_tie(first, among)}.{otherwise}"
    gain = times(best.speedup) if best.speedup else ""
    if not best.is_faster:
        return f"{none}: the first of them, `{best.strategy}`, is {gain} as fast.{otherwise}"
    others = _others(first[1:]) if len(first) > 1 else ""
    count = wording.count(len(alike), "strategy", "strategies")
    instead = f"{epoch} instead of {wording.duration(baseline.epoch_s.value)}, " if baseline.epoch_s else ""
    return (
        f"`{best.strategy}` is the fastest of {count}{among}: {instead}{gain} as fast as `{baseline.strategy}`."
        f"{others}{otherwise}"
    )


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


def _others(rows: list[Row]) -> str:
    return f" {_strategy_names(rows, 'others')} {'ties' if len(rows) == 1 else 'tie'} with it within the noise."


def _tie(rows: list[Row], among: str) -> str:
    """Say who ties, and over what range; `among` says of which strategies these are the first."""
    rates = [row.samples_per_s.value for row in rows]
    slowest, fastest = wording.significant(min(rates)), wording.significant(max(rates))
    return f"{_strategy_names(rows, f'strategies{among}')} share the first rank, from {slowest} to {fastest} samples/s"


def _strategy_names(rows: list[Row], noun: str) -> str:
    names = [f"`{row.strategy}`" for row in rows]
    return wording.listing(names) if len(names) <= NAMED_IN_A_TIE else f"{len(names)} {noun}"


def _failed(ranking: Ranking) -> str:
    if not ranking.failures:
        return "No run was started."
    failure = ranking.failures[0]
    return f"{failure.strategy}: {failure.state.replace('_', ' ')}, {failure.message}."
