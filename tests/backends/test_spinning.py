"""Whether GNU's OpenMP lets threads spin, by its variables."""

from __future__ import annotations

from pathlib import Path

import pytest

from gpuprobe.backends.spinning import threads_spin
from gpuprobe.thresholds import fixed


@pytest.fixture
def maps(tmp_path: Path) -> Path:
    loaded = tmp_path / "maps"
    loaded.write_text("7f00-7f01 r-xp 00000000 00:00 1 /lib/libgomp.so.1\n")
    return loaded


@pytest.mark.parametrize(
    ("environ", "spin"),
    [
        ({}, True),
        ({"GOMP_SPINCOUNT": "1000"}, False),
        ({"GOMP_SPINCOUNT": str(fixed.SPINS_FOR_LONG - 1)}, False),
        ({"GOMP_SPINCOUNT": str(fixed.SPINS_FOR_LONG)}, True),
        ({"GOMP_SPINCOUNT": "300k", "OMP_WAIT_POLICY": "passive"}, True),
        ({"GOMP_SPINCOUNT": "infinity"}, True),
        ({"OMP_WAIT_POLICY": "PASSIVE"}, False),
        ({"OMP_WAIT_POLICY": "active"}, True),
    ],
)
def test_the_variables_decide(maps: Path, environ: dict[str, str], spin: bool) -> None:
    assert threads_spin(2, environ, maps) is spin


def test_one_thread_waits_for_none_and_another_library_is_not_known(maps: Path, tmp_path: Path) -> None:
    assert threads_spin(1, {}, maps) is False
    maps.write_text("7f00-7f01 r-xp 00000000 00:00 1 /lib/libiomp5.so\n")
    assert threads_spin(2, {}, maps) is None
    assert threads_spin(2, {}, tmp_path / "no file") is None
