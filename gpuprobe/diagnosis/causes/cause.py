"""The record of a cause: everything that is said or decided about it by its id."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, Literal, TypeVar

if TYPE_CHECKING:
    from gpuprobe.advice.given import Given
    from gpuprobe.advice.situation import Situation
    from gpuprobe.thresholds import Thresholds

Device = Literal["gpu", "cpu"]
# Causes of one family may be the same: a kind of evidence that sees less names another one. Too small a batch shows as
# late launches, and so does Python that starts each operation. So they are no dispute, and no agreement either.
Family = Literal["launches", "host", "device"]
# The ids of a file's own causes.
Id_co = TypeVar("Id_co", bound=str, covariant=True)
# Returns an advice; None where the finding keeps the fix of its rule.
Advice = Callable[["Situation", str | None], "Given | None"]


@dataclass(frozen=True)
class Part:
    """The share of a traced step that shows a cause: its signal, the threshold for a finding, and the claim.

    `on` are the kinds of device whose traces show it, `also` further signals to show as evidence.
    """

    share: str
    threshold: str
    claim: str
    also: tuple[str, ...] = ()
    on: frozenset[Device] = frozenset({"gpu"})


@dataclass(frozen=True)
class RunShare:
    """The share of a run's wall time that shows a cause: its parts, the threshold for a finding, and the claim.

    The claim may contain `{share}`, the `{name}` of the first part, `{times}`, how often the parts came, and `{each}`,
    how long one took. `least_times` is the threshold for how often they must have come.
    """

    parts: tuple[str, ...]
    threshold: str
    claim: str
    least_times: str | None = None


@dataclass(frozen=True)
class Cost:
    """How a cause without a category in the breakdown shows: a signal, the threshold for a finding, and the claim.

    `share` is the name of the signal that holds the share of the step that the cause costs, `threshold` the name of its
    threshold. The claim may contain `{share}` and the names of the signals in `also`, which are shown as evidence.
    `sure` says that the signal alone proves the cause, as a setting does; another is sure only if it was measured with
    an interval.
    """

    share: str
    threshold: str
    claim: str
    also: tuple[str, ...] = ()
    sure: bool = False


@dataclass(frozen=True)
class Cause(Generic[Id_co]):
    """One cause. `words` end the sentence "the cause is that ..."; `signature` says how it shows.

    `part` is the share of a traced step that shows it, `of_run` the share of a run, `cost` another signal.
    `thresholds` and `signals` are the others that decide it. `roots` are the causes behind it: a sure one leads instead
    (with `root_is_most` only if it makes up most of the cause). `symptoms` go away when it is cured. `cures` are the
    changes of a replay that cure it, the usual one first; a name stands for all sizes of a change (`prefetch` for
    `prefetch_2`). `weighed` says that the replay tells its cost; `condition` that it is true beside a cause, and leads
    only where no cause is known; `decided_by_trace` that a trace decides for or against it, so that a hint of the
    readings adds nothing. `elsewhere` is the advice for other frameworks.
    """

    id: Id_co
    words: str
    signature: str
    fix: str
    mistaken_for: str
    devices: tuple[Device, ...] = ("gpu",)
    part: Part | None = None
    of_run: RunShare | None = None
    cost: Cost | None = None
    thresholds: tuple[str, ...] = ()
    signals: tuple[str, ...] = ()
    family: Family | None = None
    roots: tuple[str, ...] = ()
    root_is_most: bool = False
    symptoms: tuple[str, ...] = ()
    cures: tuple[str, ...] = ()
    weighed: bool = False
    condition: bool = False
    decided_by_trace: bool = False
    advice: Advice | None = None
    elsewhere: Mapping[str, tuple[str, str]] = field(default_factory=dict)

    def threshold(self, limits: Thresholds) -> float:
        """Return the share of the step from which on its part is a finding; 0 for a cause without a part."""
        return float(getattr(limits, self.part.threshold)) if self.part else 0.0

    @property
    def shown(self) -> Part:
        """Its `part`, for callers that know that it has one: else an AssertionError."""
        assert self.part is not None, f"{self.id} is no share of a step"
        return self.part

    @property
    def exclusive(self) -> bool:
        """Whether its share excludes those of other causes, as the categories of a GPU's breakdown do."""
        part_of_it = self.part is not None and "gpu" in self.part.on
        return part_of_it or self.id in {"compute_bound", "unattributed"}

    @property
    def decided_by(self) -> tuple[str, ...]:
        """The names of all thresholds that decide it."""
        shares = [share.threshold for share in (self.part, self.of_run, self.cost) if share]
        least = [self.of_run.least_times] if self.of_run and self.of_run.least_times else []
        return (*shares, *least, *self.thresholds)

    @property
    def evidence(self) -> tuple[str, ...]:
        """The names of all signals that are evidence for it."""
        return (
            *(name for shown in (self.part, self.cost) if shown for name in (shown.share, *shown.also)),
            *self.signals,
        )


@dataclass(frozen=True)
class InputStage:
    """A part of the cause `of` that a finding may name, such as a stage of the input.

    `words` end the same sentence as those of a cause; `cures` are changes of a replay that cure it; `elsewhere` is the
    advice for other frameworks where it is not that of the cause.
    """

    words: str
    cures: tuple[str, ...]
    of: str = "input_bound"
    elsewhere: Mapping[str, tuple[str, str]] = field(default_factory=dict)


BOTH: frozenset[Device] = frozenset({"gpu", "cpu"})
