"""The readings of one GPU at one rate: which fields it offers, which fail, and when a failed one is tried again."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import inf, isnan
from typing import TYPE_CHECKING

from gpuprobe.telemetry import facts, fields, monitors, processes
from gpuprobe.telemetry.nvml import NvmlError, ask
from gpuprobe.telemetry.states import FINAL_STATES, GPU_GONE, say

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
MIG_LIST_EVERY_S = 5.0


# The least plausible value: absolute zero for a temperature; no other field is negative.
LEAST_PLAUSIBLE = -273.15


@dataclass
class Sampled:
    """The result of reading a GPU once: values by column, notices (`said`), and buffered values with times.

    `facts` is filled where the GPU's facts have changed: it is back, or MIG has split it again.
    """

    values: dict[str, float] = field(default_factory=dict)
    said: list[str] = field(default_factory=list)
    buffered: list[tuple[int, str, float]] = field(default_factory=list)
    facts: Mapping[str, facts.Fact] = field(default_factory=dict)


class _PacedReading:
    """A reading of one GPU: its columns, their largest plausible values, whether it works, and when it is due again."""

    def __init__(self, gpu_name: str, reading: Reading | SampleBuffer) -> None:
        self.reading = reading
        self.columns = tuple(f"{gpu_name}_{field_name}" for field_name in reading.fields)
        self.most = tuple(map(fields.largest_plausible, reading.fields))
        self.retry_s, self.wait_s = 0.0, RETRY_AFTER_S
        self.worked = self.failing = False


class PacedReader:
    """The readings of one GPU at one rate. A field that the GPU does not offer is tried once; a notice says why."""

    def __init__(self, gpu: Gpu, readings: Sequence[Reading | SampleBuffer], *, has_mig: bool = False) -> None:
        self.gpu = gpu
        self._parts_s = 0.0 if has_mig else inf
        self._readings = tuple(_PacedReading(gpu.where, reading) for reading in readings)
        self._unoffered: set[str] = set()
        self._nonsense: set[str] = set()
        self._revive_s = 0.0
        self.columns = tuple(name for paced_reading in self._readings for name in paced_reading.columns)

    def visit(self, now_s: float) -> Sampled:
        """Take all readings that are due; `now_s` is monotonic time. Never raises."""
        sampled = Sampled()
        if self.gpu.gone and not self._revive(now_s, sampled):
            return sampled
        if now_s >= self._parts_s:
            self._parts_s = now_s + MIG_LIST_EVERY_S
            self._take_parts(sampled)
        for paced_reading in self._readings:
            if paced_reading.retry_s > now_s:
                continue
            try:
                values = paced_reading.reading.read(self.gpu.handle)
            except NvmlError as error:
                if not self._failed(paced_reading, error, now_s, sampled):
                    return sampled
                continue
            except Exception as error:  # noqa: BLE001 - one failing field never costs the sample
                self._failed(paced_reading, NvmlError("unreadable", repr(error)), now_s, sampled)
                continue
            self._take(paced_reading, values, sampled)
        return sampled

    def _take_parts(self, sampled: Sampled) -> None:
        """Begin to read MIG instances made since, and stop reading those removed."""
        created, removed = self.gpu.parts_anew()
        if not created and not removed:
            return
        gpu_name = self.gpu.where
        removed_prefixes = tuple(f"{gpu_name}_mig{mig_instance.place}_" for mig_instance in removed)
        self._readings = tuple(
            paced_reading
            for paced_reading in self._readings
            if not paced_reading.columns[0].startswith(removed_prefixes)
        )
        self._readings += tuple(
            _PacedReading(gpu_name, reading)
            for mig_instance in created
            for reading in monitors.mig_readings(mig_instance)
        )
        mig_changes = [f"made mig{mig_instance.place}" for mig_instance in created] + [
            f"removed mig{mig_instance.place}" for mig_instance in removed
        ]
        sampled.said.append(say(gpu_name, "split_anew", f"MIG has {' and '.join(mig_changes)}"))
        sampled.facts = self.gpu.facts

    def _take(
        self, paced_reading: _PacedReading, values: Sequence[float] | list[tuple[int, float]], sampled: Sampled
    ) -> None:
        paced_reading.worked = True
        if paced_reading.failing:
            paced_reading.failing, paced_reading.wait_s = False, RETRY_AFTER_S
            sampled.said += self._say(paced_reading.reading, "back", "answers again")
        if isinstance(paced_reading.reading, monitors.SampleBuffer):
            sampled.buffered += [(t_ns, paced_reading.columns[0], value) for t_ns, value in values]  # type: ignore[misc]
            return
        for column, largest, value in zip(paced_reading.columns, paced_reading.most, values, strict=True):
            if LEAST_PLAUSIBLE <= value <= largest:  # type: ignore[operator]
                sampled.values[column] = value  # type: ignore[assignment]
                if column in self._nonsense:
                    self._nonsense.discard(column)
                    sampled.said.append(say(_field_in_notices(column), "back", "answers again"))
            else:
                self._refuse(column, value, sampled)  # type: ignore[arg-type]
        if paced_reading.reading.news is not None:
            sampled.said += paced_reading.reading.news()
        if paced_reading.reading.more is not None:
            sampled.values |= {
                f"{self.gpu.where}_{name}": value for name, value in paced_reading.reading.more().items()
            }

    def _refuse(self, column: str, value: float, sampled: Sampled) -> None:
        """Add a notice, once, on why a value is left out: the card does not offer it, or it is not plausible."""
        if isnan(value) and column not in self._unoffered:
            self._unoffered.add(column)
            sampled.said.append(say(_field_in_notices(column), "not_supported", "this GPU or driver does not offer it"))
        elif not isnan(value) and column not in self._nonsense:
            self._nonsense.add(column)
            implausible = f"the driver answered {value:.10g}, which means no value or is not plausible"
            sampled.said.append(say(_field_in_notices(column), "unreadable", implausible))

    def _failed(self, paced_reading: _PacedReading, error: NvmlError, now_s: float, sampled: Sampled) -> bool:
        """Handle a failed reading; return whether the GPU is still there for other readings."""
        state, reason = error.state, str(error)
        if state == "nothing_new":
            return True
        if state == "invalid" and paced_reading.worked:
            is_listed = self.gpu.is_listed()
            state, reason = (
                ("unreadable", reason) if is_listed else ("vanished", "the GPU is gone from the driver's list")
            )
        if state == "vanished" and self.gpu.is_listed():
            # The GPU is there, so one of its MIG instances is gone.
            state = "unreadable"
        if state in GPU_GONE:
            sampled.said += self.gpu.lose(state, reason)
            return False
        if state in FINAL_STATES:
            self._readings = tuple(
                other_reading for other_reading in self._readings if other_reading is not paced_reading
            )
            sampled.said += self._say(paced_reading.reading, "not_supported" if state == "invalid" else state, reason)
            return True
        if not paced_reading.failing:
            sampled.said += self._say(paced_reading.reading, state, reason)
        paced_reading.failing, paced_reading.retry_s = True, now_s + paced_reading.wait_s
        paced_reading.wait_s = min(2 * paced_reading.wait_s, RETRY_AFTER_MOST_S)
        return True

    def _revive(self, now_s: float, sampled: Sampled) -> bool:
        if now_s < self._revive_s or not self._readings:
            return False
        # On the first call the GPU has only just gone: wait before trying it again.
        just_gone, self._revive_s = not self._revive_s, now_s + REVIVE_EVERY_S
        if just_gone:
            return False
        try:
            ask("nvmlInit")
            if not self.gpu.is_listed():
                return False
            self._readings[0].reading.read(self.gpu.handle)
            fact_notices = [] if self.gpu.facts else self.gpu.learn()
        except Exception:  # noqa: BLE001 - whatever failed, the GPU is not back
            return False
        self.gpu.gone, self._revive_s = False, 0.0
        sampled.said.append(say(self.gpu.where, "back", "the GPU answers again"))
        if fact_notices:
            sampled.said += fact_notices
            sampled.facts = self.gpu.facts
        return True

    def _say(self, reading: Reading | SampleBuffer, state: str, reason: str) -> list[str]:
        return [say(f"{self.gpu.where}.{field_name}", state, reason) for field_name in reading.fields]


def _field_in_notices(column: str) -> str:
    """Return the name of a column in notices: `gpu0.power_w`."""
    return column.replace("_", ".", 1)


def paced_readers(gpu: Gpu, tree: TreeScan) -> tuple[PacedReader, PacedReader]:
    """Return the fast and the slow readings of a GPU; `tree` knows the observed processes."""
    mig_readings = [reading for instance in gpu.mig for reading in monitors.mig_readings(instance)]
    nvlink_readings = fields.nvlink_readings(int(gpu.facts.get("nvlink_links", 0)))
    slow_readings: list[Reading | SampleBuffer] = [
        *processes.ProcessTable(gpu.where, tree).readings(),
        *mig_readings,
        monitors.performance_monitor(),
        *monitors.vgpu_readings(),
        *nvlink_readings,
        *fields.slow_readings(),
        *monitors.sample_buffers(),
    ]
    # If the card has MIG, its instances may change.
    return PacedReader(gpu, fields.fast_readings()), PacedReader(gpu, slow_readings, has_mig="mig_mode" in gpu.facts)
