"""What a proof on a GPU found so far, where it is kept, and how its stages start processes within their time."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gpu_page import page

from gpuprobe.backends.known import environment

HERE = Path(__file__).parent
RESULT, PAGE, WORK = "gpu.json", "gpu.html", "work"
# How long a process may take to end once it is interrupted, where it has nothing to write.
GRACE_S = 1.0


@dataclass(frozen=True)
class Answer:
    """What a process printed, up to where it was stopped, and its exit code; None where it took too long."""

    out: str
    code: int | None


@dataclass
class Proof:
    """What was found so far, by stage, and when the stage that runs has to end."""

    out: Path
    backend: str
    ends_s: float
    found: dict[str, Any] = field(default_factory=dict)

    @property
    def left_s(self) -> float:
        return self.ends_s - time.monotonic()

    def is_done(self, stage: str) -> bool:
        return bool(self.found.get(stage, {}).get("done"))

    @property
    def work(self) -> Path:
        return self.out / WORK

    @property
    def environ(self) -> dict[str, str]:
        return {**os.environ, **environment(self.backend)}

    def keep(self, stage: str, value: Any) -> None:
        """Write it where a stop cannot lose it."""
        self.found[stage] = value
        new = self.out / f"{RESULT}.new"
        new.write_text(json.dumps(self.found, indent=1) + "\n")
        new.replace(self.out / RESULT)
        (self.out / PAGE).write_text(page(self.found))

    def python(self, *words: object, limit_s: float | None = None, grace_s: float = GRACE_S) -> Answer:
        """Run Python under the backend, at most to the end of the stage.

        It is interrupted `grace_s` before that, to write what it has, and then killed.
        """
        limit_s = max(1.0, min(limit_s or self.left_s, self.left_s) - grace_s)
        command = [sys.executable, *map(str, words)]
        running = subprocess.Popen(command, env=self.environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        try:
            out, err = running.communicate(timeout=limit_s)
        except subprocess.TimeoutExpired:
            running.send_signal(signal.SIGINT)
            with suppress(subprocess.TimeoutExpired):
                running.communicate(timeout=grace_s)
            running.kill()
            return Answer(running.communicate()[0], None)
        if running.returncode and err.strip():
            # It may name the host: printed, it does not come into the result.
            print(f"  {err.strip().splitlines()[-1]}", flush=True)
        return Answer(out, running.returncode)

    def load(self, seconds: float) -> subprocess.Popen[bytes]:
        """Start a process that keeps the card busy for so long."""
        command = [sys.executable, str(HERE / "gpu_flaws.py"), "load", str(seconds)]
        return subprocess.Popen(command, env=self.environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
