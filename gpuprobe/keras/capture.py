"""Takes a trace from a job that is running already: through TensorFlow's profiler server, or by the Probe's signal."""

from __future__ import annotations

import os
import signal
import socket
import tempfile
from contextlib import suppress
from importlib.util import find_spec
from typing import TYPE_CHECKING

from gpuprobe import child
from gpuprobe.errors import GpuprobeError, InputError, MissingError, OutputError, UsageError
from gpuprobe.keras.listening import listeners, listens
from gpuprobe.keras.reaching import refusal

if TYPE_CHECKING:
    from pathlib import Path

# What asks a Probe for a trace. TensorFlow leaves it alone, and so do the batch systems, which send SIGUSR1.
SIGNAL = signal.SIGUSR2
# For importing TensorFlow, and for a job that is slow to hand its trace out.
CLIENT_S = 120.0
# How TensorFlow's client says that the server had nothing to send.
NO_EVENTS = "No trace event was collected"
WITHOUT = (
    "answered without a trace, as where no step runs; is it a profiler server, and was it training just then? "
    "--time 10s waits for longer"
)
# A step leaves tens of kilobytes; a trace without an event names its planes and nothing else.
EMPTY_BYTES = 1024
GONE = "the job ended, or its machine could not be reached any more, before the trace was there"


def from_server(host: str, port: int, seconds: float, folder: Path) -> list[Path]:
    """Trace a job that called `tf.profiler.experimental.server.start(port)`; return the traces that were written.

    Raises UsageError where the host cannot be one, MissingError where nobody answers there, OutputError where the
    folder cannot be written, GpuprobeError where the trace is empty.
    """
    _reach(host, port)
    _writable(folder)
    before = set(_traces(folder))
    try:
        _trace(host, port, seconds, folder)
    except GpuprobeError:
        _remove_empty(folder)
        raise
    written = [path for path in _traces(folder) if path not in before]
    if all(path.stat().st_size < EMPTY_BYTES for path in written):
        for path in written:
            path.unlink()
        _remove_empty(folder)
        raise GpuprobeError(f"{host}:{port}: {WITHOUT if _answers(host, port) else GONE}")
    return written


def _trace(host: str, port: int, seconds: float, folder: Path) -> None:
    """Have TensorFlow's client write a trace into the folder. Raises GpuprobeError where it got an error for one."""
    if find_spec("tensorflow") is None:
        raise MissingError("the package tensorflow is not installed: pip install tensorflow")
    limit_s = seconds + CLIENT_S
    # What TensorFlow logs as it starts says nothing about the trace.
    quiet = {"TF_CPP_MIN_LOG_LEVEL": os.environ.get("TF_CPP_MIN_LOG_LEVEL", "2")}
    words = (f"grpc://{host}:{port}", folder, int(1000 * seconds))
    asked = child.ask("gpuprobe.keras.client", *words, limit_s=limit_s, environ=quiet)
    if asked.code is None:
        raise GpuprobeError(f"{host}:{port}: no trace came within {limit_s:.0f} s; is it a profiler server?")
    said = asked.out.decode(errors="replace")
    if asked.code:
        said = (asked.err.decode(errors="replace").strip().splitlines() or ["TensorFlow's client ended early"])[-1]
    if said and NO_EVENTS not in said:
        raise GpuprobeError(f"{host}:{port}: no trace was taken ({said})")


def from_process(pid: int) -> None:
    """Ask the Probe in a process of this machine for a trace, which goes into the recording that it keeps.

    Raises InputError where there is no such process, UsageError where none of its Probes listens: the signal would end
    it.
    """
    try:
        if not listens(pid):
            raise UsageError(f"--pid {pid}: is watched by no Probe; {_instead()}")
        os.kill(pid, SIGNAL)
    except (FileNotFoundError, ProcessLookupError) as error:
        raise InputError(f"--pid {pid}: there is no such process on this machine") from error
    except PermissionError as error:
        raise InputError(f"--pid {pid}: belongs to another user") from error


def _instead() -> str:
    """Name the processes that can be asked, or how to start one that can."""
    found = listeners()
    if found:
        return "one listens in " + " and ".join(f"--pid {pid}" for pid in found)
    return "add gpuprobe.keras.Probe(), or use watch --trace"


def _reach(host: str, port: int) -> None:
    """Try to connect: the profiler's client would wait long, and not say whether anybody is there."""
    if not host or set(host) & set(":/[] "):
        # The client itself refuses what has a colon, and so every IPv6 address.
        raise UsageError(
            f"--host {host!r}: has to be a name or an IPv4 address alone; TensorFlow's profiler takes no IPv6 address, "
            "for which the machine's name has to stand"
        )
    try:
        refused = refusal(host, port)
    except (socket.gaierror, UnicodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "no valid name"
        raise MissingError(
            f"--host {host}: no machine of that name is known here ({reason}); check the name"
        ) from error
    except OSError as error:
        raise MissingError(
            f"{host}:{port}: nobody answers ({error.strerror or error}); the job has to call "
            f"tf.profiler.experimental.server.start({port})"
        ) from error
    if refused:
        raise MissingError(
            f"{host}:{port}: {refused}; name the port at which the job called tf.profiler.experimental.server.start"
        )


def _answers(host: str, port: int) -> bool:
    try:
        return not refusal(host, port)
    except OSError:
        return False


def _writable(folder: Path) -> None:
    """Try to write there: the profiler's client would trace for nothing, and say that there was no event."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise OutputError(f"{folder}: cannot be written ({error.strerror}); name another with --out") from error


def _remove_empty(folder: Path) -> None:
    """Take away what the profiler made, and the folder itself, as far as nothing is in it."""
    for path in sorted([folder, *folder.glob("plugins/**/")], reverse=True):
        with suppress(OSError):
            path.rmdir()


def _traces(folder: Path) -> list[Path]:
    return sorted(folder.glob("plugins/profile/*/*.xplane.pb"))
