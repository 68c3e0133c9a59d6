"""What is drawn and written can be told apart: by colour-blind readers, on light and dark paper, by WCAG."""

from __future__ import annotations

import re
from itertools import combinations

import numpy as np
import pytest

from gpuprobe.ledger.categories import CPU_CATEGORIES, GPU_CATEGORIES
from gpuprobe.report.categories import CATEGORIES
from gpuprobe.report.charts import Look, category_look
from gpuprobe.report.drawn import FIRST_RANK, OTHER_LOSS, OTHER_RANK
from gpuprobe.report.palette import COLOURS, written_on
from tests.helpers.program import ROOT

# WCAG 2.2: 1.4.3 for text, 1.4.11 for what is drawn.
TEXT, DRAWN = 4.5, 3.0
# In CIELAB two colours 10 apart are seen as two at a glance; a difference of 2.3 is just noticeable.
APART = 10.0
# Machado, Oliveira and Fernandes (2009), severity 1, on linear RGB: how the colour-blind see.
SEEN = {
    "all": np.eye(3),
    "protan": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
    "deutan": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    ),
    "tritan": np.array(
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]]
    ),
}
TO_XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.119192, 0.9503041]]
)
WHITE = TO_XYZ @ np.ones(3)


def linear(colour: str) -> np.ndarray:
    digits = colour.lstrip("#")
    digits = "".join(2 * digit for digit in digits) if len(digits) == 3 else digits
    values = np.array([int(digits[place : place + 2], 16) for place in (0, 2, 4)]) / 255
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def contrast(one: str, other: str) -> float:
    low, high = sorted(float(np.dot((0.2126, 0.7152, 0.0722), linear(colour))) for colour in (one, other))
    return (high + 0.05) / (low + 0.05)


def lab(colour: str, eyes: str) -> np.ndarray:
    x, y, z = np.cbrt(TO_XYZ @ np.clip(SEEN[eyes] @ linear(colour), 0, 1) / WHITE)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def distance(one: str, other: str, eyes: str) -> float:
    return float(np.linalg.norm(lab(one, eyes) - lab(other, eyes)))


def themes() -> dict[str, dict[str, str]]:
    """Return the colours of the page by name, of light and of dark paper, and of a printed one."""
    css = (ROOT / "gpuprobe" / "report" / "templates" / "colours.css").read_text()
    light, dark, printed = (
        dict(re.findall(r"--([\w-]+): (#[0-9a-f]{3,6});", root))
        for root in re.findall(r":root \{(.*?)\}", css, re.DOTALL)
    )
    return {"light": light, "dark": light | dark, "print": light | printed}


@pytest.mark.parametrize("eyes", SEEN)
@pytest.mark.parametrize("names", [GPU_CATEGORIES, CPU_CATEGORIES])
def test_every_part_of_a_step_is_told_apart_whatever_one_sees(names: tuple[str, ...], eyes: str) -> None:
    for one, other in combinations([category_look(CATEGORIES[name]) for name in names], 2):
        apart = one.hatch != other.hatch or distance(one.paper, other.paper, eyes) >= APART
        assert apart, (one.legend, other.legend, distance(one.paper, other.paper, eyes))


@pytest.mark.parametrize("eyes", SEEN)
def test_ranks_and_colours_of_lines_are_told_apart(eyes: str) -> None:
    def apart(one: Look, other: Look) -> bool:
        return one.hatch != other.hatch or distance(one.paper, other.paper, eyes) >= APART

    assert all(apart(one, other) for one, other in combinations((FIRST_RANK, OTHER_RANK, OTHER_LOSS), 2))
    for colours in themes().values():
        assert distance(colours["curve"], colours["other"], eyes) >= APART


def test_what_is_written_on_a_colour_can_be_read() -> None:
    for colour in COLOURS:
        assert contrast(colour, written_on(colour)) >= TEXT, colour


@pytest.mark.parametrize("theme", themes())
def test_the_page_can_be_read(theme: str) -> None:
    colour = themes()[theme]
    pairs = [(ink, paper) for ink in ("ink", "soft", "accent") for paper in ("paper", "panel")]
    pairs += [("comes", "comes-paper"), ("goes", "goes-paper"), ("warn", "warn-paper"), ("warn", "paper")]
    for ink, paper in pairs:
        assert contrast(colour[ink], colour[paper]) >= TEXT, (ink, paper)
    for drawn in ("edge", "curve", "other", "accent"):
        assert contrast(colour[drawn], colour["paper"]) >= DRAWN, drawn


def test_the_measures_are_those_of_the_standards() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)
    assert lab("#ff0000", "all") == pytest.approx([53.24, 80.09, 67.20], abs=0.1)
    # Red and green of one lightness are far apart for most, and alike for some.
    assert distance("#c00000", "#007000", "all") > 5 * APART
    assert distance("#8a6d00", "#6f7a00", "deutan") < APART
