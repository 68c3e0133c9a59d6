"""The GPUs of a Chrome trace: Kineto marks their events by category, TensorFlow and JAX by the process's name."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

from gpuprobe.errors import InputError
from gpuprobe.foreign import visible
from gpuprobe.traces.chrome_columns import (
    CATEGORY,
    CORRELATION,
    DETAIL,
    GPU,
    NAME,
    THREAD,
    ChromeColumns,
    Detail,
    whole,
)
from gpuprobe.traces.collectives import communicator, exchanged_bytes
from gpuprobe.traces.details import NO_SHAPE, Launch, parse_bytes, parse_launch
from gpuprobe.traces.devices import KERNEL, STREAM, kinds_of, place_of_op
from gpuprobe.traces.timeline import UNKNOWN, Copies, Device, Direction, Int64s, Kernels, Steps
from gpuprobe.units import MIB

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from gpuprobe.traces.names import Names

# A file with more GPUs is damaged.
MOST_DEVICES = 256
# Kineto's categories of work on a GPU, in small letters (versions before 2022 wrote `Kernel`, `Memcpy`).
_CATEGORY: dict[str, int] = {
    "gpu_memcpy": Direction.OTHER,
    "memcpy": Direction.OTHER,
    "gpu_memset": Direction.SET,
    "memset": Direction.SET,
}
WORK = frozenset({"kernel", *_CATEGORY})
MOST_MULTIPROCESSORS = 10_000
AMD = re.compile(r"\bAMD\b|Instinct|Radeon|\bgfx\d")


def on_device(part: ChromeColumns) -> NDArray[np.bool_]:
    """Return which events belong to a GPU, (n,) bool: its work, and the lines that repeat it, such as `Steps`."""
    lines = [bool(GPU.search(part.processes.get(process, ""))) for process, _ in part.threads]
    device_events: NDArray[np.bool_] = _is_work(part) | np.array(lines, bool)[part.rows[:, THREAD]]
    return device_events


def devices_of(part: ChromeColumns, start_ps: Int64s, names: Names) -> list[Device]:
    """Return every GPU that has events, sorted by name."""
    work = np.flatnonzero(_is_work(part) & (part.duration_ps >= 0))
    work = work[np.argsort(start_ps[work], kind="stable")]
    labels, label = _labels(part, work)
    stream = _streams(part, work)
    return [
        _device(part, start_ps, names, labels[device], work[label == device], stream[label == device])
        for device in sorted(range(len(labels)), key=lambda device: (len(labels[device]), labels[device]))
    ]


def _is_work(part: ChromeColumns) -> NDArray[np.bool_]:
    categories = [category in WORK for category in part.categories]
    streams = [
        bool(GPU.search(part.processes.get(thread[0], "")) and STREAM.match(part.thread_names.get(thread, "")))
        for thread in part.threads
    ]
    by_category, by_thread = np.array(categories, bool), np.array(streams, bool)
    work: NDArray[np.bool_] = by_category[part.rows[:, CATEGORY]] | by_thread[part.rows[:, THREAD]]
    return work


def _labels(part: ChromeColumns, work: NDArray[np.intp]) -> tuple[list[str], Int64s]:
    """Return the GPUs' names, and for each event (n,) the index of its GPU among them."""
    by_thread = [_label(part.processes.get(process, "")) or f"/device:GPU:{process}" for process, _ in part.threads]
    by_detail = ["" if detail.device is None else f"/device:GPU:{detail.device}" for detail in part.details]
    labels = sorted({*by_thread, *by_detail} - {""})
    indices = {label: index for index, label in enumerate(labels)}
    of_thread = np.array([indices[label] for label in by_thread], np.int64)
    of_detail = np.array([indices.get(label, UNKNOWN) for label in [*by_detail, ""]], np.int64)
    label = of_detail[part.rows[work, DETAIL]]
    label = np.where(label == UNKNOWN, of_thread[part.rows[work, THREAD]], label)
    used, index = np.unique(label, return_inverse=True)
    if len(used) > MOST_DEVICES:
        raise InputError(f"{part.path}: {len(used):,} GPUs in one trace; the file is damaged")
    return [labels[device] for device in used.tolist()], index


def _label(process: str) -> str:
    """Return the name of the GPU by that of its process, empty where the process is no GPU."""
    gpu = GPU.search(process)
    return f"/device:GPU:{gpu[1]}" if gpu else ""


def _streams(part: ChromeColumns, work: NDArray[np.intp]) -> Int64s:
    """Return each event's stream, (n,) int64: by its arguments, else by its thread's name, else UNKNOWN."""
    by_thread = [_number(part.thread_names.get(thread, "") or thread[1]) for thread in part.threads]
    by_detail = [whole(detail.stream) for detail in part.details]
    stream: Int64s = np.array([*by_detail, UNKNOWN], np.int64)[part.rows[work, DETAIL]]
    return np.where(stream == UNKNOWN, np.array(by_thread, np.int64)[part.rows[work, THREAD]], stream)


def _number(text: str) -> int:
    digits = re.search(r"\d{1,18}", text)
    return int(digits[0]) if digits else UNKNOWN


def _device(
    part: ChromeColumns, start_ps: Int64s, names: Names, label: str, work: NDArray[np.intp], stream: Int64s
) -> Device:
    kind = _told(part, work, kinds_of(part.rows[work, NAME], names))
    kernel, copy = kind == KERNEL, kind > KERNEL
    return Device(
        name=visible(label),
        host=visible(part.host),
        kernels=_kernels(part, start_ps, names, work[kernel], stream[kernel]),
        copies=_copies(part, start_ps, work[copy], stream[copy], kind[copy]),
        steps=_steps(part, start_ps, names, label),
        facts=_facts(part, label),
    )


def _told(part: ChromeColumns, work: NDArray[np.intp], kind: NDArray[np.int8]) -> NDArray[np.int8]:
    """Return the kinds (n,), corrected by the category for copies that their names do not show."""
    says = np.array([_CATEGORY.get(category, KERNEL) for category in part.categories], np.int8)
    work_kind: NDArray[np.int8] = np.where(kind == KERNEL, says[part.rows[work, CATEGORY]], kind)
    return work_kind


def _kernels(part: ChromeColumns, start_ps: Int64s, names: Names, work: NDArray[np.intp], stream: Int64s) -> Kernels:
    launches = [*map(_launch, part.details), Launch()]
    ops = [place_of_op(detail.op, names) if isinstance(detail.op, str) else UNKNOWN for detail in part.details]
    groups = [names.index(group) if (group := communicator(detail)) else UNKNOWN for detail in part.details]
    row = part.rows[work, DETAIL]
    return Kernels(
        start_ps=start_ps[work],
        duration_ps=part.duration_ps[work],
        name=part.rows[work, NAME].astype(np.int32),
        correlation=part.rows[work, CORRELATION],
        stream=stream,
        op=np.array([*ops, UNKNOWN], np.int32)[row],
        grid=np.array([launch.grid for launch in launches], np.int32)[row],
        block=np.array([launch.block for launch in launches], np.int32)[row],
        registers=np.array([launch.registers for launch in launches], np.int32)[row],
        shared_bytes=np.array([launch.shared_bytes for launch in launches], np.int64)[row],
        occupancy_percent=np.array([launch.occupancy_percent for launch in launches], np.float64)[row],
        group=np.array([*groups, UNKNOWN], np.int32)[row],
        bytes=np.array([*map(exchanged_bytes, part.details), UNKNOWN], np.int64)[row],
    )


def _launch(detail: Detail) -> Launch:
    if isinstance(detail.launch, str):
        return parse_launch(detail.launch)
    return Launch(
        grid=_shape(detail.grid),
        block=_shape(detail.block),
        registers=_small(detail.registers),
        shared_bytes=whole(detail.shared),
        occupancy_percent=_percent(detail.occupancy),
    )


def _percent(value: object) -> float:
    return float(value) if isinstance(value, (int, float)) and 0 <= value <= 100 else np.nan


def _small(value: object) -> int:
    number = whole(value)
    return number if number < 2**31 else UNKNOWN


def _shape(sizes: tuple[object, ...]) -> tuple[int, int, int]:
    whole_sizes = [_small(size) for size in sizes]
    if len(whole_sizes) != 3 or UNKNOWN in whole_sizes:
        return NO_SHAPE
    return whole_sizes[0], whole_sizes[1], whole_sizes[2]


def _copies(
    part: ChromeColumns, start_ps: Int64s, work: NDArray[np.intp], stream: Int64s, direction: NDArray[np.int8]
) -> Copies:
    sizes = [
        parse_bytes(detail.copy) if isinstance(detail.copy, str) else whole(detail.bytes) for detail in part.details
    ]
    return Copies(
        start_ps=start_ps[work],
        duration_ps=part.duration_ps[work],
        name=part.rows[work, NAME].astype(np.int32),
        correlation=part.rows[work, CORRELATION],
        stream=stream,
        direction=direction,
        bytes=np.array([*sizes, UNKNOWN], np.int64)[part.rows[work, DETAIL]],
    )


def _steps(part: ChromeColumns, start_ps: Int64s, names: Names, label: str) -> Steps:
    """Return the `Steps` line of TensorFlow and JAX, where the last word of an event's name is the step's number."""
    lines = [
        part.thread_names.get(thread) == "Steps" and _label(part.processes.get(thread[0], "")) == label
        for thread in part.threads
    ]
    index = np.flatnonzero(np.array(lines, bool)[part.rows[:, THREAD]] & (part.duration_ps >= 0))
    index = index[np.argsort(start_ps[index], kind="stable")]
    all_names = names.all()
    numbers = [whole(all_names[name].rpartition(" ")[2]) for name in part.rows[index, NAME].tolist()]
    return Steps(start_ps[index], part.duration_ps[index], np.array(numbers, np.int64))


def _facts(part: ChromeColumns, label: str) -> dict[str, float | str]:
    """Return the facts of the card in Kineto's `deviceProperties`, with the names and units of `Device.facts`.

    The first versions of Kineto wrote `computeProperties`, with other names for some of the facts.
    """
    both = (part.document.cards, part.document.older_cards)
    cards = next((cards for cards in both if isinstance(cards, list)), [])
    number = label.rpartition(":")[2]
    card = next((card for card in cards if isinstance(card, dict) and str(card.get("id")) == number), {})
    facts: dict[str, float | str] = {}
    multiprocessors = whole(card.get("numSms", card.get("multiProcessorCount")))
    if 0 < multiprocessors < MOST_MULTIPROCESSORS:
        facts["sm_count"] = float(multiprocessors)
    if whole(card.get("totalGlobalMem")) > 0:
        facts["memory_mib"] = int(card["totalGlobalMem"]) / MIB
    major, minor = (
        whole(card.get("computeMajor", card.get("major"))),
        whole(card.get("computeMinor", card.get("minor"))),
    )
    model = card.get("name")
    if isinstance(model, str):
        facts["model"] = visible(model)
    # AMD's version numbers look like compute capabilities and are none.
    if 0 < major < 100 and 0 <= minor < 10 and not (isinstance(model, str) and AMD.search(model)):
        facts["compute_capability"] = major + minor / 10
    return facts
