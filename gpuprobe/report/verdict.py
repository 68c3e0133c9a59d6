"""The first paragraph: what is fastest, why the rest is not, and what to do next."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gpuprobe import wording
from gpuprobe.report.account import ratio, step_sentence
from gpuprobe.report.cells import comparison, times

if TYPE_CHECKING:
    from gpuprobe.ranking.load import Loaded
    from gpuprobe.ranking.ranking import Ranking, Row
    from gpuprobe.records import Study

NAMED_IN_A_TIE = 4


@dataclass(frozen=True)
class Verdict:
    """Three sentences or a few, and the first line on where it was measured."""

    where: str
    verdict: str
    why: str
    next: str
    code: str

    @property
    def line(self) -> str:
        """The verdict in one line, for the live view."""
        return f"{self.verdict} {self.why}".strip()


def verdict(loaded: Loaded) -> Verdict:
    """Say what a study found so far; of an unfinished one, too, and of one that measured nothing."""
    study, ranking = loaded.study, loaded.ranking
    where = _where(study, ranking)
    if not ranking.rows:
        return Verdict(where, "Nothing was measured to the end.", _failed(ranking), "", "")
    following, code = _next(ranking, study)
    return Verdict(where, _fastest(ranking, study), _why(ranking), following, code)


def _why(ranking: Ranking) -> str:
    """Where the baseline's step goes, the cause of it, and how sure that is."""
    baseline = ranking.row(ranking.baseline)
    primary = next((finding for finding in ranking.findings if finding.primary), None)
    sentences = [step_sentence(baseline.strategy, baseline.account)] if baseline and baseline.account else []
    if primary is None:
        return " ".join([*sentences, "Not known yet: " + _undecided(ranking)])
    if not sentences:
        sentences.append(primary.claim)
    tie = f", which ties with {primary.ties_with}" if primary.ties_with else ""
    sentences.append(f"The primary cause is {primary.cause}{tie}, with {primary.confidence} confidence.")
    return " ".join([*sentences, ranking.agreement]).strip()


def _where(study: Study, ranking: Ranking) -> str:
    environment = study.environment
    if environment.gpus and any(f.cause == "not_on_gpu" and f.primary for f in ranking.findings):
        return f"TensorFlow did not use the GPU ({environment.gpus[0].name}): the ranking is for the processor."
    if environment.gpus:
        done = "Simulated" if environment.simulated else "Measured"
        return f"{done} on {environment.gpus[0].name}, driver {environment.driver}."
    return (
        f"There is no GPU here ({environment.no_gpu}). The ranking is for the processor ({environment.cpu}, "
        f"{wording.count(environment.cores, 'core')}) and says nothing about a GPU."
    )


def _fastest(ranking: Ranking, study: Study) -> str:
    first = [row for row in ranking.rows if row.rank == ranking.rows[0].rank]
    baseline = ranking.row(ranking.baseline)
    names = [row.strategy for row in first]
    best = first[0]
    figures = f"{wording.significant(best.samples_per_s.value)} samples/s, {wording.clock(best.epoch_s.value)} an epoch"
    figures += f" of {study.epoch_samples:,} samples"
    if len(ranking.rows) == 1:
        return f"{best.strategy} trains {figures}."
    if baseline in first:
        start = f"No strategy is faster than {ranking.baseline} beyond the noise"
        return f"{start}, which trains {figures}." if len(first) == 1 else f"{start}: {_tie(first, names)}."
    assert baseline is not None
    ratio = best.samples_per_s.value / baseline.samples_per_s.value
    many = f"{_tie(first, names)}; the first of them" if len(first) > 1 else f"{best.strategy} is the fastest"
    return f"{many}: {figures}, {ratio:.2f} times as fast as {baseline.strategy}."


def _tie(rows: list[Row], names: list[str]) -> str:
    """Say who ties, and over what range: a chain of ties can be long, and its ends far apart."""
    who = wording.listing(names) if len(names) <= NAMED_IN_A_TIE else f"{len(names)} strategies"
    rates = [row.samples_per_s.value for row in rows]
    slowest, fastest = wording.significant(min(rates)), wording.significant(max(rates))
    return f"{who} share the first rank, from {slowest} to {fastest} samples/s"


def _next(ranking: Ranking, study: Study) -> tuple[str, str]:
    primary = next((finding for finding in ranking.findings if finding.primary), None)
    parts = []
    code = ""
    if primary is not None and primary.cause != "compute_bound":
        code = primary.code
        told = [
            f"{word} {ratio(gain)}"
            for word, gain in (("predicted", primary.predicted_gain), ("measured", primary.measured_gain))
            if gain
        ]
        parts.append(primary.fix + (f" {', '.join(told).capitalize()}." if told else ""))
    gained = [row for row in ranking.rows if row.gain and row.gain.low > 1 and not _other_work(row)]
    helped = [row for row in gained if not row.combines]
    if helped:
        best = max(helped, key=lambda row: row.gain.value if row.gain else 0.0)
        assert best.gain is not None
        parts.append(f"The single change that gained most is {best.strategy} ({best.change}): {times(best.gain)}.")
    for row in gained:
        if len(row.combines) > 1:
            assert row.gain is not None
            parts.append(f"Together, as {row.strategy}, {wording.listing(list(row.combines))} give {times(row.gain)}.")
    lost = [row for row in ranking.rows if row.gain and row.gain.high < 1]
    if lost:
        worst = min(lost, key=lambda row: row.gain.value if row.gain else 1.0)
        assert worst.gain is not None
        parts.append(f"Keep away from {worst.strategy} here: {comparison(worst.gain)}.")
    if not parts and not study.request.rounds:
        parts.append("Hand the model and its data to gpuprobe run --model, which measures the changes that may help.")
    if not parts:
        parts.append(f"No change measured here is worth making; {_more(study)}")
    return " ".join(parts), code


def _more(study: Study) -> str:
    rounds = max(3, study.request.rounds + 2)
    return f"smaller differences than the intervals need more rounds (--rounds {rounds})."


def _other_work(row: Row) -> bool:
    return any(mark.startswith(("loss", "its loss")) for mark in row.marks)


def _failed(ranking: Ranking) -> str:
    if not ranking.failures:
        return "No run was started."
    failure = ranking.failures[0]
    return f"{failure.strategy}: {failure.state.replace('_', ' ')}, {failure.message}."


def _undecided(ranking: Ranking) -> str:
    known = {reason.cause: reason.reason for reason in ranking.not_evaluated}
    return (known.get("compute_bound") or "no rule had its evidence") + "."
