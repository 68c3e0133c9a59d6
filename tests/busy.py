"""Run a command beside a program that takes one core in bursts, as the tests must bear it.

    python -m tests.busy -- make test
    python -m tests.busy --cores 4 --steady -- .venv/bin/python -m pytest tests/cli/test_run.py

A burst lasts 0.2 to 3 s at random, and so does the pause after it; `--steady` leaves out the pauses. The exit code is
the command's. Pytest collects nothing here.
"""

from __future__ import annotations

import argparse
import multiprocessing
import random
import subprocess
import sys
import time

SHORTEST_S, LONGEST_S = 0.2, 3.0


def bursts(seed: int, *, steady: bool) -> None:
    """Take one core in bursts, until killed."""
    lengths = random.Random(seed)
    while True:
        end = time.monotonic() + lengths.uniform(SHORTEST_S, LONGEST_S)
        while time.monotonic() < end:
            pass
        if not steady:
            time.sleep(lengths.uniform(SHORTEST_S, LONGEST_S))


def main() -> int:
    """Run the command, and return its exit code as a shell gives it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cores", type=int, default=1, help="how many programs take a core each")
    parser.add_argument("--steady", action="store_true", help="without pauses")
    parser.add_argument("--seed", type=int, default=0, help="another seed gives other bursts")
    parser.add_argument("command", nargs="+", help="after --, what runs beside them")
    asked = parser.parse_args()
    programs = [
        multiprocessing.Process(target=bursts, args=(asked.seed + place,), kwargs={"steady": asked.steady}, daemon=True)
        for place in range(asked.cores)
    ]
    for program in programs:
        program.start()
    start = time.monotonic()
    try:
        code = subprocess.run(asked.command, check=False).returncode
    finally:
        for program in programs:
            program.kill()
    sys.stderr.write(f"busy.py: {time.monotonic() - start:.0f} s beside {asked.cores} busy, exit code {code}\n")
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main())
