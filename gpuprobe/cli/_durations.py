"""Durations as people type them on a command line."""

from __future__ import annotations

import re

from gpuprobe.errors import UsageError

UNITS_S = {"": 1.0, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}


def seconds(text: str, option: str) -> float:
    """Read `90`, `90s`, `5m`, `1.5h` as seconds. Raises UsageError where it is none of these or not above zero."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(s|m|min|h|)\s*", text)
    value = float(match[1]) * UNITS_S[match[2]] if match else 0.0
    if value <= 0:
        raise UsageError(f"{option}: {text!r} is no duration; write it as 90s, 5m or 1.5h")
    return value
