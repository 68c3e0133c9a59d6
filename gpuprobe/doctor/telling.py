"""How a child process of the doctor reports its results: a line of JSON as each stage begins, and as it ends."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


def stage(name: str, work: Callable[[], Any]) -> Any:
    """Run a stage and return its result, None where it raises; the error is reported, and the next stages still run."""
    say(stage=name, state="begun")
    try:
        facts = work()
    except Exception as error:  # noqa: BLE001 - whatever a framework raises is what this process is here to tell
        words = " ".join(str(error).split())
        say(stage=name, state=f"{type(error).__name__}: {words[:400]}")
        return None
    say(stage=name, state="ok")
    return facts


def say(**facts: object) -> None:
    """Print facts as one line, unbuffered."""
    sys.stdout.write(json.dumps(facts) + "\n")
    sys.stdout.flush()
