"""Bugs of others are recognised by their words, under the distribution strategy that they need, and by nothing less."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from gpuprobe.known_bugs import BUGS, FIT_UNDER_MULTI_WORKER, KnownBugError, explained, recognised

FIRST = (
    "Attempt to convert a value (PerReplica:{\n  0: <tf.Tensor: shape=(8,)>\n}) with an unsupported type (<class 'x'>)"
)
SECOND = "Invalid reduction dimension 0 for input with 0 dimensions. for '{{node Sum}}'"


def trained_by(strategy: str) -> Any:
    return SimpleNamespace(distribute_strategy=type(strategy, (), {})())


@pytest.mark.parametrize("said", [FIRST, SECOND])
@pytest.mark.parametrize("strategy", ["CollectiveAllReduceStrategy", "MultiWorkerMirroredStrategy"])
def test_both_errors_of_fit_under_several_workers_are_known(said: str, strategy: str) -> None:
    assert recognised(ValueError(said), trained_by(strategy)) is FIT_UNDER_MULTI_WORKER
    with pytest.raises(KnownBugError, match=r"keras-team/keras#20585.*strategy\.run"), explained(trained_by(strategy)):
        raise ValueError(said)


@pytest.mark.parametrize(
    ("said", "strategy"),
    [(FIRST, "MirroredStrategy"), (SECOND, "NoneType"), ("Invalid reduction", "CollectiveAllReduceStrategy")],
)
def test_no_other_training_is_said_to_have_it(said: str, strategy: str) -> None:
    assert recognised(ValueError(said), trained_by(strategy)) is None
    assert recognised(ValueError(said), SimpleNamespace()) is None
    with pytest.raises(ValueError, match=r"Inv|Att"), explained(trained_by(strategy)):
        raise ValueError(said)


def test_each_says_what_to_do_in_one_line() -> None:
    for name, bug in BUGS.items():
        assert name in bug.line
        assert "\n" not in bug.line
