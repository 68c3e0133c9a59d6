"""The verdict at the end of a watched training: its figures, and the diagnosis of its recording."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpuprobe import wording
from gpuprobe.diagnosis.records import Finding, NotEvaluated
from gpuprobe.records import SCHEMA, Record, Signal

if TYPE_CHECKING:
    from pathlib import Path

    from gpuprobe.diagnosis.case import Case
    from gpuprobe.diagnosis.records import Diagnosis
    from gpuprobe.records import Run

VERDICT_FILE = "verdict.json"
# The unit of the rate where the samples of a step are unknown, and the note that says what helps.
STEPS_UNIT = "steps/s"
NO_BATCH_SIZE = "The batch size is unknown. With Probe(batch_size=...) the verdict also counts samples."
# So many findings are printed; `verdict.json` holds them all.
MOST_PRINTED = 3


class Verdict(Record, frozen=True, kw_only=True):
    """The verdict on a watched training: figures, findings, and rules not evaluated; saved as `verdict.json`.

    `traced` is whether the findings come from a trace, `no_trace` why there is none, and `whole_run` one sentence on
    where most of the training's wall time went.
    """

    schema: int = SCHEMA
    signals: tuple[Signal, ...]
    findings: tuple[Finding, ...]
    not_evaluated: tuple[NotEvaluated, ...]
    traced: bool = False
    no_trace: str = ""
    whole_run: str = ""

    def lines(self) -> list[str]:
        """Return the printed lines: the verdict, the reasons, and what to do next."""
        signal_by_name = {signal.name: signal for signal in self.signals}
        rate_signal, gpu_signal = signal_by_name["samples_per_s"], signal_by_name["gpu_utilization"]
        rate_words, gpu_words = str(rate_signal.missing), f"no GPU ({gpu_signal.missing})"
        if rate_signal.value:
            rate_words = f"{wording.significant(float(rate_signal.value))} {rate_signal.unit}"
        if gpu_signal.value is not None:
            gpu_words = f"GPU {wording.share(float(gpu_signal.value))} by NVML"
        lines = [f"Verdict  {rate_words}; {gpu_words}.{self._cause()}"]
        lines += [f"Why      {finding.claim}" for finding in self.findings[:MOST_PRINTED]]
        lines += [f"Run      {self.whole_run}."] if self.whole_run else []
        lines += [f"No trace {self.no_trace}."] if self.no_trace else []
        lines += [f"Note     {NO_BATCH_SIZE}"] if rate_signal.value and rate_signal.unit == STEPS_UNIT else []
        return lines + [f"Next     {finding.fix} {_predicted_gain(finding)}".rstrip() for finding in self.findings[:1]]

    def _cause(self) -> str:
        leading = next(iter(self.findings), None)
        if leading is None or (leading.cause == "unattributed" and not self.traced):
            return ""
        evidence_words = "By the trace" if self.traced else "Without a trace"
        evidence_words = "By the clock over the whole run" if leading.of == "run" else evidence_words
        tie_words = f", which ties with {leading.ties_with}" if leading.ties_with else ""
        return f" {evidence_words}: {leading.cause} (confidence {leading.confidence}){tie_words}."


def _predicted_gain(finding: Finding) -> str:
    # Imported here: it is needed only at the end of a training.
    from gpuprobe.report.findings import promised

    return promised(finding)


def diagnosis_of(folder: Path, *, trace: bool) -> tuple[Diagnosis, Case]:
    """Diagnose a saved recording, with its trace if `trace`; return the evidence (`Case`) too.

    Raises InputError where the trace cannot be read.
    """
    # Imported here: the rules are needed only at the end of a training.
    from gpuprobe.diagnosis.diagnose import diagnose
    from gpuprobe.diagnosis.recorded import recorded

    case = recorded(folder, trace=trace)
    return diagnose(case), case


def verdict(run: Run, no_gpu: str, diagnosis: Diagnosis | None) -> Verdict:
    """Return the verdict on a watched training; without a `diagnosis` it has figures only.

    `no_gpu` is why no GPU can be used, empty where one can.
    """
    # Imported here, as above.
    from gpuprobe.diagnosis.whole_run import in_short

    signals = (_rate(run), _utilization(diagnosis, no_gpu), _outside(run))
    no_trace = run.trace.missing if run.trace and run.trace.missing else ""
    if diagnosis is None:
        return Verdict(signals=signals, findings=(), not_evaluated=(), no_trace=no_trace)
    return Verdict(
        signals=signals,
        findings=diagnosis.findings,
        not_evaluated=diagnosis.not_evaluated,
        traced=bool(diagnosis.devices),
        no_trace=no_trace,
        whole_run=in_short(diagnosis.whole_run) if diagnosis.whole_run else "",
    )


def _rate(run: Run) -> Signal:
    window, name = run.phase("window"), "samples_per_s"
    steps_per_s = window.steps_per_s if window else None
    if window is None or steps_per_s is None:
        return Signal(name=name, unit="samples/s", source="clock", missing="too few steps for a rate")
    unit, samples_per_step = ("samples/s", run.spec.batch_size) if run.spec.batch_size else (STEPS_UNIT, 1)
    return Signal(
        name=name, unit=unit, source="clock", value=samples_per_step * steps_per_s, n=len(window.call_ends_ns)
    )


def _utilization(diagnosis: Diagnosis | None, no_gpu: str) -> Signal:
    readings = diagnosis.telemetry if diagnosis else ()
    percent = next((signal.value for signal in readings if signal.name == "utilization_percent"), None)
    gpu_share = percent / 100 if isinstance(percent, float) else None
    missing = None if gpu_share is not None else no_gpu or "its utilization was not read"
    return Signal(name="gpu_utilization", unit="1", source="NVML", value=gpu_share, missing=missing)


def _outside(run: Run) -> Signal:
    outside_fraction = run.outside_fraction
    missing = None if outside_fraction is not None else "no epoch was long enough for a timed window"
    return Signal(
        name="outside_fraction",
        unit="1",
        source="clock around the train function",
        value=outside_fraction,
        missing=missing,
    )
