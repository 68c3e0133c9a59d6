"""The standard streams of the program: an odd encoding, a full disk or a closed pipe must not make it crash."""

from __future__ import annotations

import io
import os
import sys
from typing import TYPE_CHECKING, Any, TextIO

from gpuprobe.errors import NOBODY_READS, GpuprobeError, OutputError
from gpuprobe.foreign import shown, visible_json

if TYPE_CHECKING:
    from collections.abc import Callable

STDOUT, STDERR = 1, 2


class ReaderGoneError(GpuprobeError):
    """The reader of stdout (head, less) has closed the pipe: the program ends without a message."""

    exit_code = NOBODY_READS


class _RawStdout(io.FileIO):
    """The raw stdout: the first failing write raises, and later output is dropped."""

    _failed = False

    def write(self, data: Any) -> int | None:  # type: ignore[override]
        if self._failed:
            return len(data)
        try:
            return super().write(data)
        except BrokenPipeError as error:
            self._failed = True
            raise ReaderGoneError("nobody reads the output any more") from error
        except OSError as error:
            self._failed = True
            raise OutputError(f"standard output: cannot be written ({error.strerror})") from error


class _RawStderr(io.FileIO):
    """The raw stderr: output that cannot be written is dropped; the work goes on and the exit code stays the same."""

    def write(self, data: Any) -> int | None:  # type: ignore[override]
        try:
            return super().write(data)
        except OSError:
            return len(data)


def guard_streams() -> None:
    """Replace the standard streams: unencodable characters are replaced, and failing writes become exit codes.

    A stream that was closed before the start is opened on /dev/null, so that no later file gets its descriptor.
    """
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= STDERR:
        pass
    os.close(descriptor)
    if sys.stdout is sys.__stdout__:
        sys.stdout = _stream(sys.stdout, _RawStdout, STDOUT)
    if sys.stderr is sys.__stderr__:
        sys.stderr = _stream(sys.stderr, _RawStderr, STDERR)


def say(text: str) -> None:
    """Print a line on stderr: progress and errors."""
    print(shown(text), file=sys.stderr, flush=True)


def echo(text: str) -> None:
    """Print plain text on stdout."""
    print(shown(text), flush=True)


def echo_json(encoded: bytes) -> None:
    """Print a JSON document in UTF-8, whatever the terminal's encoding."""
    encoded = visible_json(encoded)
    buffer = getattr(sys.stdout, "buffer", None)
    if buffer is None:
        # In a Python session stdout takes any text.
        sys.stdout.write(encoded.decode())
        return
    sys.stdout.flush()
    buffer.write(encoded)
    buffer.flush()


def _stream(original: TextIO | None, raw_stream: Callable[..., io.FileIO], descriptor: int) -> TextIO:
    unbuffered = (
        descriptor == STDERR or getattr(original, "line_buffering", False) or getattr(original, "write_through", False)
    )
    return io.TextIOWrapper(
        io.BufferedWriter(raw_stream(descriptor, "w", closefd=False)),
        encoding=original.encoding if original is not None else "utf-8",
        errors="replace",
        line_buffering=unbuffered,
    )
