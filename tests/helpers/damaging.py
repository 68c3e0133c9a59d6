"""Changes files as no program would write them: bytes, the fields of an XPlane, the values of JSON, the cells of a log.

All chance comes from the caller's generator, so that a seed makes the same file again.
"""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from gpuprobe.traces.xplane_pb2 import XPlane, XSpace

if TYPE_CHECKING:
    import random

NUMBERS = (0, 1, -1, 2**31, 2**40, 2**53, 2**61, 2**62 - 1, 2**62, 2**63 - 1, -(2**63), 10**15, -(2**61))
REALS = (float("nan"), float("inf"), -1.0, 1e308, 5e-324)
CALLS = (
    "train_function",
    "train",
    "IteratorGetNextOp::DoCompute",
    "cuLaunchKernel",
    "MemcpyD2H",
    "nccl",
    "",
    "\x1b[1m[red]",
)
STATS = ("step_num", "correlation_id", "kernel_details", "core_count", "grid:0,0,0 block:99999999999,1,1 regs:-1")
LINES = ("Stream #1", "Stream #99999999999999999999", "Steps", "python", "")
VALUES: tuple[Any, ...] = (None, 0, -1, 2**53, 2**63, -(2**63), 1e300, 1.5, "", "x", "7", [], [1, 2], {}, True)
CELLS = (
    *("", "-", "N/A", "[GPU is lost]", "nan", "inf", "-inf", "1e400", "1e18", "-1", "0x7fffffffffffffff", "99999"),
    *(str(number) for number in NUMBERS),
    *("1970/01/01 00:00:00.000", "9999/12/31 23:59:59.999", "2115/01/01 00:00:00", "0001-01-01 00:00:00", "25:61:61"),
    *("100 %", "5 PiB", "\x1b[31m", "x" * 5000, '"', "#", "\ufeff", "\u202e"),
)
YEAR_NS = 365 * 86_400 * 10**9
# What stands between two cells, itself a part of what `split` returns.
BETWEEN = re.compile(r"(, ?|  +|(?<=\d) (?=\d))")
HOW_OFTEN = (1, 1, 2, 5, 20)


def damaged(name: str, data: bytes, chance: random.Random) -> bytes:
    """Damage a file as its name says that it is written: as such a file, or a third of the time as bytes."""
    if chance.random() < 1 / 3:
        return bytes_damaged(data, chance)
    if name.endswith(".xplane.pb"):
        return xplane_damaged(data, chance)
    if name.endswith(".json.gz"):
        return gzip.compress(json_damaged(gzip.decompress(data), chance), 1)
    if name.endswith(".json"):
        return json_damaged(data, chance)
    return log_damaged(data, chance)


def bytes_damaged(data: bytes, chance: random.Random) -> bytes:
    """Turn, replace, remove, add and repeat some bytes."""
    changed = bytearray(data)
    for _ in range(chance.choice(HOW_OFTEN)):
        at = chance.randrange(len(changed))
        way = chance.randrange(5)
        if way == 0:
            changed[at] ^= 1 << chance.randrange(8)
        elif way == 1:
            changed[at] = chance.choice((0, 0x7F, 0x80, 0xFF, 0x0A, 0x22))
        elif way == 2:
            del changed[at : at + chance.randrange(1, 9)]
        elif way == 3:
            changed[at:at] = bytes(chance.choices((0, 0x80, 0xFF, 0x22), k=chance.randrange(1, 12)))
        else:
            changed[at:at] = changed[at : at + chance.randrange(1, 60)]
        if not changed:
            break
    return bytes(changed)


def xplane_damaged(data: bytes, chance: random.Random) -> bytes:
    """Change some fields of the planes, or one of them in all of a line."""
    space = XSpace.FromString(data)
    planes = [plane for plane in space.planes if plane.lines]
    for _ in range(chance.choice((1, 4, 30))):
        chance.choice((plane_damaged, plane_damaged, _line_damaged))(chance.choice(planes), chance)
    return space.SerializeToString()


def plane_damaged(plane: XPlane, chance: random.Random) -> None:
    """Change one thing in a plane to what no profiler would write there."""
    line = chance.choice(plane.lines)
    event = chance.choice(line.events) if line.events else line.events.add()
    stat = chance.choice(event.stats) if event.stats else event.stats.add()
    way = chance.randrange(9)
    if way == 0:
        plane.event_metadata[chance.choice([*plane.event_metadata, 1])].name = chance.choice(CALLS)
    elif way == 1:
        plane.stat_metadata[chance.choice([*plane.stat_metadata, 1])].name = chance.choice(STATS)
    elif way == 2:
        line.name = chance.choice(LINES)
    elif way == 3:
        line.timestamp_ns = chance.choice(NUMBERS)
    elif way == 4:
        event.offset_ps = chance.choice(NUMBERS)
    elif way == 5:
        event.duration_ps = chance.choice(NUMBERS)
    elif way == 6:
        stat.int64_value = chance.choice(NUMBERS)
    elif way == 7:
        stat.double_value = chance.choice(REALS)
    else:
        del line.events[: chance.randrange(len(line.events) + 1)]


def _line_damaged(plane: XPlane, chance: random.Random) -> None:
    """Change all events of a line alike: times far apart, numbers near the largest, one of them a thousand times."""
    line = chance.choice(plane.lines)
    way, factor, number = chance.randrange(5), chance.choice((10**3, 10**6, 10**9)), chance.choice(NUMBERS)
    if way == 4 and line.events:
        line.events.extend([chance.choice(line.events)] * 1000)
    for event in line.events:
        if way == 0:
            event.offset_ps = _within(event.offset_ps * factor)
        elif way == 1:
            event.duration_ps = _within(event.duration_ps * factor)
        elif way == 2:
            event.duration_ps = 0
        elif way == 3:
            for stat in event.stats:
                if stat.WhichOneof("value") in {"int64_value", "uint64_value"}:
                    stat.int64_value = number


def _within(number: int) -> int:
    """Keep a number within 64 bits."""
    return max(-(2**63), min(number, 2**63 - 1))


def json_damaged(data: bytes, chance: random.Random) -> bytes:
    """Change some values of the events of a Chrome trace, or one of them in all events."""
    document = json.loads(data)
    events = document["traceEvents"] if isinstance(document, dict) else document
    for _ in range(chance.choice((1, 5, 40))):
        event = chance.choice(events)
        of = event["args"] if isinstance(event.get("args"), dict) and chance.random() < 0.4 else event
        of[chance.choice([*of, "ts"])] = chance.choice(VALUES)
    if chance.random() < 0.2:
        name, factor = chance.choice(("ts", "dur")), chance.choice((1e3, 1e6, -1, 1e-9))
        for event in events:
            if isinstance(event.get(name), int | float):
                event[name] *= factor
    if isinstance(document, dict) and chance.random() < 0.2:
        document[chance.choice([*document, "baseTimeNanoseconds"])] = chance.choice((*VALUES, events))
    return json.dumps(document).encode()


def log_damaged(data: bytes, chance: random.Random) -> bytes:
    """Change some cells and lines of a log, or the times of all lines from one on."""
    lines = data.decode(errors="replace").splitlines()
    for _ in range(chance.choice(HOW_OFTEN)):
        if lines:
            chance.choice(_LINES)(lines, chance)
    return ("\n".join(lines) + chance.choice(("\n", ""))).encode(errors="replace")


def _cell(lines: list[str], chance: random.Random) -> None:
    at = chance.randrange(len(lines))
    parts = BETWEEN.split(lines[at])
    parts[2 * chance.randrange(len(parts) // 2 + 1)] = chance.choice(CELLS)
    lines[at] = "".join(parts)


def _column(lines: list[str], chance: random.Random) -> None:
    place, value = 2 * chance.randrange(len(BETWEEN.findall(lines[-1])) + 1), chance.choice(CELLS)
    for at in range(chance.randrange(len(lines)), len(lines)):
        parts = BETWEEN.split(lines[at])
        if place < len(parts):
            parts[place] = value
            lines[at] = "".join(parts)


def _jump(lines: list[str], chance: random.Random) -> None:
    by = chance.choice((YEAR_NS, -YEAR_NS, 10**9, -(10**9), 2**61, 2**62 - 2**60))
    for at in range(chance.randrange(len(lines)), len(lines)):
        stamp, comma, rest = lines[at].partition(",")
        if stamp.isdecimal():
            lines[at] = f"{int(stamp) + by}{comma}{rest}"
        elif stamp[:4].isdecimal():
            lines[at] = f"{(int(stamp[:4]) + by // YEAR_NS) % 10_000:04d}{lines[at][4:]}"


def _again(lines: list[str], chance: random.Random) -> None:
    lines[chance.randrange(len(lines)) : 0] = [chance.choice(lines)] * chance.choice((1, 10, 2000))


def _gone(lines: list[str], chance: random.Random) -> None:
    at = chance.randrange(len(lines))
    del lines[at : at + chance.choice((1, 10, len(lines)))]


def _few(lines: list[str], chance: random.Random) -> None:
    del lines[chance.randrange(1, 5) :]


def _mixed(lines: list[str], chance: random.Random) -> None:
    chance.shuffle(lines)


_LINES: tuple[Callable[[list[str], random.Random], None], ...] = (
    *(_cell, _cell, _cell, _cell, _column, _column, _jump, _jump, _again, _gone, _few, _mixed),
)
