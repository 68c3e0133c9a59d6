"""Asks a framework in a child process, since its import may crash or hang."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from threading import Timer
from typing import IO, Any

from gpuprobe import child
from gpuprobe.doctor.check import NOT_INSTALLED

# Longer logs are cut: they repeat the same lines.
LOG_BYTES = 200_000

Observer = Callable[[int], AbstractContextManager[object]]


@dataclass(frozen=True)
class Answer:
    """A child's answer: its facts, how each stage ended, how the child ended if too early, and its log."""

    found: dict[str, Any]
    stages: dict[str, str]
    died: str
    log: str

    def missing(self, package: str) -> str | None:
        """Return why the package did not import, None where it did."""
        state = self.stages.get("import", "")
        if f"No module named '{package}'" in state:
            return NOT_INSTALLED
        return None if state == "ok" else self.died or state or "the process that imports it said nothing"


def listen(
    module: str,
    *words: str,
    limit_s: float,
    environ: Mapping[str, str],
    observed: Observer = contextlib.nullcontext,
) -> Answer:
    """Return a probe module's answer, given at most `limit_s` seconds, within the context manager `observed(pid)`."""
    with tempfile.TemporaryFile() as log:
        environ = {"PYTHONUNBUFFERED": "1", **environ}
        probe = child.start(module, *words, environ=environ, stdout=subprocess.PIPE, stderr=log)
        assert probe.stdout is not None
        too_late: list[bool] = []
        timer = Timer(limit_s, _end, (probe, too_late))
        timer.start()
        try:
            with observed(probe.pid):
                found, stages = _read(probe.stdout)
                code = probe.wait()
        finally:
            timer.cancel()
            child.end(probe)
        log.seek(0)
        text = log.read(LOG_BYTES).decode(errors="replace")
    return Answer(found, stages, _died(code, stages, limit_s if too_late else None), text)


def _read(lines: IO[bytes]) -> tuple[dict[str, Any], dict[str, str]]:
    found: dict[str, Any] = {}
    stages: dict[str, str] = {}
    for line in lines:
        try:
            message = json.loads(line)
        except ValueError:
            # Output of the framework or a plug-in.
            continue
        if not isinstance(message, dict):
            continue
        if "stage" in message:
            stages[message["stage"]] = message["state"]
        else:
            found |= message
    return found, stages


def _died(code: int, stages: dict[str, str], limit_s: float | None) -> str:
    stage = next((name for name, state in reversed(stages.items()) if state == "begun"), "start")
    if limit_s is not None:
        return f"stage {stage} had not ended after {limit_s:.0f} s"
    if code < 0:
        return f"stage {stage} was ended by {signal.Signals(-code).name}"
    return f"stage {stage} ended the process with exit code {code}" if code else ""


def _end(probe: subprocess.Popen[bytes], too_late: list[bool]) -> None:
    too_late.append(True)
    child.end_session(probe.pid)
