"""Grades answers against the truth: per cause, on healthy sessions, on what cannot be answered, and on predictions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil
from statistics import median
from typing import Protocol

from gpuprobe.diagnosis.causes import CAUSES

# The median error that predictions may have at most, of simulated sessions and of real trainings, and their 90th
# percentile; more by as much as what was measured does not repeat.
SIMULATED_MEDIAN, REAL_MEDIAN, P90 = 0.05, 0.10, 0.20
HEALTHY, UNANSWERED = "compute_bound", "(no answer)"


class Gain(Protocol):
    """What a fix gives: the ratio of samples per second then and now."""

    @property
    def ratio(self) -> float: ...


class Known(Protocol):
    """What is known of a case: `truth.json` of a simulated session, or what was put into a real training.

    `accepted` are all causes that nobody could fault; `fixes` say what each one really gives.
    """

    @property
    def primary(self) -> str: ...
    @property
    def stage(self) -> str | None: ...
    @property
    def accepted(self) -> tuple[str, ...]: ...
    @property
    def healthy(self) -> bool: ...
    @property
    def answerable(self) -> bool: ...
    @property
    def fixes(self) -> Mapping[str, Gain]: ...


@dataclass(frozen=True)
class Answer:
    """What a diagnosis says of a recording: the primary cause, None where it cannot tell, and predicted gains.

    `gains` are ratios of samples per second by the names of `truth.json`'s fixes; `stage` is that of the input;
    `sure` says that the cause is told with high confidence.
    """

    primary: str | None
    gains: Mapping[str, float] = field(default_factory=dict)
    stage: str | None = None
    sure: bool = False


@dataclass(frozen=True)
class Graded:
    """One case: the truth and the answer to it.

    `control` is the fraction by which what a fix gives differs when it is measured again: 0 where it is computed.
    `kind` is how the case came about.
    """

    name: str
    truth: Known
    answer: Answer
    control: float = 0.0
    kind: str = ""

    @property
    def known(self) -> bool:
        """Whether the diagnosis has a name for what is true; a cause that it does not know yet is graded apart."""
        return not self.truth.answerable or any(cause in CAUSES for cause in self.truth.accepted)

    @property
    def expected(self) -> str:
        """The cause that counts as right in the table: the one answered where that is accepted, else the primary."""
        if not self.truth.answerable:
            return UNANSWERED
        return self.said if self.said in self.truth.accepted else self.truth.primary

    @property
    def said(self) -> str:
        """The cause that was answered."""
        return self.answer.primary or UNANSWERED

    @property
    def right(self) -> bool:
        """Whether the answer is one that nobody could fault."""
        return self.said == self.expected


@dataclass(frozen=True)
class Grades:
    """The figures of a whole lab; fractions are 0 to 1, None where there was nothing to grade.

    `kinds` counts the cases and those that were right by how they came about, `unknown` what was said of causes that
    the diagnosis does not know yet: in no other figure are those counted. `sure_and_wrong` are wrong causes that were
    told with high confidence. `control` is the median of the A/A
    controls of what was predicted: a prediction may miss by its goal and by that.
    """

    cases: int
    right: float | None
    false_alarms: float | None
    unanswerable_found: float | None
    prediction_error_median: float | None
    prediction_error_p90: float | None
    confusion: dict[tuple[str, str], int]
    stages_right: float | None = None
    median_goal: float = SIMULATED_MEDIAN
    control: float = 0.0
    kinds: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    unknown: Mapping[tuple[str, str], int] = field(default_factory=dict)
    sure_and_wrong: int = 0

    def precision(self, cause: str) -> float | None:
        """Of all answers that named the cause, the share that was right."""
        named = sum(count for (_, said), count in self.confusion.items() if said == cause)
        return _share(self.confusion.get((cause, cause), 0), named)

    def recall(self, cause: str) -> float | None:
        """Of all cases of the cause, the share that was found."""
        there = sum(count for (true, _), count in self.confusion.items() if true == cause)
        return _share(self.confusion.get((cause, cause), 0), there)

    @property
    def good_enough(self) -> bool:
        """Whether the lab's goals are met; what there was nothing of to grade does not count against it."""
        return all(
            value is None or (value >= goal if least else value <= goal) for _, value, least, goal in goals(self)
        )


def grade(graded: Sequence[Graded], median_goal: float = SIMULATED_MEDIAN) -> Grades:
    """Count and sum up; a false alarm is any cause named on a healthy session."""
    unknown = Counter((one.expected, one.said) for one in graded if not one.known)
    graded = [one for one in graded if one.known]
    answerable = [one for one in graded if one.truth.answerable]
    healthy = [one for one in answerable if one.truth.healthy]
    blind = [one for one in graded if not one.truth.answerable]
    staged = [one for one in answerable if one.right and one.said == "input_bound" and one.truth.stage]
    errors = sorted(error for one in answerable for error in prediction_errors(one))
    controls = [one.control for one in answerable for _ in prediction_errors(one)]
    return Grades(
        cases=len(graded),
        right=_share(sum(one.right for one in answerable), len(answerable)),
        false_alarms=_share(sum(one.said not in {HEALTHY, UNANSWERED} for one in healthy), len(healthy)),
        unanswerable_found=_share(sum(one.right for one in blind), len(blind)),
        prediction_error_median=median(errors) if errors else None,
        prediction_error_p90=errors[ceil(0.9 * len(errors)) - 1] if errors else None,
        confusion=dict(Counter((one.expected, one.said) for one in graded)),
        stages_right=_share(sum(one.answer.stage == one.truth.stage for one in staged), len(staged)),
        median_goal=median_goal,
        control=median(controls) if controls else 0.0,
        kinds=_kinds(graded),
        unknown=dict(unknown),
        sure_and_wrong=sum(not one.right and one.answer.sure for one in graded),
    )


def goals(grades: Grades) -> tuple[tuple[str, float | None, bool, float], ...]:
    """Return what the project asks of itself: what, its value, whether it must be at least (else at most), how much."""
    return (
        ("primary cause right", grades.right, True, 0.95),
        ("false alarms on healthy", grades.false_alarms, False, 0.02),
        ("unanswerable called so", grades.unanswerable_found, True, 0.90),
        ("prediction error, median", grades.prediction_error_median, False, grades.median_goal + grades.control),
        ("prediction error, p90", grades.prediction_error_p90, False, P90 + grades.control),
    )


def prediction_errors(one: Graded) -> list[float]:
    """Return the relative error of each predicted step time: a gain twice too large is a time half as long."""
    true = one.truth.fixes
    return [abs(true[name].ratio / ratio - 1) for name, ratio in one.answer.gains.items() if name in true and ratio > 0]


def _wrong(one: Graded) -> str:
    said = f"{one.said} (high)" if one.answer.sure else one.said
    return f"wrong: {one.name}: {said}, and not {' or '.join(one.truth.accepted)}"


def render(grades: Grades, wrong: Sequence[Graded]) -> str:
    """Write the grades as text: the figures, each cause's precision and recall, who was taken for whom, and where."""
    lines = [
        f"{grades.cases} sessions, {sum(grades.unknown.values())} more of causes that are not known yet",
        *(
            f"{what + ':':28}{_percent(value):>8}   (wanted: at {'least' if least else 'most'} {_percent(goal)})"
            for what, value, least, goal in goals(grades)
        ),
        *([_control(grades.control)] if grades.control else []),
        f"{'stage of the input right:':28}{_percent(grades.stages_right):>8}",
        f"{'wrong with high confidence:':28}{grades.sure_and_wrong:>8}",
        "",
        *(f"{kind + ':':28}{right:>4} of {count:>4} right" for kind, (count, right) in grades.kinds.items() if kind),
        "",
        f"{'cause':28}{'cases':>6}{'right':>6}{'wrong':>6}{'silent':>7}{'precision':>11}{'recall':>9}   taken for",
    ]
    for cause in sorted({true for true, _ in grades.confusion} | {said for _, said in grades.confusion}):
        count = sum(n for (true, _), n in grades.confusion.items() if true == cause)
        taken = [f"{said} {n}" for (true, said), n in sorted(grades.confusion.items()) if true == cause != said]
        right, silent = (grades.confusion.get((cause, said), 0) for said in (cause, UNANSWERED))
        silent *= cause != UNANSWERED
        counts = f"{count:>6}{right:>6}{count - right - silent:>6}{silent:>7}"
        figures = f"{_percent(grades.precision(cause)):>11}{_percent(grades.recall(cause)):>9}"
        lines.append(f"{cause:28}{counts}{figures}   {', '.join(taken)}".rstrip())
    lines += [
        f"{true:28}{n:>6}   not known yet, taken for {said}" for (true, said), n in sorted(grades.unknown.items())
    ]
    lines += ["", *map(_wrong, wrong)]
    return "\n".join(lines) + "\n"


def _kinds(graded: Sequence[Graded]) -> dict[str, tuple[int, int]]:
    count, right = Counter(one.kind for one in graded), Counter(one.kind for one in graded if one.right)
    return {kind: (count[kind], right[kind]) for kind in count}


def _control(control: float) -> str:
    busy = "; the machine is too busy to judge predictions" if control > P90 else ""
    return f"{'A/A control:':28}{_percent(control):>8}   (allowed on top{busy})"


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _percent(fraction: float | None) -> str:
    return "-" if fraction is None else f"{100 * fraction:.1f} %"
