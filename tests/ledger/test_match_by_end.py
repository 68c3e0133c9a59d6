"""Exchanges side by side: those that do not fit are not matched."""

from __future__ import annotations

import numpy as np

from gpuprobe.ledger.match_by_end import side_by_side


def test_exchanges_that_fit_in_no_way_are_not_matched() -> None:
    random = np.random.default_rng(0)
    starts = [np.sort(random.integers(0, 10**14, 40)) for _ in range(2)]
    own = [np.stack([one, one + 10**9], axis=1) for one in starts]
    assert side_by_side(own, ["worker0", "worker1"], unix=True) is None
    assert side_by_side([own[0], own[0] + 10**6], ["worker0", "worker1"], unix=True) is not None
