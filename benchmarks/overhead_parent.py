"""What the parent of a study does while a run goes on, until killed: reads its events, draws the live view.

python benchmarks/overhead_parent.py STUDY      started by overhead.py; prints a line once it is up
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from rich.console import Console

from gpuprobe.cli._live import LiveView
from gpuprobe.measure.event_log import EventReader
from gpuprobe.measure.live_runs import POLL_EVERY_S
from gpuprobe.measure.run_in_progress import RunInProgress
from gpuprobe.recording import run_folder
from gpuprobe.records import RunSpec, StrategyInfo
from gpuprobe.simulate import recordings


def main(study: Path) -> None:
    spec = RunSpec(strategy="numpy", round=1, seed=0, batch_size=32)
    # The view needs a study's record; only its list of strategies is shown.
    shown = StrategyInfo(name="numpy", sentence="Batches cut by Python.", against=None, change="")
    machine = recordings.environment([])
    record = recordings.study_record("overhead", machine, [shown], rounds=1, batch_size=32, command="gpuprobe run")
    reader, progress = EventReader(run_folder(study, 1, "numpy")), RunInProgress(spec)
    with Path(os.devnull).open("w") as nowhere:
        console = Console(file=nowhere, force_terminal=True, width=120)
        with LiveView(console, record, study, lambda: "") as view:
            view.run_started(spec, 0, 1)
            # The live view takes over what is printed.
            print("up", file=sys.__stdout__, flush=True)
            while True:
                for event in reader.new():
                    progress.take(event)
                view.run_progress(progress)
                time.sleep(POLL_EVERY_S)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
