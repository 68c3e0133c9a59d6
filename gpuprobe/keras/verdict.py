"""The verdict at the end of a watched training: the one place where it is made.

It rests on the step times and the telemetry; where a trace was taken, its account leads.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpuprobe import telemetry, wording
from gpuprobe.diagnosis.records import Finding, NotEvaluated
from gpuprobe.errors import InputError
from gpuprobe.keras.traced import joined
from gpuprobe.recording import TELEMETRY_FILE
from gpuprobe.records import SCHEMA, Record, Run, Signal
from gpuprobe.thresholds import DEFAULTS as LIMITS

if TYPE_CHECKING:
    from pathlib import Path

    from gpuprobe.diagnosis.records import Diagnosis

FILE = "verdict.json"
# The unit of the rate where nobody could see how many samples a step has, and what helps.
STEPS = "steps/s"
UNCOUNTED = "The size of a batch could not be seen; with it, as in Probe(batch_size=...), samples are counted too."
# The first reasons are said; the recording holds them all.
MOST_SAID = 3


class Verdict(Record, frozen=True, kw_only=True):
    """What a watched training says: its figures, what was found, and what could not be told; `verdict.json`.

    `traced` tells that the findings are those of a trace, the primary one first; `no_trace` why there is none.
    """

    schema: int = SCHEMA
    signals: tuple[Signal, ...]
    findings: tuple[Finding, ...]
    not_evaluated: tuple[NotEvaluated, ...]
    traced: bool = False
    no_trace: str = ""

    def lines(self) -> list[str]:
        """Say it: the verdict, why, and what to do next."""
        said = {signal.name: signal for signal in self.signals}
        rate, busy = said["samples_per_s"], said["gpu_utilization"]
        figures = f"{wording.significant(float(rate.value or 0))} {rate.unit}" if rate.value else str(rate.missing)
        meter = (
            f"GPU {wording.share(float(busy.value))} by NVML" if busy.value is not None else f"no GPU ({busy.missing})"
        )
        lines = [f"Verdict  {figures}; {meter}.{self._cause()}"]
        lines += [f"Why      {finding.claim}" for finding in self.findings[:MOST_SAID]]
        lines += [f"Why      Not known: {reason.reason}." for reason in self.not_evaluated if not self.findings]
        lines += [f"No trace {self.no_trace}."] if self.no_trace else []
        lines += [f"Note     {UNCOUNTED}"] if rate.value and rate.unit == STEPS else []
        return lines + [f"Next     {finding.fix}" for finding in self.findings[:1]]

    def _cause(self) -> str:
        if not self.traced:
            return ""
        first = self.findings[0]
        tie = f", which ties with {first.ties_with}" if first.ties_with else ""
        return f" By the trace: {first.cause} (confidence {first.confidence}){tie}."


def verdict(run: Run, folder: Path, outside_fraction: float | None, diagnosis: Diagnosis | None = None) -> Verdict:
    """Judge a watched training from its record, its telemetry and the diagnosis of its trace, where there is one.

    Never raises for what is missing: it is said.
    """
    summary = _summary(run, folder)
    outside = Signal(
        name="outside_fraction",
        unit="1",
        source="clock around the train function",
        value=outside_fraction,
        missing=None if outside_fraction is not None else "no epoch had steps enough for a timed window",
    )
    busy = summary.signal("utilization_percent", gpu=0) if summary else None
    core = summary.signal("cpu_busiest_core") if summary else None
    reason = (
        next((words for words in summary.said if "no GPU" in words), "none was sampled") if summary else "no window"
    )
    utilization = Signal(
        name="gpu_utilization",
        unit="1",
        source="NVML",
        value=busy.value / 100 if busy and isinstance(busy.value, float) else None,
        high=busy.high / 100 if busy and busy.high is not None else None,
        missing=None if busy and isinstance(busy.value, float) else reason.rpartition("no GPU: ")[2],
    )
    signals = (_rate(run), utilization, outside, *((core,) if core else ()))
    findings, undecided = _judge(outside, utilization, core)
    traced = joined(diagnosis, findings[0] if findings else None) if diagnosis else ()
    if diagnosis and traced:
        return Verdict(signals=signals, findings=traced, not_evaluated=diagnosis.not_evaluated, traced=True)
    no_trace = run.trace.missing if run.trace and run.trace.missing else ""
    return Verdict(signals=signals, findings=findings, not_evaluated=undecided, no_trace=no_trace)


def _judge(
    outside: Signal, utilization: Signal, core: Signal | None
) -> tuple[tuple[Finding, ...], tuple[NotEvaluated, ...]]:
    if not isinstance(outside.value, float):
        return (), (NotEvaluated(cause="host_between_steps", reason=str(outside.missing)),)
    if outside.value >= LIMITS.between_steps_share:
        return (_between_steps(outside, utilization),), ()
    if not isinstance(utilization.value, float):
        reason = "steps follow one another closely, and without a GPU only a trace tells input from compute"
        return (), (NotEvaluated(cause="compute_bound", reason=reason),)
    if (utilization.high or 1.0) >= LIMITS.underused:
        reason = "NVML sees kernels nearly all the time; whether they fill the GPU, a trace tells"
        return (), (NotEvaluated(cause="compute_bound", reason=reason),)
    one = isinstance(core, Signal) and isinstance(core.value, float) and core.value >= LIMITS.thread_pinned
    words = "one core is busy all the time: feeding or launching holds the GPU up" if one else "no core is full either"
    return (), (
        NotEvaluated(cause="launch_bound", reason=f"the GPU waits inside the step, and {words}; a trace tells"),
    )


def _between_steps(outside: Signal, utilization: Signal) -> Finding:
    share = float(outside.value or 0.0)
    return Finding(
        cause="host_between_steps",
        primary=True,
        severity=share,
        confidence="high" if share >= 2 * LIMITS.between_steps_share else "medium",
        claim=f"{wording.share(share)} of the time passes between the steps: callbacks, metrics, progress bar.",
        evidence=(outside, utilization),
        fix="Run several steps in one call, use verbose=2, and move what callbacks do to the end of an epoch.",
        code="model.compile(..., steps_per_execution=8)",
    )


def _rate(run: Run) -> Signal:
    window, name = run.phase("window"), "samples_per_s"
    pace = window.steps_per_s if window else None
    if window is None or pace is None:
        return Signal(name=name, unit="samples/s", source="clock", missing="too few steps for a rate")
    unit, batch = ("samples/s", run.spec.batch_size) if run.spec.batch_size else (STEPS, 1)
    return Signal(name=name, unit=unit, source="clock", value=batch * pace, n=len(window.call_ends_ns))


def _summary(run: Run, folder: Path) -> telemetry.TelemetrySummary | None:
    window = run.phase("window")
    if window is None:
        return None
    try:
        return telemetry.summarize(telemetry.read(folder / TELEMETRY_FILE), window.start_ns, window.end_ns)
    except InputError:
        return None
