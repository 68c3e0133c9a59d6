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
from gpuprobe.stepview.predicted import ON_PROCESSOR, WORK_NAMES_AND_TONES
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

# The 32-bit number that stands for a missing value.
NO_VALUE = 2**32 - 1
LONGEST_NAME = 300
ZLIB_LEVEL = 6


@dataclass
class _Columns:
    """The bytes of the columns so far; times become ticks of `tick_ps` after `begin_ps`."""

    begin_ps: int
    tick_ps: int
    parts: list[bytes] = field(default_factory=list)
    size: int = 0

    def ticks(self, instants: Int64s) -> Int64s:
        return (instants - self.begin_ps + self.tick_ps // 2) // self.tick_ps

    def add(self, values: NDArray[Any]) -> list[int]:
        """Add whole numbers, (n,), and return where they are: [offset in bytes, how many, width of each in bytes]."""
        largest = int(values.max(initial=0))
        bytes_a_value = 1 if largest < 2**8 else 2 if largest < 2**16 else 4
        column_bytes = values.astype(f"<u{bytes_a_value}").tobytes()
        offset = self.size
        padding = -len(column_bytes) % 4
        self.parts.append(column_bytes + b"\0" * padding)
        self.size += len(column_bytes) + padding
        return [offset, len(values), bytes_a_value]

    def starts(self, ticks: Int64s) -> list[int]:
        return self.add(np.diff(ticks, prepend=0))


def tick_ps_of(view: View) -> int:
    """Return the length of a tick in ps: a nanosecond, or as long as needed for the whole trace to fit 32 bits."""
    return max(PS_PER_NS, -(-(view.end_ps - view.begin_ps) // (NO_VALUE - 1)))


def packed(view: View) -> str:
    """Return the data of the page, base64 of a zlib stream: header length (4 bytes), header, padding, columns."""
    tick_ps = tick_ps_of(view)
    columns = _Columns(view.begin_ps, tick_ps)
    used_names, names_by_lane = _used_names(view.lanes.lanes)
    names = [shortened(shown(view.workings.timeline.names[index]), LONGEST_NAME) for index in used_names.tolist()]
    streams = [lane.kind == STREAM for lane in view.lanes.lanes]
    header = {
        "tick_ms": tick_ps / PS_PER_MS,
        "end": int(columns.ticks(np.array([view.end_ps]))[0]),
        "names": names,
        "tones": {"host": tones.tones_of_host(names), "work": tones.tones_of_work(names) if any(streams) else []},
        "strips": [_packed_strip(columns, strip, view) for strip in view.strips],
        "lanes": [
            _packed_lane(columns, view, lane, row) for lane, row in zip(view.lanes.lanes, names_by_lane, strict=True)
        ],
        "predicted": _packed_prediction(columns, view.predicted, view) if view.predicted else None,
    }
    header_json = json.dumps(header, separators=(",", ":")).encode()
    header_json += b" " * (-len(header_json) % 4)
    page_data = len(header_json).to_bytes(4, "little") + header_json + b"".join(columns.parts)
    return base64.b64encode(zlib.compress(page_data, ZLIB_LEVEL)).decode()


def _used_names(lanes: tuple[Lane, ...]) -> tuple[Int64s, list[tuple[Int64s, Int64s]]]:
    """Return the indices of the used names, and for each lane its names and operations as indices among those."""
    columns = [column.astype(np.int64) for lane in lanes for column in (lane.name, lane.op)]
    used_names, position = distinct(np.concatenate([np.empty(0, np.int64), *columns]))
    unknown_first = int(len(used_names) > 0 and used_names[0] == UNKNOWN)
    column_ends = np.cumsum([len(column) for column in columns]).tolist()
    columns_as_positions = [
        position[end - len(column) : end] - unknown_first for column, end in zip(columns, column_ends, strict=True)
    ]
    return used_names[unknown_first:], list(zip(columns_as_positions[::2], columns_as_positions[1::2], strict=True))


def _packed_strip(columns: _Columns, strip: Strip, view: View) -> dict[str, Any]:
    breakdown = strip.breakdown
    several_hosts = len({other_strip.breakdown.host for other_strip in view.strips}) > 1
    category = np.where(strip.category < 0, len(strip.categories), strip.category)
    return {
        "title": shown(device_heading(breakdown, of_several_hosts=several_hosts)),
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


def _packed_lane(columns: _Columns, view: View, lane: Lane, names_and_ops: tuple[Int64s, Int64s]) -> dict[str, Any]:
    start, end = columns.ticks(lane.start_ps), columns.ticks(lane.end_ps)
    packed_lane: dict[str, Any] = {
        "kind": lane.kind,
        "title": shown(lane.title),
        "host": shown(lane.host),
        "device": shown(lane.device),
        "start": columns.starts(start),
        "length": columns.add(end - start),
        "name": columns.add(names_and_ops[0]),
        "depth": columns.add(lane.depth),
    }
    if len(lane.op) and (names_and_ops[1] >= 0).any():
        packed_lane["op"] = columns.add(np.where(names_and_ops[1] < 0, NO_VALUE, names_and_ops[1]))
    if len(lane.launch_ps) and (lane.launch_ps != NO_LAUNCH).any():
        lane_by_thread = {
            other_lane.thread: lane_number
            for lane_number, other_lane in enumerate(view.lanes.lanes)
            if other_lane.thread >= 0 and other_lane.host == lane.host
        }
        launch_shown = (lane.launch_ps >= view.begin_ps) & (lane.launch_ps <= view.end_ps)
        launch_ticks = columns.ticks(np.where(launch_shown, lane.launch_ps, view.begin_ps))
        packed_lane["launch"] = columns.add(np.where(launch_shown, launch_ticks, NO_VALUE))
        threads, thread = distinct(lane.launched_by)
        packed_lane["by"] = [lane_by_thread.get(lane_number, -1) for lane_number in threads.tolist()]
        packed_lane["thread"] = columns.add(thread)
    if len(lane.count) and lane.count.max() > 1:
        packed_lane["count"] = columns.add(lane.count)
        packed_lane["busy"] = columns.add(lane.busy_ps // columns.tick_ps)
    return packed_lane


def _packed_prediction(columns: _Columns, predicted: Predicted, view: View) -> dict[str, Any]:
    strip = view.strips[0]
    first_step_tick = int(columns.ticks(strip.steps_ps[strip.counted[0] : strip.counted[0] + 1])[0])
    on_gpu = strip.breakdown.kind == "gpu"
    tone_by_work = {
        work: tone_by_work if on_gpu or tone_by_work != "idle_launch" else ON_PROCESSOR
        for work, (_, tone_by_work) in WORK_NAMES_AND_TONES.items()
    }
    return {
        "base": first_step_tick,
        "length": predicted.length_ps // columns.tick_ps,
        "calls": predicted.calls,
        "works": [[WORK_NAMES_AND_TONES[work][0], tone_by_work[work]] for work in WORK_NAMES_AND_TONES],
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
