"""The program's standard streams: no encoding, full disk or closed pipe makes it crash."""

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


class _Out(io.FileIO):
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


class _Err(io.FileIO):
    """The raw stderr: output that cannot be written is dropped, without effect on work or exit code."""

    def write(self, data: Any) -> int | None:  # type: ignore[override]
        try:
            return super().write(data)
        except OSError:
            return len(data)


def guard() -> None:
    """Replace the standard streams: unencodable characters are replaced, and failing writes become exit codes.

    A stream that was closed before the start is opened on /dev/null, so that no later file gets its descriptor.
    """
    while (number := os.open(os.devnull, os.O_RDWR)) <= STDERR:
        pass
    os.close(number)
    if sys.stdout is sys.__stdout__:
        sys.stdout = _stream(sys.stdout, _Out, STDOUT)
    if sys.stderr is sys.__stderr__:
        sys.stderr = _stream(sys.stderr, _Err, STDERR)


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


def _stream(before: TextIO | None, raw: Callable[..., io.FileIO], number: int) -> TextIO:
    unbuffered = number == STDERR or getattr(before, "line_buffering", False) or getattr(before, "write_through", False)
    return io.TextIOWrapper(
        io.BufferedWriter(raw(number, "w", closefd=False)),
        encoding=before.encoding if before is not None else "utf-8",
        errors="replace",
        line_buffering=unbuffered,
    )
