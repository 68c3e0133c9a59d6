"""The errors that a user sees as a single line, each with its exit code."""

from __future__ import annotations

import re

# Lines of TensorFlow's and Keras's messages that say nothing of the error, and are left out.
_PREAMBLE = re.compile(
    r"Graph execution error:|Detected at node|<stack traces unavailable>|Exception encountered when calling|File \""
)
# A line of at least `_BROKEN_FROM` letters may continue on the next one; a message longer than `_LONGEST` is cut.
_BROKEN_FROM, _LONGEST = 30, 300
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


# Exit codes without an error class. 70 is EX_SOFTWARE of sysexits.h; the last two are what a shell gives for SIGINT and
# SIGPIPE.
FAILED, UNEXPECTED, INTERRUPTED, NOBODY_READS = 1, 70, 130, 141


class GpuprobeError(Exception):
    """Something the user can act on: the message says what happened, where, and what to do.

    Exit codes (the documented contract of the command line): 0 done; 1 the work was done but found a failure (a run
    failed, a check failed); 2 wrong usage; 3 unreadable or invalid input; 4 output cannot be written; 5 a part of the
    environment is missing, or memory is short; 70 an error of gpuprobe's own; 130 interrupted; 141 the reader of the
    output has gone. `gpuprobe watch` passes on the exit code of the command it watched.
    """

    exit_code = FAILED


class UsageError(GpuprobeError):
    """The request itself is wrong: an unknown name, options that exclude each other."""

    exit_code = 2


class InputError(GpuprobeError):
    """A named file cannot be read or does not hold what it should."""

    exit_code = 3


class OutputError(GpuprobeError):
    """A result cannot be written: no permission, no space left, or a folder that is already in use."""

    exit_code = 4


class MissingError(GpuprobeError):
    """Something that this command needs is not installed or not found."""

    exit_code = 5


def in_short(error: BaseException) -> str:
    """Return an error of another library as one line: its type, and the first line of its message.

    A sentence that continues on the next lines is kept whole; a very long one, such as a model's config, is cut.
    """
    lines = [line.strip() for line in _COLOUR.sub("", str(error)).splitlines() if line.strip()]
    if lines and lines[0].startswith("in user code:"):
        # AutoGraph: the calls, then the error.
        lines = lines[-1:]
    telling = [line for line in lines if not _PREAMBLE.match(line)] or lines
    if not telling:
        return type(error).__name__
    words = telling[0]
    for line in telling[1:]:
        if len(words) < _BROKEN_FROM or words.endswith((".", ":", "!", "?")) or not line[0].islower():
            break
        words += f" {line}"
    if len(words) > _LONGEST:
        words = words[:_LONGEST].rpartition(" ")[0] + " ..."
    return f"{type(error).__name__}: {words}"
