"""What an advice has to know of a training before it is given: its settings, its card, its pipeline, its memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gpuprobe import wording
from gpuprobe.thresholds import fixed

if TYPE_CHECKING:
    from gpuprobe.records import Evidence
    from gpuprobe.thresholds import Thresholds
    from gpuprobe.whatif.records import Prediction, Replay

# The factor by which a batch is grown at once, as the strategy `large_batch` does on a GPU.
GROWTH = 8
USUAL_BATCH = 32
NO_ROOM = "The card's memory holds no larger batch."
# No prediction is finer: what promises less is no advice.
WORTH_IT = 1 + fixed.FINEST


@dataclass(frozen=True)
class Situation:
    """What is known; None where nobody tells, which forbids no advice.

    `functions_eagerly` says that TensorFlow runs every tf.function operation by operation.
    `stages` are the stages of tf.data that the trace saw, `grown` the largest batch advised, 0 where none fits; `epoch`
    is how many samples one has, `epochs` how many there are.
    `data_kind` says what a training's own data is, as `a PyDataset`, and `workers` how many make its batches.
    `python_share` is the share of the pipeline's operations that are Python's, `random` names those that draw at random
    (None: nothing is known of them), `parsed` how often records are parsed in a step. `graphs_built` is how many graphs
    Python built in the traced steps, `verbose` what `fit` was told, `callbacks` the user's own, `varies` whether the
    samples differ in their shape, `own_loop` whether the steps are those of a loop in the script. `held_kind` is what
    held the host while it launched nothing (`ledger.host_work.WorkKind`). `replay` is that of the trace, if any.
    """

    on_gpu: bool
    tensor_cores: bool | None
    compute_capability: float | None
    compute_dtype: str
    jit_compile: bool | None
    steps_per_execution: float | None
    run_eagerly: bool | None
    functions_eagerly: bool
    feed_dtype: str
    batch: int | None
    grown: int
    epoch: float | None
    epochs: float | None
    stages: tuple[str, ...]
    data_kind: str
    workers: int | None
    python_share: float
    random: str | None
    parsed: float
    graphs_built: float
    verbose: float | None
    callbacks: tuple[str, ...]
    varies: bool | None
    own_loop: bool
    held_kind: str
    replay: Replay | None

    @property
    def half(self) -> str:
        """The mixed precision policy to advise; bfloat16 needs no loss scale, and is as fast from 8.0 on."""
        capability = self.compute_capability
        return "mixed_bfloat16" if capability is not None and capability >= 8 else "mixed_float16"

    @property
    def can_halve(self) -> bool:
        """Whether 16-bit compute can be faster on this card and is not on yet, as far as is known."""
        return self.on_gpu and self.tensor_cores is not False and self.compute_dtype in {"", "float32"}

    @property
    def batch_words(self) -> str:
        """The size of a batch as code has it: the number, or a name where it is not known."""
        return str(self.batch or "batch_size")

    def has(self, stage: str) -> bool:
        """Whether the trace saw such a stage of tf.data."""
        return any(name.startswith(stage) for name in self.stages)

    @property
    def no_larger(self) -> str:
        """Why no larger batch is advised, as a sentence."""
        if self.epoch is not None and self.batch and self.batch * fixed.LEAST_GROWTH > self.epoch:
            return (
                f"A batch of {self.batch} is as good as all of an epoch's {wording.count(round(self.epoch), 'sample')}."
            )
        return NO_ROOM

    @property
    def maps_in_parallel(self) -> bool:
        """Whether the map runs on several threads already: tf.data parallelises a map that it can by itself."""
        return self.has("ParallelMap") or self.has("MapAndBatch")

    @property
    def caches(self) -> bool:
        """Whether the pipeline has a cache."""
        return any(map(self.has, ("MemoryCache", "FileCache", "Cache")))

    @property
    def may_cache(self) -> bool:
        """Whether what the pipeline makes may be kept: nothing in it is drawn at random, as far as can be seen.

        A cache behind a random operation repeats its first draw. What Python does in a map, nobody sees.
        """
        return not self.random and not self.python_share

    def promised(self, change: str) -> Prediction | None:
        """What the replay says of a change, if it says anything."""
        return self.replay.of(change) if self.replay else None

    def gained(self, change: str) -> float:
        """Return the ratio that the replay promises of a change, 0 where it says nothing."""
        made = self.promised(change)
        return made.gain.ratio if made else 0.0

    def worth(self, change: str) -> bool:
        """Whether code should show a change: the replay promises a gain, or there is no replay to ask."""
        made = self.promised(change)
        return self.replay is None or self.replay.refused is not None or (made is not None and _gains(made))

    def pointless(self, change: str) -> bool:
        """Whether the replay says that a change gains nothing."""
        made = self.promised(change)
        return made is not None and not _gains(made)


def situation(known: Evidence, limits: Thresholds, replay: Replay | None = None) -> Situation:
    """Read what is known from the signals of a trace, of the readings and of the run, and from the trace's replay."""
    batch, steps = known.number("batch_size"), known.number("steps_per_execution")
    return Situation(
        on_gpu=known.text("device_kind") != "cpu" and known.flag("device_is_gpu") is not False,
        tensor_cores=known.flag("has_tensor_cores"),
        compute_capability=known.number("compute_capability"),
        compute_dtype=known.text("compute_dtype"),
        jit_compile=known.flag("jit_compile"),
        steps_per_execution=steps,
        run_eagerly=known.flag("run_eagerly"),
        functions_eagerly=bool(known.flag("functions_eagerly")),
        feed_dtype=known.text("feed_dtype"),
        batch=round(batch) if batch else None,
        grown=_grown(known, limits, round(batch) if batch else USUAL_BATCH),
        epoch=known.number("epoch_samples"),
        epochs=known.number("epochs"),
        stages=tuple(known.text("pipeline_stages").split(", ")) if known.text("pipeline_stages") else (),
        data_kind=known.text("data_kind"),
        workers=round(workers) if (workers := known.number("data_workers")) is not None else None,
        python_share=known.number("input_python_share") or 0.0,
        random=known.text("input_random") if known.get("input_random") is not None else None,
        parsed=(known.number("parsed_per_step") or 0.0) / (steps or 1.0),
        graphs_built=known.number("graphs_built") or 0.0,
        verbose=known.number("verbose"),
        callbacks=tuple(known.text("own_callbacks").split(", ")) if known.text("own_callbacks") else (),
        varies=known.flag("samples_vary"),
        own_loop=bool(known.flag("own_loop")),
        held_kind=known.text("held_kind"),
        replay=replay,
    )


def _gains(made: Prediction) -> bool:
    return made.gain.ratio >= WORTH_IT


def convergence(before: int | None, after: int) -> str:
    """Say what a larger batch does to the training, and how the learning rate follows.

    Sources: Goyal et al., "Accurate, Large Minibatch SGD", 2017 (in proportion); Malladi et al., "On the SDEs and
    Scaling Rules for Adaptive Gradient Algorithms", 2022 (by the square root).
    """
    # Where the batch is not known it is told how many times as large.
    grown = f"A batch of {after}" if before else f"A batch {after / USUAL_BATCH:g} times as large"
    than = f" than one of {before}" if before else ""
    return (
        f"{grown} makes {after / (before or USUAL_BATCH):g} times fewer updates an epoch{than}, so that the loss falls "
        "less per sample: raise the learning rate with it (in proportion for SGD, by the square root for Adam), and "
        "compare the accuracy after as many epochs."
    )


def _grown(known: Evidence, limits: Thresholds, batch: int) -> int:
    """The largest batch that is sure to fit and is no more than an epoch has, in powers of two; 0 where none is."""
    held = known.number("allocator_peak_fraction")
    if held is None:
        # What the driver shows counts only where TensorFlow did not take all of the memory at once.
        jumped = (known.number("memory_jump_fraction") or 0.0) >= limits.memory_jump
        held = None if jumped else known.number("memory_peak_fraction")
    factor, epoch = GROWTH, known.number("epoch_samples")
    while factor >= fixed.LEAST_GROWTH and (
        (held is not None and held * factor > limits.memory_full) or (epoch is not None and batch * factor > epoch)
    ):
        factor //= 2
    return batch * factor if factor >= fixed.LEAST_GROWTH else 0
