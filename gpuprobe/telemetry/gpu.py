"""One GPU while it is sampled: what it offers, what it does not, and whether it is still there."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from math import isnan
from typing import TYPE_CHECKING, Any

from gpuprobe.telemetry import facts, fields, monitors
from gpuprobe.telemetry.nvml import NvmlError, ask
from gpuprobe.telemetry.states import FINAL, GPU_GONE, say

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gpuprobe.telemetry.fields import Reading
    from gpuprobe.telemetry.monitors import SampleBuffer
    from gpuprobe.telemetry.proctree import TreeScan

# A GPU that is gone, and a field whose error may pass, are asked again so seldom that it costs nothing.
REVIVE_EVERY_S, RETRY_EVERY_S = 5.0, 1.0
MIB = 2**20


@dataclass
class Sampled:
    """What one visit to a GPU found: values by column, what there is to say, and values that bear their own time."""

    values: dict[str, float] = field(default_factory=dict)
    said: list[str] = field(default_factory=list)
    buffered: list[tuple[int, str, float]] = field(default_factory=list)


class Gpu:
    """A GPU of the driver's list, by its place in it. What cannot be had is said in `said`, never raised."""

    def __init__(self, index: int) -> None:
        self.index, self.where = index, f"gpu{index}"
        self.handle: Any = None
        self.facts: dict[str, facts.Fact] = {}
        self.mig: list[tuple[int, Any]] = []
        self.said: list[str] = []
        self.gone = False
        self._lock = threading.Lock()
        try:
            self.handle = ask("nvmlDeviceGetHandleByIndex", index)
        except NvmlError as error:
            state = error.state if error.state != "invalid" else "vanished"
            self.gone = True
            self.said.append(say(self.where, state, str(error)))
            return
        self.facts, missing = facts.read(self.handle)
        self.said += [f"{self.where}.{name}: {reason}" for name, reason in missing.items()]
        self.mig = facts.mig_devices(self.handle)

    def lose(self, state: str, words: str) -> list[str]:
        """Note that the GPU is gone; return what to say, nothing where that was said already."""
        with self._lock:
            first, self.gone = not self.gone, True
        return [say(self.where, state, words)] if first else []

    def is_listed(self) -> bool:
        """Whether the driver still knows the GPU; its handle is then fresh."""
        try:
            uuid = self.facts.get("uuid")
            if uuid:
                self.handle = ask("nvmlDeviceGetHandleByUUID", str(uuid).encode())
            else:
                self.handle = ask("nvmlDeviceGetHandleByIndex", self.index)
        except NvmlError:
            return False
        return True


class _Asked:
    """A reading of one GPU with its columns' names, and how it went so far."""

    def __init__(self, where: str, reading: Reading) -> None:
        self.reading = reading
        self.columns = tuple(f"{where}_{name}" for name in reading.fields)
        self.retry_s = 0.0
        self.worked = self.failing = False


class Feed:
    """The readings of one GPU at one pace. A field that it does not offer is asked for once, and its reason said."""

    def __init__(self, gpu: Gpu, readings: Sequence[Reading], buffers: Sequence[SampleBuffer] = ()) -> None:
        self.gpu = gpu
        self._asked = tuple(_Asked(gpu.where, reading) for reading in readings)
        self._buffers = list(buffers)
        self._unoffered: set[str] = set()
        self._revive_s = 0.0
        own = [asked.columns for asked in self._asked] + [tuple(map(self._column, one.fields)) for one in buffers]
        self.columns = tuple(name for group in own for name in group)

    def visit(self, now_s: float) -> Sampled:
        """Ask all that is worth asking now; `now_s` is monotonic. Never raises."""
        sampled = Sampled()
        if self.gpu.gone and not self._revive(now_s, sampled):
            return sampled
        for asked in self._asked:
            if asked.retry_s > now_s:
                continue
            try:
                found = asked.reading.read(self.gpu.handle)
            except NvmlError as error:
                if not self._failed(asked, error, now_s, sampled):
                    return sampled
                continue
            except Exception as error:  # noqa: BLE001 - one failing field never costs the sample
                self._failed(asked, NvmlError("unreadable", repr(error)), now_s, sampled)
                continue
            self._take(asked, found, sampled)
        self._visit_buffers(sampled)
        return sampled

    def _take(self, asked: _Asked, found: Sequence[float], sampled: Sampled) -> None:
        asked.worked = True
        for column, value in zip(asked.columns, found, strict=True):
            if not isnan(value):
                sampled.values[column] = value
            elif column not in self._unoffered:
                self._unoffered.add(column)
                sampled.said.append(say(_place(column), "not_supported", "this GPU or driver does not offer it"))
        if asked.failing:
            asked.failing = False
            sampled.said += self._say(asked.reading, "back", "answers again")
        if asked.reading.news is not None:
            sampled.said += asked.reading.news()

    def _failed(self, asked: _Asked, error: NvmlError, now_s: float, sampled: Sampled) -> bool:
        """Note a failure; return whether the GPU is worth asking anything else."""
        state = error.state
        if state == "nothing_new":
            return True
        if state == "invalid" and asked.worked and not self.gpu.is_listed():
            state = "vanished"
        if state in GPU_GONE:
            words = str(error) if error.state != "invalid" else "the GPU is gone from the driver's list"
            sampled.said += self.gpu.lose(state, words)
            return False
        if state in FINAL:
            self._asked = tuple(other for other in self._asked if other is not asked)
            sampled.said += self._say(asked.reading, "not_supported" if state == "invalid" else state, str(error))
            return True
        if not asked.failing:
            sampled.said += self._say(asked.reading, state, str(error))
        asked.failing, asked.retry_s = True, now_s + RETRY_EVERY_S
        return True

    def _visit_buffers(self, sampled: Sampled) -> None:
        for buffer in tuple(self._buffers):
            try:
                found = buffer.read(self.gpu.handle)
            except NvmlError as error:
                if error.state in GPU_GONE:
                    sampled.said += self.gpu.lose(error.state, str(error))
                    return
                if error.state != "nothing_new":
                    self._buffers.remove(buffer)
                    state = "not_supported" if error.state == "invalid" else error.state
                    sampled.said += self._say(buffer, state, str(error))
                continue
            sampled.buffered += [(t_ns, self._column(buffer.fields[0]), value) for t_ns, value in found]

    def _revive(self, now_s: float, sampled: Sampled) -> bool:
        if now_s < self._revive_s or not self._asked:
            return False
        # The first time this is called the GPU has just gone: it is given time.
        first, self._revive_s = not self._revive_s, now_s + REVIVE_EVERY_S
        if first:
            return False
        try:
            ask("nvmlInit")
            if not self.gpu.is_listed():
                return False
            self._asked[0].reading.read(self.gpu.handle)
        except NvmlError:
            return False
        self.gpu.gone, self._revive_s = False, 0.0
        sampled.said.append(say(self.gpu.where, "back", "the GPU answers again"))
        return True

    def _column(self, name: str) -> str:
        return f"{self.gpu.where}_{name}"

    def _say(self, reading: Reading | SampleBuffer, state: str, words: str) -> list[str]:
        return [say(f"{self.gpu.where}.{name}", state, words) for name in reading.fields]


def _place(column: str) -> str:
    """Return how a column is named in what is said: `gpu0.power_w`."""
    return column.replace("_", ".", 1)


def feeds(gpu: Gpu, tree: TreeScan) -> tuple[Feed, Feed]:
    """Return the fast and the slow readings of a GPU; `tree` tells which processes are the observed ones."""
    table = monitors.ProcessTable(gpu.where, tree)
    slow = [*table.readings(), *map(_instance, gpu.mig), monitors.performance_monitor(), *fields.slow()]
    return Feed(gpu, fields.fast()), Feed(gpu, slow, monitors.sample_buffers())


def _instance(placed: tuple[int, Any]) -> Reading:
    """The memory of one MIG instance, which has a handle of its own."""
    place, handle = placed
    names = (f"mig{place}_memory_used_mib", f"mig{place}_memory_total_mib")

    def read(_: Any) -> Sequence[float]:
        memory = ask("nvmlDeviceGetMemoryInfo", handle)
        return memory.used / MIB, memory.total / MIB

    return fields.Reading(names, read)
