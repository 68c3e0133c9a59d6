"""Reports the results of a child process of the doctor: a line of JSON when a stage begins, and one when it ends."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


def stage(stage_name: str, run_stage: Callable[[], Any]) -> Any:
    """Run a stage and return its result, None where it raises; the error is reported, and the next stages still run."""
    say(stage=stage_name, state="begun")
    try:
        facts = run_stage()
    except Exception as error:  # noqa: BLE001 - this process exists to report whatever a framework raises
        error_text = " ".join(str(error).split())
        say(stage=stage_name, state=f"{type(error).__name__}: {error_text[:400]}")
        return None
    say(stage=stage_name, state="ok")
    return facts


def say(**facts: object) -> None:
    """Print facts as one line, unbuffered."""
    sys.stdout.write(json.dumps(facts) + "\n")
    sys.stdout.flush()
