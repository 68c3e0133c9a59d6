"""What the advice needs to know about a training: its settings, card, pipeline and memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gpuprobe import wording
from gpuprobe.advice.callbacks import in_each_batch
from gpuprobe.thresholds import fixed
from gpuprobe.units import US_PER_MS

if TYPE_CHECKING:
    from gpuprobe.records import Evidence
    from gpuprobe.thresholds import Thresholds
    from gpuprobe.whatif.records import Prediction, Replay

# The factor by which a larger batch grows at most, as in the strategy `large_batch` on a GPU.
GROWTH = 8
USUAL_BATCH = 32
NO_ROOM = "The card's memory holds no larger batch."
# A smaller predicted gain is no reason for an advice.
WORTH_IT = 1 + fixed.FINEST


@dataclass(frozen=True)
class Situation:
    """What is known about a training. None means unknown, and rules no advice out.

    - The model: `functions_eagerly` says that TensorFlow runs every tf.function operation by operation; `graphs_built`
      is the number of graphs that Python built in the traced steps.
    - The batch: `batch` is its size, `grown` the largest size to advise, 0 where no larger one fits. An epoch has
      `epoch` samples, and there are `epochs` of them. `varies` says that samples differ in their shape.
    - The input: `stages` are the stages of tf.data in the trace, `data_kind` the kind of the training's data (such as
      `a PyDataset`), `workers` the number of workers that make its batches. `mapped_after_cache` says that a map works
      on what a cache keeps, so that it runs again in each epoch, `maps_samples` that one works on single samples;
      making one takes `sample_us` at most. `python_share` is the share of the
      pipeline's operations that call Python (0 to 1), `random` names those that draw at random, `parsed` is the number
      of calls of a parser in a step.
    - The loop: `verbose` as given to `fit`, `callbacks` of the user, `fewer_in_batches` the code by which these do less
      in each batch, `own_loop` if the script has a loop of its own.
    - `held_kind` is the work that held the host while it launched nothing (`ledger.host_work.WorkKind`).
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
    mapped_after_cache: bool
    maps_samples: bool
    sample_us: float | None
    python_share: float
    random: str | None
    parsed: float
    graphs_built: float
    verbose: float | None
    callbacks: tuple[str, ...] | None
    fewer_in_batches: str
    varies: bool | None
    own_loop: bool
    held_kind: str
    replay: Replay | None

    @property
    def half(self) -> str:
        """The mixed precision policy to advise: bfloat16 needs no loss scale, and is as fast from capability 8.0 on."""
        capability = self.compute_capability
        return "mixed_bfloat16" if capability is not None and capability >= 8 else "mixed_float16"

    @property
    def can_halve(self) -> bool:
        """Whether 16-bit compute can be faster on this card and is not on yet, as far as is known."""
        return self.on_gpu and self.tensor_cores is not False and self.compute_dtype in {"", "float32"}

    @property
    def batch_words(self) -> str:
        """The size of a batch as code: the number, or a variable name where it is not known."""
        return str(self.batch or "batch_size")

    def has(self, stage: str) -> bool:
        """Whether the trace shows a stage of tf.data whose name begins so."""
        return any(name.startswith(stage) for name in self.stages)

    @property
    def no_larger(self) -> str:
        """Why no larger batch is advised, as a sentence."""
        if self.epoch is not None and self.batch and self.batch * fixed.LEAST_GROWTH > self.epoch:
            return f"A batch of {self.batch} is nearly all of an epoch's {wording.count(round(self.epoch), 'sample')}."
        return NO_ROOM

    @property
    def maps(self) -> bool:
        """Whether the pipeline has a map, or takes each sample from a function in another way."""
        return self.maps_in_parallel or any(map(self.has, ("Map", "FlatMap", "Interleave")))

    @property
    def maps_in_parallel(self) -> bool:
        """Whether the map already runs on several threads; tf.data parallelises some maps by itself."""
        return self.has("ParallelMap") or self.has("MapAndBatch")

    @property
    def caches(self) -> bool:
        """Whether the pipeline has a cache."""
        return any(map(self.has, ("MemoryCache", "FileCache", "Cache")))

    @property
    def may_cache(self) -> bool:
        """Whether the pipeline's results may be cached: no operation in it is random, and none calls Python.

        A cache after a random operation repeats the first draw. A trace does not show what Python does in a map.
        """
        return not self.random and not self.python_share

    def promised(self, change: str) -> Prediction | None:
        """Return the replay's prediction for a change; None where there is none."""
        return self.replay.of(change) if self.replay else None

    def gained(self, change: str) -> float:
        """Return the gain that the replay predicts for a change, as a ratio; 0 without a prediction."""
        prediction = self.promised(change)
        return prediction.gain.ratio if prediction else 0.0

    def worth(self, change: str) -> bool:
        """Whether code should show a change: the replay predicts a gain, or there is no replay."""
        prediction = self.promised(change)
        no_replay = self.replay is None or self.replay.refused is not None
        return no_replay or (prediction is not None and _gains(prediction))

    def pointless(self, change: str) -> bool:
        """Whether the replay predicts no gain for a change."""
        prediction = self.promised(change)
        return prediction is not None and not _gains(prediction)


def situation(known: Evidence, limits: Thresholds, replay: Replay | None = None) -> Situation:
    """Return the situation that the signals of trace, readings and run show; `replay` is that of the trace."""
    batch, steps, step_ms = (known.number(name) for name in ("batch_size", "steps_per_execution", "step_ms"))
    callbacks = (
        None if known.get("own_callbacks") is None else tuple(filter(None, known.text("own_callbacks").split(", ")))
    )
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
        stages=_names(known, "pipeline_stages") or (),
        data_kind=known.text("data_kind"),
        workers=round(workers) if (workers := known.number("data_workers")) is not None else None,
        mapped_after_cache=bool(known.flag("mapped_after_cache")),
        maps_samples=bool(known.flag("maps_samples")),
        sample_us=step_ms * US_PER_MS / (batch * (steps or 1.0)) if batch and step_ms else None,
        python_share=known.number("input_python_share") or 0.0,
        random=known.text("input_random") if known.get("input_random") is not None else None,
        parsed=(known.number("parsed_per_step") or 0.0) / (steps or 1.0),
        graphs_built=known.number("graphs_built") or 0.0,
        verbose=known.number("verbose"),
        callbacks=callbacks,
        fewer_in_batches=in_each_batch(known, callbacks or ()),
        varies=known.flag("samples_vary"),
        own_loop=bool(known.flag("own_loop")),
        held_kind=known.text("held_kind"),
        replay=replay,
    )


def _names(known: Evidence, signal: str) -> tuple[str, ...] | None:
    """Return the names that a signal lists; None where it was not gathered."""
    return None if known.get(signal) is None else tuple(filter(None, known.text(signal).split(", ")))


def _gains(prediction: Prediction) -> bool:
    return prediction.gain.ratio >= WORTH_IT


def convergence(before: int | None, after: int) -> str:
    """Say how a larger batch changes the training, and how to change the learning rate.

    Sources: Goyal et al., "Accurate, Large Minibatch SGD", 2017 (in proportion); Malladi et al., "On the SDEs and
    Scaling Rules for Adaptive Gradient Algorithms", 2022 (by the square root).
    """
    # If the size is not known, only the factor is named.
    grown = f"A batch of {after}" if before else f"A batch {after / USUAL_BATCH:g} times as large"
    than = f" than one of {before}" if before else ""
    return (
        f"{grown} makes {after / (before or USUAL_BATCH):g} times fewer updates an epoch{than}, so that the loss falls "
        "less per sample: raise the learning rate with it (in proportion for SGD, by the square root for Adam), and "
        "compare the accuracy after as many epochs."
    )


def _grown(known: Evidence, limits: Thresholds, batch: int) -> int:
    """Return the largest batch to advise: `GROWTH` times as large, halved until memory and an epoch hold it.

    A limit that is not known does not count. 0 where none is large enough to be worth it.
    """
    held = known.number("allocator_peak_fraction")
    if held is None:
        # The driver's figure counts only if TensorFlow did not take nearly all memory at once.
        jumped = (known.number("memory_jump_fraction") or 0.0) >= limits.memory_jump
        held = None if jumped else known.number("memory_peak_fraction")
    factor, epoch = GROWTH, known.number("epoch_samples")
    while factor >= fixed.LEAST_GROWTH and (
        (held is not None and held * factor > limits.memory_full) or (epoch is not None and batch * factor > epoch)
    ):
        factor //= 2
    return batch * factor if factor >= fixed.LEAST_GROWTH else 0
