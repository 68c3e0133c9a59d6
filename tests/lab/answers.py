"""Answers to grade: what `gpuprobe diagnose --json` says of a recording."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from lab.grade import Answer


def from_command(recording: Path) -> Answer:
    """Ask the command; a recording that it cannot read, or names no primary cause for, has no answer."""
    command = [sys.executable, "-m", "gpuprobe.cli", "diagnose", str(recording), "--json"]
    telemetry = recording / "telemetry.csv"
    command += ["--telemetry", str(telemetry)] if telemetry.exists() else []
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    if done.returncode == 2:
        raise SystemExit(f"gpuprobe diagnose does not take what the lab asks: {done.stderr.strip()}")
    return from_json(json.loads(done.stdout)) if done.returncode in {0, 1} and done.stdout else Answer(None)


def from_json(said: dict[str, Any]) -> Answer:
    """Take the primary finding, and the gains predicted by name where there are any."""
    primary = next((finding["cause"] for finding in said["findings"] if finding["primary"]), None)
    # To say that the time is not attributed is to say that one cannot tell.
    primary = None if primary == "unattributed" else primary
    return Answer(primary, {name: gain["ratio"] for name, gain in said.get("what_if", {}).items()})
