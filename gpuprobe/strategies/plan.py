"""A strategy's decisions: a `Plan`, given the `Machine` it will run on. Does not import TensorFlow."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

# The value of `tf.data.AUTOTUNE`: TensorFlow chooses while it runs.
AUTOTUNE = -1
# The most GPUs of one host (NVIDIA's DGX-2 and HGX baseboards).
MOST_DEVICES = 16


@dataclass(frozen=True, kw_only=True)
class Machine:
    """The facts about the machine for a strategy's decisions.

    `compute_capability` is that of the first GPU that the backend uses (6.1, 8.0, ...), None without one.
    `cpu_has_bfloat16` says whether the processor multiplies bfloat16 in hardware. `largest_batch` gives the
    largest batch size that the memory is estimated to hold; it builds a model to find out, so ask only if needed.
    """

    compute_capability: float | None
    cpu_has_bfloat16: bool
    largest_batch: Callable[[], int]

    @property
    def has_gpu(self) -> bool:
        """Whether Keras trains on a GPU here."""
        return self.compute_capability is not None


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How one run is fed and compiled; the defaults are those of plain Keras, with every choice explicit.

    `backend` is what Keras trains with. `feed` names a function of `gpuprobe.strategies.feeds`; `cache`, `prefetch`
    (how many batches are made ahead) and `parallel_calls` (of the map) concern tf.data feeds only. `batch_size` is that
    of all `replicas` together, each of which has a device; they `exchange` their gradients in so many `packs`. So do
    `workers`, which are processes, in packs of at most `pack_kib` (0: one pack). They train in a custom loop
    (`own_loop`), as Keras's `fit` fails there. `half_gradients` are exchanged in float16. `servers` are processes of
    tf.data service that prepare the batches. `rate_times` multiplies the learning rate.
    """

    feed: str
    batch_size: int
    backend: str = "tensorflow"
    dtype_policy: str = "float32"
    jit_compile: bool = False
    steps_per_execution: int = 1
    prefetch: int = 0
    parallel_calls: int = 1
    cache: bool = False
    replicas: int = 1
    exchange: bool = True
    packs: int = 1
    own_loop: bool = False
    workers: int = 1
    pack_kib: int = 0
    servers: int = 0
    half_gradients: bool = False
    rate_times: float = 1.0
    notes: tuple[str, ...] = ()
