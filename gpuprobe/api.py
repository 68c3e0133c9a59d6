"""`gpuprobe.run`: a study from Python, as `gpuprobe run` does it from the command line."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from msgspec.structs import replace

from gpuprobe.errors import UsageError
from gpuprobe.measure import folder
from gpuprobe.measure.begin import ReadyStudy, begin
from gpuprobe.measure.begin import resume as take_up
from gpuprobe.measure.budget import DEFAULT_ROUNDS, DEFAULT_S
from gpuprobe.measure.study import carry_out
from gpuprobe.records import Request, Run, RunSpec
from gpuprobe.report.write import write
from gpuprobe.results import Result, result
from gpuprobe.search.next_run import by_predicted_gain, next_combination
from gpuprobe.stepview.beside import write_pages
from gpuprobe.strategies.scaling import chosen_of
from gpuprobe.workloads.resolve import model_named

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gpuprobe.measure.run_in_progress import RunInProgress
    from gpuprobe.workloads.workload import Workload

# The depth and the batch size of the default workload, ResNet20 on CIFAR-10.
DEFAULT_DEPTH, DEFAULT_BATCH = 20, 32


def run(
    workload: Workload | str | None = None,
    strategies: str | Sequence[str] = "",
    *,
    backend: str | None = None,
    out: str | Path = "reports",
    devices: Sequence[int] = (),
    weak: bool = False,
    rounds: int = DEFAULT_ROUNDS,
    budget_s: float = DEFAULT_S,
    steps: int | None = None,
    batch_size: int | None = None,
    seed: int = 0,
    trace: bool = True,
    resume: str | Path | None = None,
) -> Result:
    """Train a workload under each strategy, write the report, and return the study, which displays as its answer.

    `strategies` defaults to all. Keras trains with `backend` (`tensorflow`, `jax`, `torch`); `all` compares the
    installed backends under one strategy, by default on plain arrays. `workload` is a `Workload`, or a value of
    `gpuprobe run --model`. Every run is a fresh process, to which a `Workload` is pickled, with classes and functions
    of the script by value, so the script needs no `if __name__ == "__main__"`. A tf.data dataset cannot be pickled:
    give the function that makes it. `devices`, such as (1, 2, 4), compares numbers of devices instead of `strategies`;
    the devices share each batch, or with `weak` each has a whole one. `resume`, instead of a workload, is the folder of
    an interrupted study, which keeps its own options. Raises GpuprobeError where nothing can be trained; failed runs
    are in the result's `ranking.failures`, strategies that cannot apply in `ranking.skipped`.
    """
    if (workload is None) == (resume is None):
        raise UsageError("gpuprobe.run takes either a workload or resume=..., the folder of a study to finish")
    if resume is not None:
        return _carried_out(take_up(Path(resume)))
    asked = Request(
        rounds=rounds,
        budget_s=budget_s,
        batch_size=batch_size or 0,
        seed=seed,
        steps=steps,
        trace_steps=4 if trace else 0,
        devices=tuple(devices),
        weak=weak,
    )
    names = strategies if isinstance(strategies, str) else ",".join(strategies)
    return _carried_out(_begun(asked, workload, names, backend, Path(out)))


def _begun(
    asked: Request, workload: Workload | str | None, strategies: str, backend: str | None, out: Path
) -> ReadyStudy:
    """Begin the study of a request, to which the workload and the backend are still to be added."""
    chosen, trains_with = chosen_of(asked.devices, backend, strategies or None, weak=asked.weak, option="strategies")
    own = None if isinstance(workload, str) else workload
    depth, target = model_named(workload, "workload") if isinstance(workload, str) else (None, "")
    request = replace(
        asked,
        batch_size=asked.batch_size or (DEFAULT_BATCH if depth else 0),
        depth=depth or DEFAULT_DEPTH,
        model=target,
        backend=trains_with,
    )
    return begin(request, chosen, out, "gpuprobe.run(...)", own)


def _carried_out(begun: ReadyStudy) -> Result:
    with folder.locked(begun.folder):
        carry_out(begun.study, begun.folder, begun.arrays, _Silent(), next_combination, by_predicted_gain)
        write_pages(begun.folder)
        return result(write(begun.folder))


class _Silent:
    """An observer that prints nothing: the caller gets the result."""

    def run_started(self, spec: RunSpec, index: int, total: int) -> None:
        """Say nothing."""

    def run_progress(self, progress: RunInProgress) -> None:
        """Say nothing."""

    def run_finished(self, run: Run) -> None:
        """Say nothing."""
