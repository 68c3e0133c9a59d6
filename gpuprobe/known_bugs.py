"""Bugs of others that end a training, recognised by their words, with the way round each."""

from __future__ import annotations

import re
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gpuprobe.errors import GpuprobeError

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True)
class KnownBug:
    """One bug: where it is reported, the words of its errors, the distribution strategies under which it strikes, and
    the way round it.
    """

    id: str
    words: re.Pattern[str]
    strategies: frozenset[str]
    says: str
    instead: str

    @property
    def line(self) -> str:
        """What happened, and what to do, in one line."""
        return f"{self.says}: {self.instead}"


# The second error follows where the first is worked around. TensorFlow's class has two names.
FIT_UNDER_MULTI_WORKER = KnownBug(
    id="keras-team/keras#20585",
    words=re.compile(
        r"Attempt to convert a value \(PerReplica.*with an unsupported type"
        r"|Invalid reduction dimension -?\d+ for input with 0 dimensions",
        re.DOTALL,
    ),
    strategies=frozenset({"CollectiveAllReduceStrategy", "MultiWorkerMirroredStrategy"}),
    says="Keras's fit fails under MultiWorkerMirroredStrategy (keras-team/keras#20585)",
    instead="train in a loop of your own, strategy.run(model.train_step, args=(batch,)) in a tf.function; the GPUs of "
    "one host need only MirroredStrategy, under which fit works",
)
BUGS = {bug.id: bug for bug in (FIT_UNDER_MULTI_WORKER,)}


class KnownBugError(GpuprobeError):
    """A training that failed by a bug that is known."""


def recognised(error: BaseException, model: Any) -> KnownBug | None:
    """Return the bug by which a training of a model failed, None where none is known."""
    strategy = type(getattr(model, "distribute_strategy", None)).__name__
    said = str(error)
    return next((bug for bug in BUGS.values() if strategy in bug.strategies and bug.words.search(said)), None)


@contextmanager
def told(model: Any) -> Iterator[None]:
    """Raise KnownBugError, which says the way round, where a block that trains the model fails by a known bug."""
    try:
        yield
    except Exception as error:
        if bug := recognised(error, model):
            raise KnownBugError(bug.line) from error
        raise
