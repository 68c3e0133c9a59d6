"""Figures in words."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpuprobe import wording

UNITS_S = {"us": 1e-6, "ms": 1e-3, "s": 1, "min": 60, "h": 3600}


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.51304, "0.513 s"),
        (1.17, "1.17 s"),
        (30.31, "30.3 s"),
        (99.96, "100 s"),
        (168.9, "2 min 49 s"),
        (5999.4, "99 min 59 s"),
        (7500, "2 h 05 min"),
    ],
)
def test_a_duration_has_the_digits_of_its_ratio_to_another(seconds: float, words: str) -> None:
    assert wording.duration(seconds) == words


@given(st.floats(0.01, 1e6))
def test_a_duration_is_read_back_within_half_a_percent(seconds: float) -> None:
    parts = wording.duration(seconds).split()
    read = sum(float(number.replace(",", "")) * UNITS_S[unit] for number, unit in zip(*[iter(parts)] * 2, strict=True))
    assert read == pytest.approx(seconds, rel=0.0051)


@given(st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1))
def test_a_command_is_read_by_a_shell_as_it_was_meant(name: str) -> None:
    read = shlex.split(wording.command("gpuprobe", "report", "--share", Path(name)))
    assert read[:3] == ["gpuprobe", "report", "--share"]
    assert Path(read[3]) == Path(name)
    assert not read[3].startswith("-")
