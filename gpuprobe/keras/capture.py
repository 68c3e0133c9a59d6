"""Takes a trace from a job that is running already: through TensorFlow's profiler server, or by the Probe's signal."""

from __future__ import annotations

import os
import signal
import socket
import sys
import tempfile
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from gpuprobe.errors import GpuprobeError, InputError, MissingError, OutputError, UsageError
from gpuprobe.keras.listening import listeners, listens

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# What asks a Probe for a trace. TensorFlow leaves it alone, and so do the batch systems, which send SIGUSR1.
SIGNAL = signal.SIGUSR2
CONNECT_S = 5.0
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
    # What TensorFlow logs as it starts says nothing about the trace.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    import tensorflow as tf

    service, before = f"grpc://{host}:{port}", set(_traces(folder))
    try:
        with _quiet_client():
            tf.profiler.experimental.client.trace(service, str(folder), int(1000 * seconds), num_tracing_attempts=1)
    except (tf.errors.OpError, RuntimeError) as error:
        if NO_EVENTS not in str(error):
            raise GpuprobeError(f"{host}:{port}: no trace was taken ({_first(error)})") from error
    written = [path for path in _traces(folder) if path not in before]
    if all(path.stat().st_size < EMPTY_BYTES for path in written):
        for path in written:
            path.unlink()
        _remove_empty(folder)
        raise GpuprobeError(f"{host}:{port}: {WITHOUT if _answers(host, port) else GONE}")
    return written


@contextmanager
def _quiet_client() -> Iterator[None]:
    """Keep what TensorFlow's client prints, advice on an option of its own among it, out of our output."""
    sys.stdout.flush()
    ours, away = os.dup(1), os.open(os.devnull, os.O_WRONLY)
    os.dup2(away, 1)
    try:
        yield
    finally:
        os.dup2(ours, 1)
        os.close(ours)
        os.close(away)


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
        socket.create_connection((host, port), CONNECT_S).close()
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


def _answers(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), CONNECT_S).close()
    except OSError:
        return False
    return True


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


def _first(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
