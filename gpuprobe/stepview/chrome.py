"""Writes a trace as Chrome JSON for Perfetto and chrome://tracing, with the step-time breakdown as a track of its own.

No events are left out, and its steps, threads, streams and launches suffice to diagnose it again.
"""

from __future__ import annotations

import contextlib
import gzip
import json
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from gpuprobe.errors import OutputError
from gpuprobe.foreign import shown
from gpuprobe.ledger.categories import CPU_CATEGORIES, GPU_CATEGORIES
from gpuprobe.ledger.device_breakdown import host_names
from gpuprobe.ledger.launches import NO_CALL, called_by
from gpuprobe.report.categories import CATEGORIES
from gpuprobe.traces.timeline import NO_CORRELATION, UNKNOWN
from gpuprobe.units import PS_PER_US

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from gpuprobe.ledger.breakdown import Workings
    from gpuprobe.ledger.device_breakdown import DeviceWorkings
    from gpuprobe.traces.timeline import Copies, Device, Kernels, Thread

GZIPPED = ".gz"
# The thread id of the breakdown's track, which no stream or thread has.
BREAKDOWN_TRACK = 0
# Fast compression, since the text is long and repetitive.
GZIP_LEVEL = 3
EventNamer = Callable[[int], str]


def write_chrome(workings: Workings, path: Path) -> None:
    """Write the trace to a file, compressed where its name ends in `.gz`.

    Raises OutputError where it cannot be written; an existing file then stays unchanged.
    """
    partial = path.with_name(path.name + ".partial")
    try:
        with gzip.open(partial, "wt", GZIP_LEVEL) if path.suffix == GZIPPED else partial.open("w") as file:
            file.write('{"displayTimeUnit":"ms","traceEvents":[\n')
            for event_number, event in enumerate(_events(workings)):
                file.write(f",\n{event}" if event_number else event)
            file.write("\n]}\n")
        partial.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
        raise OutputError(f"{path}: cannot be written ({error.strerror})") from error


def _events(workings: Workings) -> Iterator[str]:
    """Yield every event, a JSON object each: a process for each device and each host."""
    timeline = workings.timeline
    name_texts = [json.dumps(shown(track_name)) for track_name in timeline.names]
    hosts = host_names(timeline)
    several_hosts = len(hosts) > 1
    process = len(timeline.devices)
    track_by_thread: dict[tuple[str, int], tuple[int, int]] = {}
    for host in hosts:
        yield _metadata_event("process_name", process, 0, f"/host:{host}")
        host_threads = [thread for thread in timeline.threads if thread.host == host]
        for index, thread in enumerate(host_threads):
            track_by_thread[host, index] = (process, index + 1)
            yield from _thread_events(thread, name_texts, process, index + 1)
        for workings_of_device in workings.devices:
            if workings_of_device.breakdown.kind == "cpu" and workings_of_device.host.name == host:
                yield from _breakdown_events(workings_of_device, process)
        process += 1
    for index, device in enumerate(timeline.devices):
        track_name = f"{device.name} of {device.host}" if several_hosts else device.name
        yield _metadata_event("process_name", index, 0, track_name)
        yield from _device_events(device, name_texts, index)
        device_workings = next(
            (
                workings_of_device
                for workings_of_device in workings.devices
                if (workings_of_device.breakdown.name, workings_of_device.host.name) == (device.name, device.host)
            ),
            None,
        )
        if device_workings is not None:
            yield from _breakdown_events(device_workings, index)
            yield from _launch_flows(device, device_workings, track_by_thread, index)


def _metadata_event(metadata_kind: str, process: int, thread: int, name: str) -> str:
    metadata = {"ph": "M", "name": metadata_kind, "pid": process, "tid": thread, "args": {"name": shown(name)}}
    return json.dumps(metadata, separators=(",", ":"))


def _us(ps: int) -> str:
    return f"{ps // PS_PER_US}.{ps % PS_PER_US:06d}"


def _thread_events(thread: Thread, name_texts: list[str], process: int, track: int) -> Iterator[str]:
    yield _metadata_event("thread_name", process, track, thread.name)
    events = thread.events
    no_value = np.full(len(events), UNKNOWN)
    step_numbers = thread.step if len(thread.step) == len(events) else no_value
    columns = (
        events.start_ps,
        events.duration_ps,
        events.name,
        events.correlation if len(events.correlation) else no_value,
        step_numbers,
    )
    for start, duration, name, correlation, step_number in zip(*(column.tolist() for column in columns), strict=True):
        event_args = []
        if correlation != NO_CORRELATION:
            event_args.append(f'"correlation":{correlation}')
        if step_number != UNKNOWN:
            event_args.append(f'"step_num":{step_number}')
        yield _complete_event(process, track, start, duration, name_texts[name], "cpu_op", ",".join(event_args))


def _device_events(device: Device, name_texts: list[str], process: int) -> Iterator[str]:
    for stream in np.unique(np.concatenate([device.kernels.stream, device.copies.stream])).tolist():
        yield _metadata_event("thread_name", process, stream + 1, f"Stream #{stream}")
    yield from _work_events(device.kernels, device.kernels.op.tolist(), name_texts, process, "kernel")
    yield from _work_events(device.copies, [UNKNOWN] * len(device.copies), name_texts, process, "gpu_memcpy")


def _work_events(
    work: Kernels | Copies, ops: list[int], name_texts: list[str], process: int, category: str
) -> Iterator[str]:
    columns = (work.start_ps, work.duration_ps, work.name, work.correlation, work.stream)
    for start, duration, name, correlation, stream, op in zip(
        *(column.tolist() for column in columns), ops, strict=True
    ):
        event_args = [f'"stream":{stream}']
        if correlation != NO_CORRELATION:
            event_args.append(f'"correlation":{correlation}')
        if op != UNKNOWN:
            event_args.append(f'"tf_op":{name_texts[op]}')
        yield _complete_event(process, stream + 1, start, duration, name_texts[name], category, ",".join(event_args))


def _breakdown_events(workings: DeviceWorkings, process: int) -> Iterator[str]:
    yield _metadata_event("thread_name", process, BREAKDOWN_TRACK, "step-time breakdown (gpuprobe)")
    for category in CPU_CATEGORIES if workings.breakdown.kind == "cpu" else GPU_CATEGORIES:
        category_intervals, event_args = (
            workings.parts[category],
            f'"meaning":{json.dumps(CATEGORIES[category].meaning)}',
        )
        for start, end in zip(category_intervals.start.tolist(), category_intervals.end.tolist(), strict=True):
            # Readers of traces do not take the category `overhead` for work of the device.
            yield _complete_event(process, BREAKDOWN_TRACK, start, end - start, f'"{category}"', "overhead", event_args)


def _launch_flows(
    device: Device, workings: DeviceWorkings, threads: dict[tuple[str, int], tuple[int, int]], process: int
) -> Iterator[str]:
    """Yield a flow arrow from each launch to its operation."""
    host = workings.host
    kernels_and_copies: tuple[Kernels | Copies, ...] = (device.kernels, device.copies)
    for work_kind, work in enumerate(kernels_and_copies):
        call_of_work = called_by(host, work.correlation)
        for work_index in np.flatnonzero(call_of_work != NO_CALL).tolist():
            call = int(call_of_work[work_index])
            caller_process, thread = threads[host.name, int(host.calls.thread[call])]
            flow = f'"cat":"launch","name":"launch","id":"{process}.{work_kind}.{work_index}"'
            call_ps, start = int(host.calls.start_ps[call]), int(work.start_ps[work_index])
            yield f'{{"ph":"s",{flow},"pid":{caller_process},"tid":{thread},"ts":{_us(call_ps)}}}'
            stream = int(work.stream[work_index])
            yield f'{{"ph":"f","bp":"e",{flow},"pid":{process},"tid":{stream + 1},"ts":{_us(start)}}}'


def _complete_event(process: int, thread: int, start: int, duration: int, name: str, category: str, args: str) -> str:
    return (
        f'{{"ph":"X","cat":"{category}","name":{name},"pid":{process},"tid":{thread},"ts":{_us(start)},'
        f'"dur":{_us(duration)},"args":{{{args}}}}}'
    )
