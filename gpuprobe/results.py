"""The results for Python sessions and notebooks: a study, and a diagnosis. Neither needs TensorFlow or a GPU."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING

from gpuprobe.diagnosis.diagnose import diagnose as judge
from gpuprobe.diagnosis.recorded import recorded
from gpuprobe.diagnosis.records import Diagnosis
from gpuprobe.ranking.load import Loaded
from gpuprobe.ranking.load import load as read
from gpuprobe.recording import PAGE_FILE
from gpuprobe.report import inline

if TYPE_CHECKING:
    from os import PathLike


class Result(Loaded):
    """A study: its `ranking` (rows, findings, failures, skipped), `runs` and `telemetry`; it displays as its answer."""

    def __repr__(self) -> str:
        return f"{inline.study_text(self)}\n{self.report}"

    def _repr_markdown_(self) -> str:
        return f"{inline.study_markdown(self)}\n\nReport: `{self.report}`"

    def _repr_html_(self) -> str:
        from gpuprobe.report import notebook

        return notebook.study_html(self)

    @property
    def report(self) -> Path:
        """The path of the report's page, which exists once the study was reported."""
        return self.folder / PAGE_FILE


class Diagnosed(Diagnosis, frozen=True, kw_only=True):
    """A diagnosis: `primary`, `findings` and the breakdown of each of `devices`; it displays as its answer."""

    def __repr__(self) -> str:
        return inline.diagnosis_text(self)

    def _repr_markdown_(self) -> str:
        return inline.diagnosis_markdown(self)

    def _repr_html_(self) -> str:
        from gpuprobe.report import notebook

        return notebook.diagnosis_html(self)


def result(loaded: Loaded) -> Result:
    """Return a loaded study as a `Result`."""
    return Result(**{field.name: getattr(loaded, field.name) for field in fields(loaded)})


def load(study: str | PathLike[str]) -> Result:
    """Read a study's folder, such as `reports/STUDY`, and rank it. Raises InputError where it is no study."""
    return result(read(Path(study)))


def diagnose(
    path: str | PathLike[str], telemetry: str | PathLike[str] | None = None, *, what_if: bool | None = None
) -> Diagnosed:
    """Say where the time of a step went, and why, as `gpuprobe diagnose` does.

    `path` is a log folder, a run, one `.xplane.pb`, a `.trace.json.gz`, or the readings of a GPU as CSV; `telemetry`
    are readings of the same time. With `what_if` the trace is replayed with each change; by default only a short trace
    is (at most 20,000 kernels and copies). Where a job has several traces that are large together, several processes
    read them. Raises InputError where nothing can be read.
    """
    readings = None if telemetry is None else Path(telemetry)
    made = judge(recorded(Path(path), readings, apart=True, what_if=what_if))
    return Diagnosed(**{name: getattr(made, name) for name in made.__struct_fields__})
