"""Jobs of several workers: who is waited for and why. `python -m tests.lab.jobs 0 30` grades more of them."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from gpuprobe.simulate.job import last_to_come, simulate_job
from tests.lab.jobs import TROUBLES, drawn, told


@pytest.mark.parametrize("seed", range(3 * len(TROUBLES)))
def test_culprit_and_kind_are_named_and_nobody_in_a_healthy_job(tmp_path: Path, seed: int) -> None:
    assert told(drawn(seed), tmp_path) == ""


def test_the_simulator_itself_says_who_comes_last() -> None:
    for seed in range(3):
        known = drawn(seed)
        # Packs after a step's first may all be asked for while that one goes: nobody is last to them.
        came = last_to_come(simulate_job(known.job))[:: known.job.workers[0].collective.buckets]
        (last, _), *_ = Counter(came).most_common()
        assert f"worker{last}" == known.culprit
