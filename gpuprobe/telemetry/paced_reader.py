"""The readings of one GPU at a pace: which fields it offers, which fail, and when a failed one is tried again."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import inf, isnan
from typing import TYPE_CHECKING

from gpuprobe.telemetry import facts, fields, monitors, processes
from gpuprobe.telemetry.nvml import NvmlError, ask
from gpuprobe.telemetry.states import FINAL, GPU_GONE, say

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gpuprobe.telemetry.fields import Reading
    from gpuprobe.telemetry.gpu import Gpu
    from gpuprobe.telemetry.monitors import SampleBuffer
    from gpuprobe.telemetry.proctree import TreeScan

# A lost GPU is tried again at long intervals, so that it costs nothing; so is a field whose error may pass, with the
# interval doubled each time.
REVIVE_EVERY_S, RETRY_AFTER_S, RETRY_AFTER_MOST_S = 5.0, 1.0, 60.0


# MIG instances are made and removed by hand, before a training, and listing them takes one call each.
PARTS_EVERY_S = 5.0


# The least plausible value: absolute zero for a temperature; no other field is negative.
LEAST = -273.15


@dataclass
class Sampled:
    """The result of reading a GPU once: values by column, notices (`said`), and buffered values with times.

    `facts` is filled where the GPU's facts have changed: it is back, or MIG has split it again.
    """

    values: dict[str, float] = field(default_factory=dict)
    said: list[str] = field(default_factory=list)
    buffered: list[tuple[int, str, float]] = field(default_factory=list)
    facts: Mapping[str, facts.Fact] = field(default_factory=dict)


class _Asked:
    """A reading of one GPU with the names of its columns, their largest plausible values, and its success so far."""

    def __init__(self, where: str, reading: Reading | SampleBuffer) -> None:
        self.reading = reading
        self.columns = tuple(f"{where}_{name}" for name in reading.fields)
        self.most = tuple(map(fields.most, reading.fields))
        self.retry_s, self.wait_s = 0.0, RETRY_AFTER_S
        self.worked = self.failing = False


class PacedReader:
    """The readings of one GPU at one pace. A field that it does not offer is asked for once, and its reason said."""

    def __init__(self, gpu: Gpu, readings: Sequence[Reading | SampleBuffer], *, parts: bool = False) -> None:
        self.gpu = gpu
        self._parts_s = 0.0 if parts else inf
        self._asked = tuple(_Asked(gpu.where, reading) for reading in readings)
        self._unoffered: set[str] = set()
        self._nonsense: set[str] = set()
        self._revive_s = 0.0
        self.columns = tuple(name for asked in self._asked for name in asked.columns)

    def visit(self, now_s: float) -> Sampled:
        """Take all readings that are due; `now_s` is monotonic time. Never raises."""
        sampled = Sampled()
        if self.gpu.gone and not self._revive(now_s, sampled):
            return sampled
        if now_s >= self._parts_s:
            self._parts_s = now_s + PARTS_EVERY_S
            self._take_parts(sampled)
        for asked in self._asked:
            if asked.retry_s > now_s:
                continue
            try:
                values = asked.reading.read(self.gpu.handle)
            except NvmlError as error:
                if not self._failed(asked, error, now_s, sampled):
                    return sampled
                continue
            except Exception as error:  # noqa: BLE001 - one failing field never costs the sample
                self._failed(asked, NvmlError("unreadable", repr(error)), now_s, sampled)
                continue
            self._take(asked, values, sampled)
        return sampled

    def _take_parts(self, sampled: Sampled) -> None:
        """Begin to read MIG instances made since, and stop reading those removed."""
        made, removed = self.gpu.parts_anew()
        if not made and not removed:
            return
        where = self.gpu.where
        gone = tuple(f"{where}_mig{part.place}_" for part in removed)
        self._asked = tuple(asked for asked in self._asked if not asked.columns[0].startswith(gone))
        self._asked += tuple(_Asked(where, reading) for part in made for reading in monitors.instance(part))
        changes = [f"made mig{part.place}" for part in made] + [f"removed mig{part.place}" for part in removed]
        sampled.said.append(say(where, "split_anew", f"MIG has {' and '.join(changes)}"))
        sampled.facts = self.gpu.facts

    def _take(self, asked: _Asked, values: Sequence[float] | list[tuple[int, float]], sampled: Sampled) -> None:
        asked.worked = True
        if asked.failing:
            asked.failing, asked.wait_s = False, RETRY_AFTER_S
            sampled.said += self._say(asked.reading, "back", "answers again")
        if isinstance(asked.reading, monitors.SampleBuffer):
            sampled.buffered += [(t_ns, asked.columns[0], value) for t_ns, value in values]  # type: ignore[misc]
            return
        for column, most, value in zip(asked.columns, asked.most, values, strict=True):
            if LEAST <= value <= most:  # type: ignore[operator]
                sampled.values[column] = value  # type: ignore[assignment]
                if column in self._nonsense:
                    self._nonsense.discard(column)
                    sampled.said.append(say(_place(column), "back", "answers again"))
            else:
                self._refuse(column, value, sampled)  # type: ignore[arg-type]
        if asked.reading.news is not None:
            sampled.said += asked.reading.news()
        if asked.reading.more is not None:
            sampled.values |= {f"{self.gpu.where}_{name}": value for name, value in asked.reading.more().items()}

    def _refuse(self, column: str, value: float, sampled: Sampled) -> None:
        """Add a notice, once, on why a value is left out: the card does not offer it, or it is not plausible."""
        if isnan(value) and column not in self._unoffered:
            self._unoffered.add(column)
            sampled.said.append(say(_place(column), "not_supported", "this GPU or driver does not offer it"))
        elif not isnan(value) and column not in self._nonsense:
            self._nonsense.add(column)
            words = f"the driver answered {value:.10g}, which stands for no value or cannot be"
            sampled.said.append(say(_place(column), "unreadable", words))

    def _failed(self, asked: _Asked, error: NvmlError, now_s: float, sampled: Sampled) -> bool:
        """Handle a failed reading; return whether the GPU is still there for other readings."""
        state, words = error.state, str(error)
        if state == "nothing_new":
            return True
        if state == "invalid" and asked.worked:
            listed = self.gpu.is_listed()
            state, words = ("unreadable", words) if listed else ("vanished", "the GPU is gone from the driver's list")
        if state == "vanished" and self.gpu.is_listed():
            # The GPU is there, so one of its MIG instances is gone.
            state = "unreadable"
        if state in GPU_GONE:
            sampled.said += self.gpu.lose(state, words)
            return False
        if state in FINAL:
            self._asked = tuple(other for other in self._asked if other is not asked)
            sampled.said += self._say(asked.reading, "not_supported" if state == "invalid" else state, words)
            return True
        if not asked.failing:
            sampled.said += self._say(asked.reading, state, words)
        asked.failing, asked.retry_s = True, now_s + asked.wait_s
        asked.wait_s = min(2 * asked.wait_s, RETRY_AFTER_MOST_S)
        return True

    def _revive(self, now_s: float, sampled: Sampled) -> bool:
        if now_s < self._revive_s or not self._asked:
            return False
        # On the first call the GPU has only just gone: wait before trying it again.
        first, self._revive_s = not self._revive_s, now_s + REVIVE_EVERY_S
        if first:
            return False
        try:
            ask("nvmlInit")
            if not self.gpu.is_listed():
                return False
            self._asked[0].reading.read(self.gpu.handle)
            learned = [] if self.gpu.facts else self.gpu.learn()
        except Exception:  # noqa: BLE001 - whatever is wrong with it, it is not back
            return False
        self.gpu.gone, self._revive_s = False, 0.0
        sampled.said.append(say(self.gpu.where, "back", "the GPU answers again"))
        if learned:
            sampled.said += learned
            sampled.facts = self.gpu.facts
        return True

    def _say(self, reading: Reading | SampleBuffer, state: str, words: str) -> list[str]:
        return [say(f"{self.gpu.where}.{name}", state, words) for name in reading.fields]


def _place(column: str) -> str:
    """Return the name of a column in notices: `gpu0.power_w`."""
    return column.replace("_", ".", 1)


def feeds(gpu: Gpu, tree: TreeScan) -> tuple[PacedReader, PacedReader]:
    """Return the fast and the slow readings of a GPU; `tree` knows the observed processes."""
    instances = [reading for instance in gpu.mig for reading in monitors.instance(instance)]
    links = fields.links(int(gpu.facts.get("nvlink_links", 0)))
    slow: list[Reading | SampleBuffer] = [
        *processes.ProcessTable(gpu.where, tree).readings(),
        *instances,
        monitors.performance_monitor(),
        *monitors.virtual(),
        *links,
        *fields.slow(),
        *monitors.sample_buffers(),
    ]
    # If the card has MIG, its instances may change.
    return PacedReader(gpu, fields.fast()), PacedReader(gpu, slow, parts="mig_mode" in gpu.facts)
