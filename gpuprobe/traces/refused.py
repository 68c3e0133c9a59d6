"""Recognises files of other programs that users take for a trace, and says what to record instead."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

RECORD = "trace a few steps with gpuprobe watch --trace, or with the profiler of TensorFlow, JAX or PyTorch"


@dataclass(frozen=True)
class Foreign:
    """Files of one other program: how their names end, the bytes that they begin with (empty: none), what they are."""

    endings: tuple[str, ...]
    begins: bytes
    words: str


FOREIGN = (
    Foreign((".nsys-rep", ".qdrep"), b"", f"is a report of Nsight Systems, which is not read; {RECORD}"),
    Foreign((".ncu-rep",), b"", f"is a report of Nsight Compute on single kernels, which is not read; {RECORD}"),
    # Nsight Systems exports to SQLite. Source of the header: https://www.sqlite.org/fileformat.html
    Foreign(
        (".sqlite",), b"SQLite format 3\0", f"is a database, as Nsight Systems exports it, and is not read; {RECORD}"
    ),
    Foreign((".pftrace", ".perfetto-trace"), b"", f"is a binary trace of Perfetto, which is not read; {RECORD}"),
    Foreign((".zip", ".tar", ".tar.gz", ".tgz"), b"PK\x03\x04", "is an archive; unpack it and name the folder"),
    # Protocols 2 and later begin so. Source: the reference of Python's pickletools.
    Foreign((".pickle", ".pkl"), b"\x80", f"is a pickle, as PyTorch's memory snapshots are, and no trace; {RECORD}"),
)


def refusal(file: Path, start: bytes) -> str | None:
    """Return what a file is, and what to do instead, by its name or its first bytes; None where no program is known."""
    return next(
        (
            foreign.words
            for foreign in FOREIGN
            if file.name.endswith(foreign.endings) or (foreign.begins and start.startswith(foreign.begins))
        ),
        None,
    )
