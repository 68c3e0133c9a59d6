"""Asks TensorFlow in a child process: its import can crash or hang, and must not take the doctor with it."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import tempfile
from collections.abc import Callable
from contextlib import AbstractContextManager
from threading import Timer
from typing import IO, Any

import msgspec

from gpuprobe import child
from gpuprobe.doctor.facts import TensorflowFacts

# A log that is longer than this holds the same lines again.
LOG_BYTES = 200_000


Observer = Callable[[int], AbstractContextManager[object]]


def ask(limit_s: float, observed: Observer = contextlib.nullcontext) -> TensorflowFacts:
    """Return what TensorFlow says within `limit_s` seconds; `observed` is entered with the child's pid around it."""
    # What it logs below warnings names the libraries that it could not load.
    environ = {"TF_CPP_MIN_LOG_LEVEL": "0", "PYTHONUNBUFFERED": "1"}
    with tempfile.TemporaryFile() as log:
        probe = child.start("gpuprobe.doctor.probe", environ=environ, stdout=subprocess.PIPE, stderr=log)
        assert probe.stdout is not None
        too_late: list[bool] = []
        timer = Timer(limit_s, _end, (probe, too_late))
        timer.start()
        try:
            with observed(probe.pid):
                found, stages = _listen(probe.stdout)
                code = probe.wait()
        finally:
            timer.cancel()
            child.end(probe)
        log.seek(0)
        text = log.read(LOG_BYTES).decode(errors="replace")
    return _facts(found, stages, _died(code, stages, limit_s if too_late else None), text)


def _listen(lines: IO[bytes]) -> tuple[dict[str, Any], dict[str, str]]:
    found: dict[str, Any] = {}
    stages: dict[str, str] = {}
    for line in lines:
        try:
            said = json.loads(line)
        except ValueError:
            # Something that TensorFlow or a plug-in printed.
            continue
        if not isinstance(said, dict):
            continue
        if "stage" in said:
            stages[said["stage"]] = said["state"]
        else:
            found |= said
    return found, stages


def _facts(found: dict[str, Any], stages: dict[str, str], died: str, log: str) -> TensorflowFacts:
    state = stages.get("import", "")
    missing = None
    if "No module named 'tensorflow'" in state:
        missing = "it is not installed"
    elif state != "ok":
        missing = died or state or "the process that imports it said nothing"
    facts = msgspec.convert(found, TensorflowFacts)
    return msgspec.structs.replace(facts, missing=missing, stages=stages, died=died, log=log)


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
