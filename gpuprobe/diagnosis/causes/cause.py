"""What a cause is: one record that holds all that is said or decided about it by its id."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, Literal, TypeVar

if TYPE_CHECKING:
    from gpuprobe.diagnosis.advice.given import Given
    from gpuprobe.diagnosis.advice.situation import Situation
    from gpuprobe.thresholds import Thresholds

Device = Literal["gpu", "cpu"]
# What one kind of evidence calls by one name, another that sees less calls by another of the same family: too small a
# batch shows in launches that do not keep up; what Python does for each operation shows as launches too.
Family = Literal["launches", "host", "device"]
# The ids of a file's own causes.
Id_co = TypeVar("Id_co", bound=str, covariant=True)
# Gives an advice; None where what the rule said stands.
Advice = Callable[["Situation", str | None], "Given | None"]


@dataclass(frozen=True)
class Part:
    """The share of a traced step that names a cause: its signal, the threshold from which on it is told, the claim.

    `on` are the kinds of device in whose traces it shows; `also` are further signals that are shown with it.
    """

    share: str
    threshold: str
    claim: str
    also: tuple[str, ...] = ()
    on: frozenset[Device] = frozenset({"gpu"})


@dataclass(frozen=True)
class RunShare:
    """The share of a run's wall time that names a cause: its parts, the threshold from which on it is told, the claim.

    The claim may hold `{share}`, `{name}` of the first part, `{times}` that they came, and `{each}`, how long one took.
    `least_times` is the threshold of how often they must have come; `code` is the change that cures it.
    """

    parts: tuple[str, ...]
    threshold: str
    claim: str
    code: str = ""
    least_times: str | None = None


@dataclass(frozen=True)
class Loss:
    """A signal beside the breakdown that is the share of the step lost by a cause, the threshold, and the claim.

    The claim may hold `{share}` and the names of the signals in `also`, which are shown with it. `sure` says that the
    signal proves the cause by itself, as a setting does; another is sure only where it was measured with an interval.
    """

    share: str
    threshold: str
    claim: str
    also: tuple[str, ...] = ()
    sure: bool = False


@dataclass(frozen=True)
class Cause(Generic[Id_co]):
    """One cause. `words` end the sentence "the cause is that ..."; `signature` says how it shows.

    `part` is the share of a traced step that shows it, `of_run` the share of a run, `loss` what a signal beside them
    tells that it costs. `thresholds` and `signals` are what
    else decides it. `roots` lie behind it: where one of them is sure, that one leads (`root_is_most`: only where it
    makes up most of it). `symptoms` vanish with it. `cures` are the changes of a replay that cure it, the usual one
    first; a name stands for all sizes of the change (`prefetch` for `prefetch_2`). `weighed` says that the replay tells
    what it costs; `condition` that it is true beside a cause, and leads only where no cause is known;
    `decided_by_trace` that a trace has decided it, for or against, so that a hint of the readings adds nothing.
    `elsewhere` is the advice for other frameworks.
    """

    id: Id_co
    words: str
    signature: str
    fix: str
    mistaken_for: str
    devices: tuple[Device, ...] = ("gpu",)
    part: Part | None = None
    of_run: RunShare | None = None
    loss: Loss | None = None
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
        """Return the share of the step from which on its part is told; 0 where it has none."""
        return float(getattr(limits, self.part.threshold)) if self.part else 0.0

    @property
    def shown(self) -> Part:
        """Return its part of a traced step, which the causes that it names have."""
        assert self.part is not None, f"{self.id} is no share of a step"
        return self.part

    @property
    def exclusive(self) -> bool:
        """Whether its share takes time from the others': one of a GPU's breakdown, the rest of which lies across it."""
        part_of_it = self.part is not None and "gpu" in self.part.on
        return part_of_it or self.id in {"compute_bound", "unattributed"}

    @property
    def decided_by(self) -> tuple[str, ...]:
        """The names of all thresholds that decide it."""
        shares = [share.threshold for share in (self.part, self.of_run, self.loss) if share]
        least = [self.of_run.least_times] if self.of_run and self.of_run.least_times else []
        return (*shares, *least, *self.thresholds)

    @property
    def evidence(self) -> tuple[str, ...]:
        """The names of all signals that it rests on."""
        return (*(name for one in (self.part, self.loss) if one for name in (one.share, *one.also)), *self.signals)


@dataclass(frozen=True)
class InputStage:
    """A part of a cause that a finding may name, as a stage of the input: plain words, and the changes that cure it."""

    words: str
    cures: tuple[str, ...]
    of: str = "input_bound"


BOTH: frozenset[Device] = frozenset({"gpu", "cpu"})
