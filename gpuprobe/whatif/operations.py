"""All work of a host's devices as one table, each operation with the call that launched it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from gpuprobe.ledger import names
from gpuprobe.thresholds import fixed
from gpuprobe.traces.names import distinct
from gpuprobe.traces.timeline import NO_CORRELATION, UNKNOWN, Direction
from gpuprobe.units import PS_PER_US
from gpuprobe.whatif.graph import Work

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gpuprobe.ledger.host import TracedHost
    from gpuprobe.traces.timeline import Device, Int32s, Kernels
    from gpuprobe.whatif.graph import Bools, Floats, Ints

# Operations that update weights: their work does not depend on the batch size.
_FIXED_OPS = ("Apply", "Assign", "optimizer", "Optimizer", "Adam/", "SGD/")
# Names of convolution and matrix multiplication kernels, where the trace does not name the operation.
_MATRIX_KERNELS = ("gemm", "conv", "wgrad", "dgrad", "winograd")
BLOCKING_PS, STAGED_PS = int(fixed.COPY_WAITED_US * PS_PER_US), int(fixed.COPY_STAGED_US * PS_PER_US)
_DIRECTIONS = {Direction.H2D: Work.H2D, Direction.D2H: Work.D2H}


@dataclass(frozen=True)
class Operations:
    """The devices' work, sorted by start, all (k,): times in ps, UNKNOWN for the call of an operation without one.

    `call_start` and `call_end` are of the call that launched it. `fill`, `matrix` and `sized` are as in `Graph`.
    """

    device: Ints
    stream: Ints
    work: Ints
    start: Ints
    end: Ints
    call_start: Ints
    call_end: Ints
    fill: Floats
    matrix: Bools
    sized: Bools

    def __len__(self) -> int:
        """Count the operations."""
        return len(self.start)

    @property
    def joined(self) -> Bools:
        """Which operations have a known launch call, (k,) bool."""
        joined: Bools = self.call_start != UNKNOWN
        return joined

    @property
    def blocking(self) -> Bools:
        """Which operations are copies to the device whose known launch call waits for them, (k,) bool.

        From pageable memory the call returns when the last piece is staged, which the device copies a moment later.
        """
        before, lasts = self.end - self.call_end, self.end - self.start
        within = (self.start >= self.call_start) & (before <= fixed.COPY_STAGED_LEFT * lasts)
        near = (before < STAGED_PS) & (before > -BLOCKING_PS)
        blocked: Bools = self.joined & (self.work == Work.H2D) & within & near
        return blocked

    def where(self, chosen: Bools | Ints) -> Operations:
        """Return the chosen operations, by (k,) bool or by indices."""
        return Operations(**{name: column[chosen] for name, column in vars(self).items()})


def operations(devices: Sequence[Device], host: TracedHost) -> Operations:
    """Return all work of those devices of one host."""
    parts = [
        part for index, device in enumerate(devices) for part in (_kernels(index, device, host), _copies(index, device))
    ]
    if not parts:
        return _none()
    columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    correlation = columns.pop("correlation")
    calls = host.calls
    at = np.searchsorted(calls.correlation, correlation)
    near = np.minimum(at, max(len(calls.correlation) - 1, 0))
    joined = (correlation != NO_CORRELATION) & (at < len(calls.correlation))
    if len(calls.correlation):
        joined &= calls.correlation[near] == correlation
    call_start, call_end = (np.full(len(correlation), UNKNOWN, np.int64) for _ in range(2))
    call_start[joined], call_end[joined] = calls.start_ps[near[joined]], calls.end_ps[near[joined]]
    unsorted = Operations(**columns, call_start=call_start, call_end=call_end)
    return unsorted.where(np.argsort(unsorted.start, kind="stable"))


def _none() -> Operations:
    whole, real, flag = np.empty(0, np.int64), np.empty(0), np.empty(0, np.bool_)
    return Operations(whole, whole, whole, whole, whole, whole, whole, fill=real, matrix=flag, sized=flag)


def _kernels(index: int, device: Device, host: TracedHost) -> dict[str, np.ndarray]:
    kernels = device.kernels
    together = names.collective(host.names, kernels.name)
    named = len(kernels.op) == len(kernels)
    ops = kernels.op if named else np.full(len(kernels), UNKNOWN, np.int32)
    return {
        "device": np.full(len(kernels), index),
        "stream": kernels.stream,
        "work": np.where(together, int(Work.COLLECTIVE), int(Work.KERNEL)),
        "start": kernels.start_ps,
        "end": kernels.end_ps,
        "correlation": kernels.correlation,
        "fill": _fill(kernels, device),
        "matrix": _matrix(kernels, ops, host.names) & ~names.tensor_core(host.names, kernels.name),
        "sized": ~_containing(ops, host.names, _FIXED_OPS),
    }


def _copies(index: int, device: Device) -> dict[str, np.ndarray]:
    copies = device.copies
    sizes = copies.bytes if len(copies.bytes) == len(copies) else np.full(len(copies), UNKNOWN, np.int64)
    h2d = copies.direction == Direction.H2D
    large = sizes >= fixed.BATCH_BYTES
    if not np.any(sizes[h2d] != UNKNOWN) and h2d.any():
        large = copies.duration_ps >= copies.duration_ps[h2d].max() / 2
    return {
        "device": np.full(len(copies), index),
        "stream": copies.stream,
        "work": np.array([int(_DIRECTIONS.get(way, Work.D2D)) for way in copies.direction.tolist()], np.int64),
        "start": copies.start_ps,
        "end": copies.end_ps,
        "correlation": copies.correlation,
        "fill": np.full(len(copies), np.nan),
        "matrix": np.zeros(len(copies), np.bool_),
        "sized": h2d & large,
    }


def _fill(kernels: Kernels, device: Device) -> Floats:
    """Blocks per multiprocessor (n,), NaN where unknown."""
    count = device.facts.get("sm_count")
    if not isinstance(count, float) or len(kernels.grid) != len(kernels) or not len(kernels):
        return np.full(len(kernels), np.nan)
    blocks = kernels.grid.astype(np.float64).prod(axis=1)
    return np.where((kernels.grid > 0).all(axis=1), blocks / count, np.nan)


def _matrix(kernels: Kernels, ops: Int32s, texts: Sequence[str]) -> Bools:
    if np.any(ops != UNKNOWN):
        return names.eligible(texts, ops)
    return _containing(kernels.name, texts, _MATRIX_KERNELS)


def _containing(indices: Int32s, texts: Sequence[str], parts: tuple[str, ...]) -> Bools:
    """Return which names contain any of these parts, (n,) bool; an unknown name contains none."""
    hits = np.zeros(len(texts) + 1, np.bool_)
    used = distinct(indices[indices >= 0].astype(np.int64))[0]
    hits[used] = [any(part in texts[index] for part in parts) for index in used.tolist()]
    return hits[indices]
