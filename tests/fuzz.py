"""Damages logs and traces, and has the real program diagnose each in a process of its own, with little memory and time.

    python -m tests.fuzz COUNT [SEED] [FILE...]

None may end it by a crash, hang, exit with another code than 0 (diagnosed) and 3 (unreadable), take more than 2 GiB, or
print a figure that is no number. The damaged files are made of FILE..., or of files of every kind that is read, written
by the simulator. What fails is kept, and named.
"""

from __future__ import annotations

import json
import os
import random
import re
import resource
import signal
import sys
import tempfile
import traceback
from dataclasses import dataclass
from pathlib import Path

import numpy as np

# A process is forked for each case, from one that has imported what all of them need.
os.environ["OPENBLAS_NUM_THREADS"] = "1"

from gpuprobe.cli import _app, _diagnosis, diagnose
from gpuprobe.diagnosis import diagnose as diagnosing
from gpuprobe.diagnosis import recorded
from gpuprobe.evidence.readings import window
from gpuprobe.foreign import UNSEEN
from gpuprobe.whatif import predict
from tests.helpers.damaging import damaged
from tests.helpers.diagnosed_files import files
from tests.helpers.figures import check_figures

IMPORTED = (_diagnosis, diagnose, diagnosing, recorded, window, predict, np)
MEMORY_BYTES = 2 * 2**30
# Seconds of the processor, whatever else the machine does, and of the clock, for what waits for something.
CPU_S, WALL_S = 60, 300
DIAGNOSED, UNREADABLE = 0, 3
CRASHED = 99
NO_NUMBER = re.compile(r"(?<![\w.'-])-?(inf|nan|Infinity|NaN)(?![\w-])")


@dataclass(frozen=True)
class Ended:
    """How the program ended, by its exit code or minus the signal's number, and what it printed."""

    code: int
    out: str
    err: str


def main(words: list[str]) -> int:
    """Run the cases; return the exit code: 1 where one failed."""
    count, seed = int(words[0]), int(words[1]) if len(words) > 1 else 0
    with tempfile.TemporaryDirectory(prefix="fuzz-") as made:
        sources = [Path(word) for word in words[2:]] or files(Path(made))
        kept = Path(tempfile.mkdtemp(prefix="fuzz-failed-"))
        outcomes = [_case(number, seed, sources, kept) for number in range(count)]
    for code in sorted(set(outcomes)):
        sys.stdout.write(f"exit {code}: {outcomes.count(code)} of {count}\n")
    if not any(kept.iterdir()):
        kept.rmdir()
    return int(any(code not in {DIAGNOSED, UNREADABLE} for code in outcomes))


def _case(number: int, seed: int, sources: list[Path], kept: Path) -> int:
    """Damage one file and have it diagnosed; tell of a failure, and return the exit code, -1 for wrong words."""
    chance = random.Random(f"{seed}/{number}")
    source = sources[number % len(sources)]
    folder = kept / str(number)
    folder.mkdir()
    path = folder / source.name
    path.write_bytes(damaged(source.name, source.read_bytes(), chance))
    options = ["--json"] if chance.random() < 0.3 else []
    ended = run(["diagnose", str(path), *options], folder)
    wrong = what_is_wrong(ended, path, json_asked=bool(options))
    if not wrong:
        path.unlink()
        folder.rmdir()
        return ended.code
    sys.stdout.write(f"case {number} of seed {seed}, {path}: {wrong}\n")
    return ended.code if ended.code not in {DIAGNOSED, UNREADABLE} else -1


def what_is_wrong(ended: Ended, path: Path, *, json_asked: bool) -> str:
    """Say what is wrong with how it ended, in a line; nothing where all is well."""
    if ended.code not in {DIAGNOSED, UNREADABLE}:
        return f"exit {ended.code}: {ended.err[-2000:]}"
    if UNSEEN.search(ended.out + ended.err):
        return "prints what cannot be seen, or steers a terminal"
    if "Warning" in ended.err:
        return f"warns: {ended.err[:500]}"
    if ended.code == UNREADABLE:
        one = ended.err.startswith("gpuprobe: ") and str(path) in ended.err and ended.err.count("\n") == 1
        return "" if one and not ended.out else f"is no one line on the file: {ended.out[:200]}{ended.err[:500]}"
    if found := NO_NUMBER.search(ended.out):
        return f"prints what is no number: {ended.out[max(0, found.start() - 80) : found.end() + 20]!r}"
    if json_asked:
        try:
            check_figures(json.loads(ended.out))
        except AssertionError as error:
            return f"prints figures that cannot be: {error}"
    return "" if ended.out else "prints nothing"


def run(words: list[str], folder: Path) -> Ended:
    """Run the program within the limits, in a process of its own."""
    names = [folder / "stdout", folder / "stderr"]
    sys.stdout.flush()
    child = os.fork()
    if not child:
        _become(words, names)
    ended = signal.sigtimedwait([signal.SIGCHLD], WALL_S)
    if ended is None:
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    told = [name.read_bytes().decode(errors="replace") for name in names]
    for name in names:
        name.unlink()
    return Ended(os.waitstatus_to_exitcode(status), *told)


def _become(words: list[str], names: list[Path]) -> None:
    """Be the program in this forked process, to its end."""
    code: object = CRASHED
    try:
        for number, name in enumerate(names, 1):
            os.dup2(os.open(name, os.O_CREAT | os.O_WRONLY | os.O_TRUNC), number)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGCHLD])
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
        resource.setrlimit(resource.RLIMIT_CPU, (CPU_S, CPU_S + 5))
        sys.argv = ["gpuprobe", *words]
        _app.main()
        code = 0
    except SystemExit as end:
        code = end.code or 0
    except BaseException:  # noqa: BLE001
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code if isinstance(code, int) else CRASHED)


if __name__ == "__main__":
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGCHLD])
    sys.exit(main(sys.argv[1:]))
