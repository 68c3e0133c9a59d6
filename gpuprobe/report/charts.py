"""The charts as data: each is made once, and drawn as an SVG beside `report.md` and as a part of the page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gpuprobe import wording
from gpuprobe.report import breakdown

if TYPE_CHECKING:
    from gpuprobe.ledger.records import DeviceBreakdown
    from gpuprobe.report.categories import Category

# The folder of a report's pictures, within the study's folder.
PLOTS_FOLDER = "plots"
# A smaller share of a chart's width cannot be seen, and is left out of its legend.
VISIBLE_SHARE = 0.002


@dataclass(frozen=True)
class Look:
    """How a part of a chart is drawn: on paper a colour of the palette with a hatch (may be empty).

    In a terminal it is a letter in a colour of Rich. `legend` is its name.
    """

    legend: str
    paper: str
    hatch: str
    letter: str
    terminal: str


@dataclass(frozen=True)
class Part:
    """A part of a bar: its value in the unit of the chart, the same in words, and its look."""

    value: float
    told: str
    look: Look


@dataclass(frozen=True)
class Bar:
    """A row of a chart: its label, its length in words (`told`), and the parts that add up to the length.

    `low` to `high` is the 95 % interval of the length; `note` is what must be known to read the row.
    """

    label: str
    told: str
    parts: tuple[Part, ...]
    low: float | None = None
    high: float | None = None
    note: str = ""

    @property
    def value(self) -> float:
        """The length of the bar."""
        return sum(part.value for part in self.parts)


@dataclass(frozen=True)
class Bars:
    """Bars on one scale, which ends at `most`; `unit` says what their length means, empty where each bar says so."""

    rows: tuple[Bar, ...]
    unit: str
    most: float

    @property
    def legend(self) -> tuple[Look, ...]:
        """The looks that can be seen in the chart, each once, in the order of the rows."""
        visible_looks = (
            bar_part.look for row in self.rows for bar_part in row.parts if bar_part.value >= VISIBLE_SHARE * self.most
        )
        return tuple(dict.fromkeys(visible_looks))


@dataclass(frozen=True)
class Box:
    """How the values of one row spread: 5th percentile, quartiles, median and 95th percentile; `told` in words."""

    label: str
    p5: float
    q1: float
    median: float
    q3: float
    p95: float
    told: str
    note: str = ""


@dataclass(frozen=True)
class Boxes:
    """Spreads on one scale, which ends at `most`."""

    rows: tuple[Box, ...]
    unit: str
    most: float


@dataclass(frozen=True)
class Panel:
    """A small chart with one line, with a gap where a value is None: its name, its points, and the line in words."""

    label: str
    points: tuple[tuple[float, float | None], ...]
    told: str
    note: str = ""


@dataclass(frozen=True)
class Panels:
    """Small charts side by side with the same axes; `across` and `up` name the horizontal and the vertical axis.

    `mark` is where on the horizontal axis an event is drawn that `across` names, None where there is none.
    """

    panels: tuple[Panel, ...]
    across: str
    up: str
    left: float
    right: float
    bottom: float
    top: float
    ends: tuple[str, str, str]
    mark: float | None = None


@dataclass(frozen=True)
class Chart:
    """A chart with its file's name, its title, a sentence on how to read it, and the same figures in words.

    `said` stands for the picture where none is shown: a screen reader, a viewer of text. `first` belongs to the answer.
    """

    name: str
    title: str
    says: str
    drawn: Bars | Boxes | Panels
    said: str = ""
    first: bool = False

    @property
    def file(self) -> str:
        """Its picture, within the study's folder."""
        return f"{PLOTS_FOLDER}/{self.name}.svg"


def parts_ms(device: DeviceBreakdown, whole_ms: float) -> tuple[Part, ...]:
    """Divide a time, in ms, in the proportions of a device's breakdown."""
    return tuple(
        Part(line.fraction * whole_ms, wording.milliseconds(line.fraction * whole_ms), category_look(line.shown))
        for line in breakdown.category_lines(device)
    )


def category_look(category: Category) -> Look:
    """Return how a category of the breakdown looks."""
    return Look(category.legend, category.paper, category.hatch, category.letter, category.terminal)
