"""Answers to grade: what `gpuprobe diagnose --json` says of a recording."""

from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path
from typing import Any

from gpuprobe.cli.diagnose import command
from gpuprobe.errors import GpuprobeError
from tests.lab.grade import Answer


def from_command(recording: Path) -> Answer:
    """Give the command, without starting a process for it, a recording; one that it refuses has no answer."""
    said = io.StringIO()
    try:
        with contextlib.redirect_stdout(said):
            command.main([str(recording), "--json"], standalone_mode=False)
    except GpuprobeError:
        return Answer(None)
    return from_json(json.loads(said.getvalue()))


def from_json(said: dict[str, Any]) -> Answer:
    """Take the primary finding, and the gains predicted by name where there are any."""
    first = next((finding for finding in said["findings"] if finding["primary"]), {"cause": None})
    # To say that the time cannot be attributed is to say that one cannot tell.
    primary = None if first["cause"] == "unattributed" else first["cause"]
    gains = {name: gain["ratio"] for name, gain in said.get("what_if", {}).items()}
    return Answer(primary, gains, first.get("stage"), sure=first.get("confidence") == "high")
