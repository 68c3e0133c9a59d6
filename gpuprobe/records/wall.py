"""Where the wall time of a training, or of the process that trains, went: part of `run.json`, and `wall-PID.json`."""

from __future__ import annotations

from typing import Literal

from gpuprobe.records.base import SCHEMA, Record

# `imports` is up to the end of Keras's import, `build` from there to the first training; `fit` what `fit` itself does
# around its epochs; `first_call` the first call of the first train function, which traces and compiles it,
# `first_call_again` that of each further one, `retracing` later calls that built their graph anew; `epoch_start` from
# an epoch's begin to its first call, `epoch_first_call` that call, `steps` all others with what lies between two of
# them; `input` what a loop of one's own waits for tf.data; `between_epochs` from an epoch's last call to the next one's
# begin, without what has a name of its own; `between_trainings` the script's own code, `tail` that after its last
# training; `held` the wait for other runs; `gpuprobe` what watching itself took.
PartKind = Literal[
    "imports",
    "build",
    "fit",
    "first_call",
    "first_call_again",
    "retracing",
    "epoch_start",
    "epoch_first_call",
    "steps",
    "input",
    "between_epochs",
    "validation",
    "callback",
    "checkpoint",
    "predict",
    "evaluate",
    "between_trainings",
    "held",
    "gpuprobe",
    "tail",
]


class WallPart(Record, frozen=True, kw_only=True):
    """All the time of one kind, in nanoseconds; `name` is that of a callback, `times` how often it came.

    For `steps` and the first calls, `times` counts calls of the train function. `squares_s2` is the sum of the squared
    lengths (s²) of the stretches recorded, from which the spread follows; 0 where it was not recorded.
    """

    kind: PartKind
    name: str = ""
    total_ns: int
    times: int
    squares_s2: float = 0.0


class Wall(Record, frozen=True, kw_only=True):
    """The wall time from `started_ns` to `ended_ns` in parts that add up to it.

    `complete` says that the training, or the process, came to its own end: one that was killed has parts up to the last
    time that they were saved. `steps_per_call` is Keras's `steps_per_execution`.
    """

    schema: int = SCHEMA
    started_ns: int
    ended_ns: int
    parts: tuple[WallPart, ...]
    complete: bool = True
    steps_per_call: int = 1
