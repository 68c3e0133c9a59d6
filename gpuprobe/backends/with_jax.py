"""Keras with JAX, whose profiler writes XPlane too, with JAX's own step markers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jax
import keras

from gpuprobe.backends.giving_way import stand_before
from gpuprobe.backends.read_back import as_number, loss_count, note_in_step, nothing, settings_of
from gpuprobe.telemetry.matching import cuda_bus_ids
from gpuprobe.units import MIB

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from pathlib import Path

    from gpuprobe.records import GraphLoop, Settings

# JAX's precision settings that mean TF32 on an NVIDIA GPU; by default XLA uses TF32 from compute capability 8.0 on.
TF32_NAMES = frozenset({"default", "fastest", "tensorfloat32", "high", "TF32_TF32_F32"})


class Jax:
    """The JAX backend: its train function returns logs and state before the device has computed them."""

    no_trace: str | None = None
    returns_early = True

    def __init__(self) -> None:
        self._alone: Callable[[], None] = nothing

    def compute_capability(self) -> float | None:
        """Return the compute capability of the first device."""
        capability = getattr(jax.devices()[0], "compute_capability", None) if _on_gpu() else None
        return float(capability) if capability else (0.0 if _on_gpu() else None)

    def free_gpu_bytes(self) -> int:
        """Return the limit of JAX's allocator."""
        return int((jax.devices()[0].memory_stats() or {}).get("bytes_limit", 0))

    def device_peak_mib(self) -> float | None:
        """Return the peak of JAX's allocator."""
        memory = (jax.devices()[0].memory_stats() or {}) if _on_gpu() else {}
        return memory["peak_bytes_in_use"] / MIB if "peak_bytes_in_use" in memory else None

    def wait(self, answer: Any) -> None:
        """Wait for the last state, which depends on all work before it."""
        jax.block_until_ready(answer)

    def running_loss(self, answer: Any) -> Any:
        """Return it from the logs, the first part of the answer."""
        return answer[0].get("loss")

    def note_batches(self, model: keras.Model, note: Callable[[Any], None]) -> None:
        """Note the data of a step while JAX traces it."""
        note_in_step(model, note)

    def named(self, name: str) -> AbstractContextManager[Any]:
        """Name a block in the trace."""
        return jax.profiler.TraceAnnotation(name)  # type: ignore[no-any-return]

    def marker(self, step: int) -> AbstractContextManager[Any]:
        """Mark a step in XProf's format."""
        return jax.profiler.StepTraceAnnotation("train", step_num=step)  # type: ignore[no-any-return]

    def start_trace(self, folder: Path, give_way: Callable[[], None]) -> None:
        """Start JAX's profiler, if possible without Python calls, which slow the steps down."""
        profiler, named = jax.profiler, {}
        if hasattr(profiler, "ProfileOptions"):
            named["profiler_options"] = profiler.ProfileOptions()
            named["profiler_options"].python_tracer_level = 0
        profiler.start_trace(str(folder), **named)
        self._alone = stand_before(profiler, "start_trace", give_way)

    def stop_trace(self) -> None:
        """Write the trace; all its steps are finished."""
        self._alone()
        jax.profiler.stop_trace()

    def finish(self, answer: Any) -> None:
        """Wait for the step: a call in JAX returns before it is computed, so its marker would not cover the work."""
        jax.block_until_ready(answer)

    def samples_counted(self, model: keras.Model, answer: Any) -> int:
        """Return the running loss's count from the call's answer; the variables are only set at the ends of epochs."""
        count = loss_count(model)
        metrics = answer[1][3] if count is not None else ()
        places = [place for place, variable in enumerate(model.metrics_variables) if variable is count]
        return as_number(metrics[places[0]]) if places else 0

    def step_flop(self, train_step: Callable[..., Any], model: keras.Model, data: Any) -> float | None:
        """Have XLA count the step before it is compiled; the body of a loop counts once."""
        kinds = (
            model.trainable_variables,
            model.non_trainable_variables,
            model.optimizer.variables,
            model.metrics_variables,
        )
        state = tuple([_shape(variable) for variable in kind] for kind in kinds)
        counted = jax.jit(train_step).lower(state, keras.tree.map_structure(_shape, data)).cost_analysis() or {}
        return float(counted.get("flops", 0.0)) or None

    def loops(self) -> tuple[GraphLoop, ...] | None:
        """Return None: its graphs are not read."""
        return None

    def compiled_in_part(self) -> str:
        """Return nothing: JAX compiles a step as a whole."""
        return ""

    def settings(self, model: keras.Model, batch_size: int, feed_dtype: str) -> Settings:
        """Return JAX's device and precision; its number of threads, which it does not give, is that of the cores."""
        first = jax.devices()[0]
        return settings_of(
            model,
            batch_size,
            feed_dtype,
            f"/device:{first.platform.upper()}:{first.id}",
            tf32=(jax.config.jax_default_matmul_precision or "default") in TF32_NAMES if _on_gpu() else None,
            gpu_pci_bus_id=next(iter(cuda_bus_ids()), "") if _on_gpu() else "",
        )


def _shape(tensor: Any) -> Any:
    return None if tensor is None else jax.ShapeDtypeStruct(tensor.shape, tensor.dtype)


def _on_gpu() -> bool:
    return bool(jax.devices()[0].platform == "gpu")
