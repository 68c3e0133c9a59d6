"""The whole way from a damaged trace to the printed diagnosis: sound figures, or one clear line."""

from __future__ import annotations

import io
import json
import random
import warnings
from typing import TYPE_CHECKING

import pytest
from rich.console import Console

from gpuprobe.cli._diagnosis import print_diagnosis
from gpuprobe.diagnosis.case import Case
from gpuprobe.diagnosis.diagnose import diagnose
from gpuprobe.diagnosis.recorded import recorded
from gpuprobe.errors import InputError
from gpuprobe.records import to_json
from gpuprobe.traces.xplane_pb2 import XSpace
from tests.helpers.damaging import json_damaged, plane_damaged
from tests.helpers.diagnosed_files import SESSIONS, kineto, xplane_file
from tests.helpers.figures import check_figures

if TYPE_CHECKING:
    from pathlib import Path


def can_be_read(path: Path) -> bool:
    """Diagnose a file that may be damaged, all the way; tell whether it could be read."""
    try:
        found = recorded(path)
    except InputError as error:
        said = str(error)
    else:
        check(found)
        return True
    assert str(path) in said
    assert "\n" not in said
    return False


def check(found: Case) -> None:
    """Check that a diagnosis prints, and that its figures can be true."""
    diagnosis = diagnose(found)
    print_diagnosis(Console(file=io.StringIO(), width=100), diagnosis)
    told = json.loads(to_json(diagnosis))
    assert [finding["primary"] for finding in told["findings"]].count(True) == 1
    check_figures(told)


@pytest.mark.parametrize("seed", range(len(SESSIONS)))
def test_a_damaged_trace_is_diagnosed_soundly(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    data = xplane_file(tmp_path / "session", SESSIONS[seed]).read_bytes()
    outcomes = []
    with warnings.catch_warnings():
        # A division by nothing that numpy only warns of is a figure that nobody should print.
        warnings.simplefilter("error")
        for _ in range(50):
            space = XSpace.FromString(data)
            for _ in range(chance.choice((1, 4, 30))):
                plane_damaged(chance.choice([plane for plane in space.planes if plane.lines]), chance)
            path = tmp_path / "h.xplane.pb"
            path.write_bytes(space.SerializeToString())
            outcomes.append(can_be_read(path))
    assert any(outcomes)
    assert not all(outcomes)


def test_a_damaged_chrome_trace_is_diagnosed_soundly(tmp_path: Path) -> None:
    chance = random.Random(5)
    path = tmp_path / "t.trace.json"
    outcomes = []
    for _ in range(100):
        whole = json.dumps(kineto(chance)).encode()
        path.write_bytes(json_damaged(whole, chance) if chance.random() < 0.9 else whole)
        outcomes.append(can_be_read(path))
    assert any(outcomes)
    assert not all(outcomes)
