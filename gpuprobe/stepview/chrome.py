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
BREAKDOWN = 0
# Fast compression, since the text is long and repetitive.
LEVEL = 3
Named = Callable[[int], str]


def write_chrome(workings: Workings, path: Path) -> None:
    """Write the trace to a file, compressed where its name ends in `.gz`.

    Raises OutputError where it cannot be written; an old file is then as it was.
    """
    partial = path.with_name(path.name + ".partial")
    try:
        with gzip.open(partial, "wt", LEVEL) if path.suffix == GZIPPED else partial.open("w") as file:
            file.write('{"displayTimeUnit":"ms","traceEvents":[\n')
            for number, event in enumerate(_events(workings)):
                file.write(f",\n{event}" if number else event)
            file.write("\n]}\n")
        partial.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
        raise OutputError(f"{path}: cannot be written ({error.strerror})") from error


def _events(workings: Workings) -> Iterator[str]:
    """Yield every event, a JSON object each: a process for each device and each host."""
    timeline = workings.timeline
    texts = [json.dumps(shown(name)) for name in timeline.names]
    hosts = host_names(timeline)
    several = len(hosts) > 1
    process = len(timeline.devices)
    threads: dict[tuple[str, int], tuple[int, int]] = {}
    for host in hosts:
        yield _called("process_name", process, 0, f"/host:{host}")
        mine = [thread for thread in timeline.threads if thread.host == host]
        for index, thread in enumerate(mine):
            threads[host, index] = (process, index + 1)
            yield from _thread(thread, texts, process, index + 1)
        yield from (
            line for accounted in workings.devices if accounted.breakdown.kind == "cpu" and accounted.host.name == host
            for line in _breakdown(accounted, process)
        )  # fmt: skip
        process += 1
    for index, device in enumerate(timeline.devices):
        name = f"{device.name} of {device.host}" if several else device.name
        yield _called("process_name", index, 0, name)
        yield from _device(device, texts, index)
        own = next(
            (
                accounted
                for accounted in workings.devices
                if (accounted.breakdown.name, accounted.host.name) == (device.name, device.host)
            ),
            None,
        )
        if own is not None:
            yield from _breakdown(own, index)
            yield from _flows(device, own, threads, index)


def _called(what: str, process: int, thread: int, name: str) -> str:
    named = {"ph": "M", "name": what, "pid": process, "tid": thread, "args": {"name": shown(name)}}
    return json.dumps(named, separators=(",", ":"))


def _us(ps: int) -> str:
    return f"{ps // PS_PER_US}.{ps % PS_PER_US:06d}"


def _thread(thread: Thread, texts: list[str], process: int, number: int) -> Iterator[str]:
    yield _called("thread_name", process, number, thread.name)
    events = thread.events
    none = np.full(len(events), UNKNOWN)
    step = thread.step if len(thread.step) == len(events) else none
    columns = (
        events.start_ps,
        events.duration_ps,
        events.name,
        events.correlation if len(events.correlation) else none,
        step,
    )
    for start, duration, name, correlation, at in zip(*(column.tolist() for column in columns), strict=True):
        args = []
        if correlation != NO_CORRELATION:
            args.append(f'"correlation":{correlation}')
        if at != UNKNOWN:
            args.append(f'"step_num":{at}')
        yield _complete(process, number, start, duration, texts[name], "cpu_op", ",".join(args))


def _device(device: Device, texts: list[str], process: int) -> Iterator[str]:
    for stream in np.unique(np.concatenate([device.kernels.stream, device.copies.stream])).tolist():
        yield _called("thread_name", process, stream + 1, f"Stream #{stream}")
    yield from _work(device.kernels, device.kernels.op.tolist(), texts, process, "kernel")
    yield from _work(device.copies, [UNKNOWN] * len(device.copies), texts, process, "gpu_memcpy")


def _work(work: Kernels | Copies, ops: list[int], texts: list[str], process: int, category: str) -> Iterator[str]:
    columns = (work.start_ps, work.duration_ps, work.name, work.correlation, work.stream)
    for start, duration, name, correlation, stream, op in zip(
        *(column.tolist() for column in columns), ops, strict=True
    ):
        args = [f'"stream":{stream}']
        if correlation != NO_CORRELATION:
            args.append(f'"correlation":{correlation}')
        if op != UNKNOWN:
            args.append(f'"tf_op":{texts[op]}')
        yield _complete(process, stream + 1, start, duration, texts[name], category, ",".join(args))


def _breakdown(workings: DeviceWorkings, process: int) -> Iterator[str]:
    yield _called("thread_name", process, BREAKDOWN, "step-time breakdown (gpuprobe)")
    for category in CPU_CATEGORIES if workings.breakdown.kind == "cpu" else GPU_CATEGORIES:
        part, args = workings.parts[category], f'"meaning":{json.dumps(CATEGORIES[category].meaning)}'
        for start, end in zip(part.start.tolist(), part.end.tolist(), strict=True):
            # The category `overhead`, which readers do not take for work.
            yield _complete(process, BREAKDOWN, start, end - start, f'"{category}"', "overhead", args)


def _flows(
    device: Device, workings: DeviceWorkings, threads: dict[tuple[str, int], tuple[int, int]], process: int
) -> Iterator[str]:
    """Yield a flow arrow from each launch to its operation."""
    host = workings.host
    both: tuple[Kernels | Copies, ...] = (device.kernels, device.copies)
    for kind, work in enumerate(both):
        index = called_by(host, work.correlation)
        for number in np.flatnonzero(index != NO_CALL).tolist():
            call = int(index[number])
            by, thread = threads[host.name, int(host.calls.thread[call])]
            flow = f'"cat":"launch","name":"launch","id":"{process}.{kind}.{number}"'
            at, start = int(host.calls.start_ps[call]), int(work.start_ps[number])
            yield f'{{"ph":"s",{flow},"pid":{by},"tid":{thread},"ts":{_us(at)}}}'
            yield f'{{"ph":"f","bp":"e",{flow},"pid":{process},"tid":{int(work.stream[number]) + 1},"ts":{_us(start)}}}'


def _complete(process: int, thread: int, start: int, duration: int, name: str, category: str, args: str) -> str:
    return (
        f'{{"ph":"X","cat":"{category}","name":{name},"pid":{process},"tid":{thread},"ts":{_us(start)},'
        f'"dur":{_us(duration)},"args":{{{args}}}}}'
    )
