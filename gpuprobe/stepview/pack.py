"""Packs the columns of a view into one text: a header in JSON and the columns, compressed, in base64.

Times are whole ticks after the view's start, so that each fits 32 bits; a tick is a nanosecond, or longer for long
traces. Starts are written as differences, which compress well.
"""

from __future__ import annotations

import base64
import json
import zlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from gpuprobe.foreign import shortened, shown
from gpuprobe.ledger.launches import NO_LAUNCH
from gpuprobe.report.breakdown import device_heading
from gpuprobe.stepview import tones
from gpuprobe.stepview.lanes import STREAM
from gpuprobe.stepview.predicted import ON_PROCESSOR, WORKS
from gpuprobe.traces.names import distinct
from gpuprobe.traces.timeline import UNKNOWN
from gpuprobe.units import PS_PER_MS, PS_PER_NS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from gpuprobe.stepview.lanes import Lane
    from gpuprobe.stepview.predicted import Predicted
    from gpuprobe.stepview.strip import Strip
    from gpuprobe.stepview.view import View
    from gpuprobe.traces.timeline import Int64s

# The 32-bit number for a missing value.
NONE = 2**32 - 1
LONGEST_NAME = 300
LEVEL = 6


@dataclass
class _Columns:
    """The bytes of the columns so far, and how times become ticks."""

    begin_ps: int
    tick_ps: int
    parts: list[bytes] = field(default_factory=list)
    size: int = 0

    def ticks(self, instants: Int64s) -> Int64s:
        return (instants - self.begin_ps + self.tick_ps // 2) // self.tick_ps

    def add(self, values: NDArray[Any]) -> list[int | str]:
        """Add whole numbers, (n,), and return where they are: offset in bytes, how many, and their width in bytes."""
        most = int(values.max(initial=0))
        width = 1 if most < 2**8 else 2 if most < 2**16 else 4
        data = values.astype(f"<u{width}").tobytes()
        index = self.size
        padding = -len(data) % 4
        self.parts.append(data + b"\0" * padding)
        self.size += len(data) + padding
        return [index, len(values), width]

    def starts(self, ticks: Int64s) -> list[int | str]:
        return self.add(np.diff(ticks, prepend=0))


def tick_ps_of(view: View) -> int:
    """Return the length of a tick in ps: a nanosecond, or as long as needed for the whole trace to fit 32 bits."""
    return max(PS_PER_NS, -(-(view.end_ps - view.begin_ps) // (NONE - 1)))


def packed(view: View) -> str:
    """Return the data of the page, base64 of a zlib stream: header length (4 bytes), header, padding, columns."""
    tick_ps = tick_ps_of(view)
    columns = _Columns(view.begin_ps, tick_ps)
    used, rows = _used_names(view.lanes.lanes)
    names = [shortened(shown(view.workings.timeline.names[index]), LONGEST_NAME) for index in used.tolist()]
    streams = [lane.kind == STREAM for lane in view.lanes.lanes]
    header = {
        "tick_ms": tick_ps / PS_PER_MS,
        "end": int(columns.ticks(np.array([view.end_ps]))[0]),
        "names": names,
        "tones": {"host": tones.of_host(names), "work": tones.of_work(names) if any(streams) else []},
        "strips": [_strip(columns, strip, view) for strip in view.strips],
        "lanes": [_lane(columns, view, lane, row) for lane, row in zip(view.lanes.lanes, rows, strict=True)],
        "predicted": _predicted(columns, view.predicted, view) if view.predicted else None,
    }
    head = json.dumps(header, separators=(",", ":")).encode()
    head += b" " * (-len(head) % 4)
    whole = len(head).to_bytes(4, "little") + head + b"".join(columns.parts)
    return base64.b64encode(zlib.compress(whole, LEVEL)).decode()


def _used_names(lanes: tuple[Lane, ...]) -> tuple[Int64s, list[tuple[Int64s, Int64s]]]:
    """Return the indices of the used names, and for each lane its names and operations as indices among those."""
    columns = [column.astype(np.int64) for lane in lanes for column in (lane.name, lane.op)]
    used, row = distinct(np.concatenate([np.empty(0, np.int64), *columns]))
    shift = int(len(used) > 0 and used[0] == UNKNOWN)
    ends = np.cumsum([len(column) for column in columns]).tolist()
    parts = [row[end - len(column) : end] - shift for column, end in zip(columns, ends, strict=True)]
    return used[shift:], list(zip(parts[::2], parts[1::2], strict=True))


def _strip(columns: _Columns, strip: Strip, view: View) -> dict[str, Any]:
    breakdown = strip.breakdown
    several = len({other.breakdown.host for other in view.strips}) > 1
    category = np.where(strip.category < 0, len(strip.categories), strip.category)
    return {
        "title": shown(device_heading(breakdown, of_several_hosts=several)),
        "device": shown(breakdown.name) if breakdown.kind == "gpu" else "",
        "host": shown(breakdown.host),
        "categories": list(strip.categories),
        "start": columns.starts(columns.ticks(strip.start_ps)),
        "category": columns.add(category),
        "end": int(columns.ticks(np.array([strip.end_ps]))[0]),
        "steps": columns.ticks(strip.steps_ps).tolist(),
        "numbers": strip.numbers.tolist(),
        "counted": list(strip.counted),
        "step_ms": breakdown.step_ms,
        "ms": breakdown.ledger_ms,
    }


def _lane(columns: _Columns, view: View, lane: Lane, row: tuple[Int64s, Int64s]) -> dict[str, Any]:
    start, end = columns.ticks(lane.start_ps), columns.ticks(lane.end_ps)
    packed: dict[str, Any] = {
        "kind": lane.kind,
        "title": shown(lane.title),
        "host": shown(lane.host),
        "device": shown(lane.device),
        "start": columns.starts(start),
        "length": columns.add(end - start),
        "name": columns.add(row[0]),
        "depth": columns.add(lane.depth),
    }
    if len(lane.op) and (row[1] >= 0).any():
        packed["op"] = columns.add(np.where(row[1] < 0, NONE, row[1]))
    if len(lane.launch_ps) and (lane.launch_ps != NO_LAUNCH).any():
        index = {
            other.thread: number
            for number, other in enumerate(view.lanes.lanes)
            if other.thread >= 0 and other.host == lane.host
        }
        known = (lane.launch_ps >= view.begin_ps) & (lane.launch_ps <= view.end_ps)
        launch = columns.ticks(np.where(known, lane.launch_ps, view.begin_ps))
        packed["launch"] = columns.add(np.where(known, launch, NONE))
        threads, thread = distinct(lane.launched_by)
        packed["by"] = [index.get(number, -1) for number in threads.tolist()]
        packed["thread"] = columns.add(thread)
    if len(lane.count) and lane.count.max() > 1:
        packed["count"] = columns.add(lane.count)
        packed["busy"] = columns.add(lane.busy_ps // columns.tick_ps)
    return packed


def _predicted(columns: _Columns, predicted: Predicted, view: View) -> dict[str, Any]:
    strip = view.strips[0]
    base = int(columns.ticks(strip.steps_ps[strip.counted[0] : strip.counted[0] + 1])[0])
    on_gpu = strip.breakdown.kind == "gpu"
    tone = {work: tone if on_gpu or tone != "idle_launch" else ON_PROCESSOR for work, (_, tone) in WORKS.items()}
    return {
        "base": base,
        "length": predicted.length_ps // columns.tick_ps,
        "calls": predicted.calls,
        "works": [[WORKS[work][0], tone[work]] for work in WORKS],
        "rows": [
            {
                "title": row.title,
                "start": columns.starts(row.start_ps // columns.tick_ps),
                "length": columns.add(row.end_ps // columns.tick_ps - row.start_ps // columns.tick_ps),
                "work": columns.add(row.work),
            }
            for row in predicted.rows
        ],
    }
