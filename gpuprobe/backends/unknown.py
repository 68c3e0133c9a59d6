"""Keras with a backend that gpuprobe does not know."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

from gpuprobe.backends.read_back import as_number, loss_count, note_in_step, settings_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import keras

    from gpuprobe.records import GraphLoop, Settings


class Unknown:
    """An unknown backend: telemetry and step times, but no trace."""

    returns_early = False

    def __init__(self, name: str) -> None:
        self.no_trace: str | None = (
            f"Keras trains with {name}, whose profiler gpuprobe does not know; step times and telemetry are measured"
        )
        self._name = name

    def compute_capability(self) -> float | None:
        """Return None: unknown."""
        return None

    def free_gpu_bytes(self) -> int:
        """Return 0: unknown."""
        return 0

    def device_peak_mib(self) -> float | None:
        """Return None: unknown."""
        return None

    def wait(self, answer: Any) -> None:
        """Do nothing: how to wait is unknown."""

    def running_loss(self, answer: Any) -> Any:
        """Return None: where it is stored is unknown."""
        return None

    def note_batches(self, model: keras.Model, note: Callable[[Any], None]) -> None:
        """Note the data of each step."""
        note_in_step(model, note)

    def named(self, name: str) -> AbstractContextManager[Any]:
        """Name nothing."""
        return nullcontext()

    def marker(self, step: int) -> AbstractContextManager[Any]:
        """Mark nothing."""
        return nullcontext()

    def start_trace(self, folder: Path, give_way: Callable[[], None]) -> None:
        """Raise an error: `no_trace` has to be checked first."""
        raise NotImplementedError(self.no_trace)

    def stop_trace(self) -> None:
        """Raise an error: `no_trace` has to be checked first."""
        raise NotImplementedError(self.no_trace)

    def finish(self, answer: Any) -> None:
        """Do nothing: nothing is traced."""

    def samples_counted(self, model: keras.Model, answer: Any) -> int:
        """Return the sample count of the running loss."""
        return as_number(loss_count(model))

    def step_flop(self, train_step: Callable[..., Any], model: keras.Model, data: Any) -> float | None:
        """Return None: there is no count."""
        return None

    def loops(self) -> tuple[GraphLoop, ...] | None:
        """Return None: its graphs are not read."""
        return None

    def compiled_in_part(self) -> str:
        """Return nothing: nothing is known of this backend."""
        return ""

    def settings(self, model: keras.Model, batch_size: int, feed_dtype: str) -> Settings:
        """Return Keras's own settings."""
        return settings_of(model, batch_size, feed_dtype, self._name)
