"""Bugs of Keras and TensorFlow that end a training, recognised by their error messages, each with its workaround."""

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
    """One bug: the `id` of its report, the pattern of its error messages (`words`), what it `says` to the user, and the
    workaround (`instead`). It occurs only under the named distribution `strategies`.
    """

    id: str
    words: re.Pattern[str]
    strategies: frozenset[str]
    says: str
    instead: str

    @property
    def line(self) -> str:
        """What happened and what to do instead, in one line."""
        return f"{self.says}: {self.instead}"


# Working around the first error leads to the second. TensorFlow's class has two names.
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
    """A training failed because of a known bug; the message gives the workaround."""


def recognised(error: BaseException, model: Any) -> KnownBug | None:
    """Return the known bug that made a model's training fail; None where the error is of no known bug."""
    strategy = type(getattr(model, "distribute_strategy", None)).__name__
    message = str(error)
    return next((bug for bug in BUGS.values() if strategy in bug.strategies and bug.words.search(message)), None)


@contextmanager
def explained(model: Any) -> Iterator[None]:
    """Raise KnownBugError in place of the error of a block that trains the model, where a known bug caused it."""
    try:
        yield
    except Exception as error:
        if bug := recognised(error, model):
            raise KnownBugError(bug.line) from error
        raise
