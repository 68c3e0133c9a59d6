"""Keras with PyTorch, whose profiler writes a Chrome trace."""

from __future__ import annotations

import os
import socket
import sys
from datetime import datetime
from typing import TYPE_CHECKING, Any

import keras
import torch
from torch import profiler
from torch.utils.flop_counter import FlopCounterMode

from gpuprobe import wording
from gpuprobe.backends.giving_way import stand_before
from gpuprobe.backends.read_back import as_number, loss_count, nothing, settings_of
from gpuprobe.backends.spinning import threads_spin
from gpuprobe.telemetry.matching import cuda_bus_ids
from gpuprobe.units import MIB

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextlib import AbstractContextManager
    from pathlib import Path

    from gpuprobe.records import GraphLoop, Settings

# What the reason contains for which torch.compile gives up on a function (`torch/_dynamo/convert_frame.py`).
RECOMPILED = "recompile limit exceeded"
# The folder in which TensorBoard and gpuprobe's readers look for traces, and the ending of PyTorch's own handler.
PROFILES, ENDING = "plugins/profile", ".pt.trace.json.gz"


class Torch:
    """The PyTorch backend: steps run eagerly, unless `jit_compile=True` compiles them by `torch.compile`."""

    no_trace: str | None = None
    returns_early = False

    def __init__(self) -> None:
        self._alone: Callable[[], None] = nothing
        self._running: Any = None
        self._into: Path | None = None

    def compute_capability(self) -> float | None:
        """Return the compute capability of the first device."""
        if not torch.cuda.is_available():
            return None
        major, minor = torch.cuda.get_device_capability(0)
        return float(f"{major}.{minor}")

    def free_gpu_bytes(self) -> int:
        """Return CUDA's free memory."""
        return int(torch.cuda.mem_get_info(0)[0])

    def device_peak_mib(self) -> float | None:
        """Return the peak of PyTorch's allocator."""
        return torch.cuda.max_memory_allocated(0) / MIB if torch.cuda.is_available() else None

    def wait(self, answer: Any) -> None:
        """Wait for the GPU; on a processor a call returns only when it is computed."""
        if torch.cuda.is_available():
            torch.cuda.synchronize()

    def running_loss(self, answer: Any) -> Any:
        """Return it from the logs, detached from its graph."""
        loss = answer.get("loss")
        return loss.detach() if isinstance(loss, torch.Tensor) else loss

    def note_batches(self, model: keras.Model, note: Callable[[Any], None]) -> None:
        """Note the data of the train function: code within the step would be compiled with it."""
        model.make_train_function()
        call = model.train_function

        def noting_call(batches: Any) -> Any:
            note(batches[0])
            return call(batches)

        model.train_function = noting_call

    def named(self, name: str) -> AbstractContextManager[Any]:
        """Name a block in the trace."""
        return profiler.record_function(name)  # type: ignore[no-any-return]

    def marker(self, step: int) -> AbstractContextManager[Any]:
        """Mark a step as PyTorch's own profiler does."""
        return profiler.record_function(f"ProfilerStep#{step}")  # type: ignore[no-any-return]

    def start_trace(self, folder: Path, give_way: Callable[[], None]) -> None:
        """Start PyTorch's profiler for the processor, and for the GPU if there is one."""
        kinds = [profiler.ProfilerActivity.CPU]
        if torch.cuda.is_available():
            kinds.append(profiler.ProfilerActivity.CUDA)
        self._running, self._into = profiler.profile(activities=kinds), folder
        self._running.start()
        self._alone = stand_before(profiler.profile, "start", give_way)

    def stop_trace(self) -> None:
        """Wait for the GPU, and write the trace."""
        self._alone()
        running, self._running = self._running, None
        self.wait(None)
        running.stop()
        assert self._into is not None
        session = self._into / PROFILES / f"{datetime.now():%Y_%m_%d_%H_%M_%S}"
        session.mkdir(parents=True, exist_ok=True)
        running.export_chrome_trace(str(session / f"{socket.gethostname()}{ENDING}"))

    def finish(self, answer: Any) -> None:
        """Do nothing: on a GPU kernels are joined to their launches, and on a processor the call has waited."""

    def samples_counted(self, model: keras.Model, answer: Any) -> int:
        """Return the sample count of the running loss."""
        return as_number(loss_count(model))

    def step_flop(self, train_step: Callable[..., Any], model: keras.Model, data: Any) -> float | None:
        """Take one more step on zeros, and count its matrix products and convolutions, forward and backward.

        Source of the count: torch.utils.flop_counter, which leaves out element-wise operations.
        """
        zeros = keras.tree.map_structure(_zeros, data)
        with FlopCounterMode(display=False) as counter:
            train_step(zeros)
        return float(counter.get_total_flops()) or None

    def loops(self) -> tuple[GraphLoop, ...] | None:
        """Return None: its graphs are not read."""
        return None

    def compiled_in_part(self) -> str:
        """Say what torch.compile gave up on, by the counters of its front end."""
        dynamo = sys.modules.get("torch._dynamo.utils")
        return given_up_in_words(dynamo.counters) if dynamo is not None else ""

    def settings(self, model: keras.Model, batch_size: int, feed_dtype: str) -> Settings:
        """Return PyTorch's device, threads and options."""
        on_gpu = torch.cuda.is_available()
        mkldnn = torch.backends.mkldnn
        return settings_of(
            model,
            batch_size,
            feed_dtype,
            f"/device:GPU:{torch.cuda.current_device()}" if on_gpu else "/device:CPU:0",
            intra_op_threads=torch.get_num_threads(),
            inter_op_threads=torch.get_num_interop_threads(),
            threads_spin=None if on_gpu else threads_spin(torch.get_num_threads(), os.environ),
            onednn=bool(mkldnn.is_available() and mkldnn.enabled),
            tf32=bool(torch.backends.cuda.matmul.allow_tf32) if on_gpu else None,
            gpu_pci_bus_id=next(iter(cuda_bus_ids()), "") if on_gpu else "",
        )


def given_up_in_words(counters: Mapping[str, Mapping[str, int]]) -> str:
    """Say how often torch.compile gave up on a function, which then runs uncompiled; empty where it never did."""
    given_up = sum(times for why, times in counters.get("unimplemented", {}).items() if RECOMPILED in why)
    if not given_up:
        return ""
    graphs = wording.count(counters.get("stats", {}).get("unique_graphs", 0), "graph")
    functions = wording.count(given_up, "function")
    return f"torch.compile made {graphs} of the step and gave up on {functions}, compiled too often: they run eagerly"


def _zeros(tensor: Any) -> Any:
    return None if tensor is None else keras.ops.zeros(tensor.shape, tensor.dtype)
