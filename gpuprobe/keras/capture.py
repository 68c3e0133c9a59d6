"""Takes a trace of a running job: through TensorFlow's profiler server, or by a signal to a Probe."""

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
from gpuprobe.keras.grpc_check import refusal
from gpuprobe.keras.listening import listeners, listens

if TYPE_CHECKING:
    from pathlib import Path

# The signal that asks a Probe for a trace. TensorFlow does not use it; batch systems send SIGUSR1.
TRACE_SIGNAL = signal.SIGUSR2
# Time allowed beyond the trace itself: for importing TensorFlow, and for a job slow to send its trace.
CLIENT_WAIT_S = 120.0
# What TensorFlow's client prints where the server had no events.
NO_EVENTS = "No trace event was collected"
NO_TRACE = (
    "sent no trace, as when no step runs; is it a profiler server, and was the job training just then? "
    "--time 10s traces for longer"
)
# A traced step takes tens of kilobytes; a smaller file holds plane names and no events.
EMPTY_BYTES = 1024
JOB_GONE = "the job ended, or its machine could not be reached any more, before the trace was there"


def from_server(host: str, port: int, seconds: float, folder: Path) -> list[Path]:
    """Trace a job that called `tf.profiler.experimental.server.start(port)`; return the traces that were written.

    Raises UsageError for a bad host, MissingError where no profiler server answers, OutputError where the folder cannot
    be written, GpuprobeError where the trace is empty.
    """
    _check_server(host, port)
    _check_writable(folder)
    earlier_traces = set(_traces(folder))
    try:
        _trace(host, port, seconds, folder)
    except GpuprobeError:
        _remove_empty(folder)
        raise
    new_traces = [path for path in _traces(folder) if path not in earlier_traces]
    if all(path.stat().st_size < EMPTY_BYTES for path in new_traces):
        for path in new_traces:
            path.unlink()
        _remove_empty(folder)
        raise GpuprobeError(f"{host}:{port}: {NO_TRACE if _answers(host, port) else JOB_GONE}")
    return new_traces


def _trace(host: str, port: int, seconds: float, folder: Path) -> None:
    """Have TensorFlow's client write a trace into the folder. Raises GpuprobeError where the client fails."""
    if find_spec("tensorflow") is None:
        raise MissingError("the package tensorflow is not installed: pip install tensorflow")
    limit_s = seconds + CLIENT_WAIT_S
    # TensorFlow's start-up logs say nothing about the trace.
    quiet_environment = {"TF_CPP_MIN_LOG_LEVEL": os.environ.get("TF_CPP_MIN_LOG_LEVEL", "2")}
    client_arguments = (f"grpc://{host}:{port}", folder, int(1000 * seconds))
    client_answer = child.ask(
        "gpuprobe.keras.profiler_client", *client_arguments, limit_s=limit_s, environ=quiet_environment
    )
    if client_answer.code is None:
        raise GpuprobeError(f"{host}:{port}: no trace came within {limit_s:.0f} s; is it a profiler server?")
    output = client_answer.out.decode(errors="replace")
    if client_answer.code:
        output = (
            client_answer.err.decode(errors="replace").strip().splitlines() or ["TensorFlow's client ended early"]
        )[-1]
    if output and NO_EVENTS not in output:
        raise GpuprobeError(f"{host}:{port}: no trace was taken ({output})")


def from_process(pid: int) -> None:
    """Ask the Probe in a local process for a trace, which goes into that Probe's recording.

    Raises InputError where there is no such process, UsageError where it has no Probe that listens: without one the
    signal would kill the process.
    """
    try:
        if not listens(pid):
            raise UsageError(f"--pid {pid}: no Probe watches this process; {_what_to_do_instead()}")
        os.kill(pid, TRACE_SIGNAL)
    except (FileNotFoundError, ProcessLookupError) as error:
        raise InputError(f"--pid {pid}: there is no such process on this machine") from error
    except PermissionError as error:
        raise InputError(f"--pid {pid}: belongs to another user") from error


def _what_to_do_instead() -> str:
    """Name the processes that can be asked, or how to start one that can."""
    pids = listeners()
    if pids:
        return "a Probe listens in " + " and ".join(f"--pid {pid}" for pid in pids)
    return "add gpuprobe.keras.Probe(), or use watch --trace"


def _check_server(host: str, port: int) -> None:
    """Raise unless a gRPC server answers: the profiler's client waits minutes, and does not say whether one did.

    Raises UsageError for a bad host, MissingError where no such server answers.
    """
    if not host or set(host) & set(":/[] "):
        # The client refuses addresses with a colon, so all of IPv6.
        raise UsageError(
            f"--host {host!r}: must be a name or an IPv4 address; TensorFlow's profiler takes no IPv6 address: give "
            "the machine's name instead"
        )
    try:
        refused = refusal(host, port)
    except (socket.gaierror, UnicodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "no valid name"
        raise MissingError(f"--host {host}: the host name cannot be resolved ({reason}); check the name") from error
    except OSError as error:
        raise MissingError(
            f"{host}:{port}: nothing answers ({error.strerror or error}); the job has to call "
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


def _check_writable(folder: Path) -> None:
    """Raise OutputError unless the folder can be written: the client would report only that there were no events."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise OutputError(f"{folder}: cannot be written ({error.strerror}); name another with --out") from error


def _remove_empty(folder: Path) -> None:
    """Remove the empty folders that the profiler made, and the folder itself if it is empty."""
    for path in sorted([folder, *folder.glob("plugins/**/")], reverse=True):
        with suppress(OSError):
            path.rmdir()


def _traces(folder: Path) -> list[Path]:
    return sorted(folder.glob("plugins/profile/*/*.xplane.pb"))
