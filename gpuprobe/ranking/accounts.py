"""The accounts of a study's traces: where the step of each strategy went."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpuprobe.errors import InputError
from gpuprobe.ledger.account import account_of
from gpuprobe.recording import TRACE_FOLDER
from gpuprobe.traces.read import read

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from gpuprobe.ledger.records import Account
    from gpuprobe.records import Run


def accounts(runs: Mapping[Path, Run]) -> tuple[dict[Path, Account], tuple[str, ...]]:
    """Account for the trace of each strategy's last traced run, by run folder; notes say which could not be read."""
    last = {run.spec.strategy: path for path, run in runs.items() if run.trace is not None and run.trace.path}
    found: dict[Path, Account] = {}
    notes = []
    for strategy, path in last.items():
        try:
            found[path] = account_of(read(path / TRACE_FOLDER))
        except InputError as error:
            notes.append(f"The trace of {strategy} does not count: {error}.")
    return found, tuple(notes)
