"""Reads logs: finds out which kind a file is, and hands it to its reader (`query`, `dmon`).

Source of the names and units: `nvidia-smi --help-query-gpu`, `nvidia-smi dmon -h` and `dcgmi dmon -l`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from gpuprobe.errors import InputError
from gpuprobe.foreign import visible
from gpuprobe.logs.dmon import read_dmon
from gpuprobe.logs.query import read_query
from gpuprobe.logs.refused import refusal
from gpuprobe.telemetry.recording import Telemetry, read

if TYPE_CHECKING:
    from pathlib import Path


# Bytes that no text holds, and those with which JSON begins.
BINARY = re.compile("[\x00-\x08\x0e-\x1a\x1c-\x1f]")
JSON = re.compile(r"\{|\[\s*[\[{\]\"]")


def read_any(path: Path, columns: str = "") -> Telemetry:
    """Read a recording of gpuprobe or a log of nvidia-smi or dcgmi. Raises InputError, with the line, for other files.

    `columns` are those of a log without a header, as given to `--query-gpu`.
    """
    try:
        with path.open("rb") as file:
            head = file.read(4096)
            content = head + file.read()
    except OSError as error:
        raise InputError(f"{path}: cannot be read as telemetry ({error.strerror})") from error
    if head.startswith(b"t_ns,"):
        return read(path)
    log_text = visible(_decoded(content).replace("\0", "").replace("\r\n", "\n").replace("\r", "\n"))
    numbered_lines = [
        (line_number, line.strip(" \r"))
        for line_number, line in enumerate(log_text.splitlines(), 1)
        if line.strip(" \t\0,;")
    ]
    if not numbered_lines:
        raise InputError(f"{path}: is empty; it should hold telemetry of gpuprobe or a log of nvidia-smi")
    reason = refusal(numbered_lines) if not columns else None
    if reason:
        raise InputError(f"{path}: {reason}")
    last_line_whole = log_text.endswith(("\n", "\r"))
    if numbered_lines[0][1].startswith("#"):
        return read_dmon(path, numbered_lines)
    return read_query(path, numbered_lines, columns, last_line_whole=last_line_whole)


def is_log(path: Path) -> bool:
    """Return whether a file may be a log, by its first bytes: text, and no JSON."""
    try:
        with path.open("rb") as file:
            head = file.read(1024)
    except OSError:
        return False
    head_text = _decoded(head).lstrip()
    return bool(head_text) and not BINARY.search(head_text) and not JSON.match(head_text)


def _decoded(content: bytes) -> str:
    """Decode the text: Windows PowerShell redirects output as UTF-16."""
    utf16 = content.startswith((b"\xff\xfe", b"\xfe\xff"))
    return content.decode("utf-16" if utf16 else "utf-8-sig", errors="replace")
