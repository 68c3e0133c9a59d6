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

# Longer logs are cut, because they repeat the same lines.
LOG_BYTES = 200_000

Observer = Callable[[int], AbstractContextManager[object]]


@dataclass(frozen=True)
class Answer:
    """A child's answer: its facts, how each stage ended, how the child died if it did (`died`), and its log."""

    found: dict[str, Any]
    stages: dict[str, str]
    died: str
    log: str

    def missing(self, package: str) -> str | None:
        """Return why the package did not import, None where it did."""
        import_state = self.stages.get("import", "")
        if f"No module named '{package}'" in import_state:
            return NOT_INSTALLED
        return (
            None if import_state == "ok" else self.died or import_state or "the process that imports it printed nothing"
        )


def ask_probe(
    module: str,
    *probe_arguments: str,
    limit_s: float,
    environ: Mapping[str, str],
    observed: Observer = contextlib.nullcontext,
) -> Answer:
    """Return a probe module's answer, given at most `limit_s` seconds, within the context manager `observed(pid)`."""
    with tempfile.TemporaryFile() as log:
        environ = {"PYTHONUNBUFFERED": "1", **environ}
        probe = child.start(module, *probe_arguments, environ=environ, stdout=subprocess.PIPE, stderr=log)
        assert probe.stdout is not None
        timed_out: list[bool] = []
        timer = Timer(limit_s, _end_probe, (probe, timed_out))
        timer.start()
        try:
            with observed(probe.pid):
                probe_facts, stages = _read_probe(probe.stdout)
                exit_code = probe.wait()
        finally:
            timer.cancel()
            child.end(probe)
        log.seek(0)
        probe_log = log.read(LOG_BYTES).decode(errors="replace")
    return Answer(probe_facts, stages, _how_it_died(exit_code, stages, limit_s if timed_out else None), probe_log)


def _read_probe(lines: IO[bytes]) -> tuple[dict[str, Any], dict[str, str]]:
    probe_facts: dict[str, Any] = {}
    stages: dict[str, str] = {}
    for probe_line in lines:
        try:
            message = json.loads(probe_line)
        except ValueError:
            # Output of the framework or a plug-in.
            continue
        if not isinstance(message, dict):
            continue
        if "stage" in message:
            stages[message["stage"]] = message["state"]
        else:
            probe_facts |= message
    return probe_facts, stages


def _how_it_died(exit_code: int, stages: dict[str, str], limit_s: float | None) -> str:
    stage = next((stage_name for stage_name, state in reversed(stages.items()) if state == "begun"), "start")
    if limit_s is not None:
        return f"stage {stage} had not ended after {limit_s:.0f} s"
    if exit_code < 0:
        return f"stage {stage} was ended by {signal.Signals(-exit_code).name}"
    return f"stage {stage} ended the process with exit code {exit_code}" if exit_code else ""


def _end_probe(probe: subprocess.Popen[bytes], timed_out: list[bool]) -> None:
    timed_out.append(True)
    child.end_session(probe.pid)
