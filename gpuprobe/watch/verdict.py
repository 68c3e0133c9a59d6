"""The result of a watch in words: its verdict, its figures, and what telemetry cannot show."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpuprobe import wording
from gpuprobe.diagnosis.case import Case
from gpuprobe.diagnosis.diagnose import diagnose
from gpuprobe.diagnosis.records import Finding, NotEvaluated
from gpuprobe.evidence.readings.signals import Seen, ended_ns, see
from gpuprobe.records import Evidence, Record
from gpuprobe.thresholds import fixed
from gpuprobe.watch import figures, inside

if TYPE_CHECKING:
    from gpuprobe.evidence.readings.signals import GpuSeen
    from gpuprobe.records import Watch
    from gpuprobe.telemetry import Telemetry

# States of a whole GPU (see telemetry.states).
GONE_STATES = {"gpu_lost", "driver_reset", "vanished", "driver_hung"}
UNKNOWN_OF_HOST = (
    "what the command waited for, and in which function it was",
    "the time of a step, and how much of it goes to input",
)
UNKNOWN_FILL = "how well the kernels fill the GPU: NVML counts a moment as busy if one kernel runs"
UNKNOWN_OF_GPU = (
    "which call the host was in while the GPU idled (input, launches, waiting for a result)",
    UNKNOWN_FILL,
    "the time of a step, and how much of it goes to copies",
)


class Judged(Record, frozen=True, kw_only=True):
    """The findings on one device, `GPU 0` or `CPU`, the primary one first, and the rules not evaluated."""

    device: str
    findings: tuple[Finding, ...]
    not_evaluated: tuple[NotEvaluated, ...]


class Verdict(Record, frozen=True, kw_only=True):
    """The result of a watch in words. `lines` are (label, figures) pairs; `unknown` is what telemetry cannot show.

    `code` is the change that `next` advises, as a diff, empty where there is none.
    """

    where: str
    verdict: str
    why: str
    next: str
    code: str = ""
    lines: tuple[tuple[str, str], ...]
    judged: tuple[Judged, ...]
    notes: tuple[str, ...]
    unknown: tuple[str, ...]


def judge(recording: Telemetry, watch: Watch, no_trace: str = "") -> tuple[Seen, Verdict]:
    """Return the evidence of a watch, and the findings from it.

    `no_trace` is why a requested trace is missing.
    """
    watch_evidence = see(recording, watch)
    used_gpus = _gpus_to_judge(watch_evidence)
    devices = [(f"GPU {gpu.index}", gpu.evidence) for gpu in used_gpus] or [("CPU", watch_evidence.host)]
    judged_devices = tuple(_judged_device(device, evidence, no_trace) for device, evidence in devices)
    verdict, why, next_action = _verdict_words(watch_evidence, judged_devices[0])
    return watch_evidence, Verdict(
        where=_command_and_machine(watch_evidence, watch),
        verdict=verdict,
        why=why,
        next=next_action,
        lines=(
            *figures.labelled_figures(watch_evidence),
            *inside.labelled_figures(recording, watch.started_ns, ended_ns(recording, watch)),
        ),
        judged=judged_devices,
        notes=tuple(_notes(watch_evidence, watch, used_gpus)),
        unknown=_unknown_figures(recording) if watch_evidence.gpus else UNKNOWN_OF_HOST,
    )


def _unknown_figures(recording: Telemetry) -> tuple[str, ...]:
    fill_known = inside.reports_fill(recording)
    return tuple(
        unknown_figure for unknown_figure in UNKNOWN_OF_GPU if not (fill_known and unknown_figure == UNKNOWN_FILL)
    )


def _judged_device(device: str, evidence: Evidence, no_trace: str) -> Judged:
    diagnosis = diagnose(Case(readings=evidence, no_trace=no_trace))
    return Judged(device=device, findings=diagnosis.findings, not_evaluated=diagnosis.not_evaluated)


def _gpus_to_judge(watch_evidence: Seen) -> list[GpuSeen]:
    """Return the GPUs to diagnose: those that were used, the busiest first; if none was, the first GPU."""
    measured_gpus = [gpu for gpu in watch_evidence.gpus if gpu.evidence.number("utilization_percent") is not None]
    busy_gpus = sorted((gpu for gpu in measured_gpus if gpu.busy_s), key=lambda gpu: -gpu.busy_s)
    return busy_gpus or measured_gpus[:1]


def _verdict_words(watch_evidence: Seen, judged: Judged) -> tuple[str, str, str]:
    if watch_evidence.duration_s < fixed.WATCH_TOO_SHORT_S:
        ran_s = wording.significant(watch_evidence.duration_s, 2)
        return f"Too short to judge: it ran for {ran_s} s.", "", "Watch it for a minute of steady work."
    primary = next(finding for finding in judged.findings if finding.primary)
    if primary.cause == "unattributed" and not primary.evidence:
        return "No verdict: the recording holds too little.", "", ""
    lost_gpus = _lost_gpus(watch_evidence)
    claim = f"{judged.device}: {primary.claim}" if len(watch_evidence.gpus) > 1 else primary.claim
    if lost_gpus:
        lost_words = f"{wording.listing(lost_gpus)} went away while the command ran: the figures end there."
        return lost_words, claim, "sudo dmesg | grep -i xid names the fault; check the card's power and cooling."
    stage = f" ({primary.stage.replace('_', ' ')})" if primary.stage else ""
    titles = {"compute_bound": f"{judged.device} was kept busy", "unattributed": "No cause that telemetry can name"}
    title = titles.get(
        primary.cause, primary.cause.replace("_", " ").capitalize() + f"{stage}, as far as telemetry can tell"
    )
    return f"{title} (confidence {primary.confidence}).", claim, primary.fix


def _command_and_machine(watch_evidence: Seen, watch: Watch) -> str:
    ran_for = f"ran for {figures.duration(watch_evidence.duration_s)}"
    if watch_evidence.gpus:
        gpu_names = [
            f"GPU {gpu.index} {gpu.name}" if gpu.name != f"GPU {gpu.index}" else gpu.name for gpu in watch_evidence.gpus
        ]
        return f"It {ran_for}; {wording.listing(gpu_names)}."
    no_gpu_reason = _no_gpu_reason(watch_evidence, watch)
    about_processor = "what follows is about the processor and says nothing about a GPU"
    return f"It {ran_for}. No GPU was sampled ({no_gpu_reason}): {about_processor}."


def _no_gpu_reason(watch_evidence: Seen, watch: Watch) -> str:
    if watch.environment and watch.environment.no_gpu:
        return watch.environment.no_gpu
    return watch_evidence.said[0] if watch_evidence.said else "the recording holds none"


def _notes(watch_evidence: Seen, watch: Watch, used_gpus: list[GpuSeen]) -> list[str]:
    notes = list(watch.notes)
    if watch.ended_ns is None:
        notes.append("gpuprobe watch ended before the command did: how the command ended is not known")
    if watch_evidence.gpus and not used_gpus:
        notes.append("No GPU reported its utilization: the verdict is about the processor alone")
    elif watch_evidence.gpus and not any(gpu.busy_s for gpu in watch_evidence.gpus):
        notes.append("No GPU was busy at any time")
    unused_gpus = [f"GPU {gpu.index}" for gpu in watch_evidence.gpus if gpu not in used_gpus]
    if unused_gpus and used_gpus:
        notes.append(f"Not used: {wording.listing(unused_gpus)}")
    return [
        *notes,
        *_device_notices(watch_evidence.said, None if watch_evidence.gpus else _no_gpu_reason(watch_evidence, watch)),
    ]


def _device_notices(notices: tuple[str, ...], no_gpu: str | None) -> list[str]:
    """Return the notices about a whole GPU or the driver, without those about single fields or missing GPUs."""
    return [notice for notice in notices if not _is_field_notice(notice) and not (no_gpu and no_gpu in notice)]


def not_offered(notices: tuple[str, ...]) -> list[str]:
    """Return each field with a notice on why it was not read, with the GPUs concerned unless it is all."""
    devices_by_field: dict[str, set[str]] = {}
    for device, _, field_name in (
        notice.partition(":")[0].partition(".") for notice in notices if _is_field_notice(notice)
    ):
        devices_by_field.setdefault(field_name, set()).add(device)
    all_gpus = {device for devices in devices_by_field.values() for device in devices if device.startswith("gpu")}
    return [
        field_name
        if len(devices) == len(all_gpus) or not devices <= all_gpus
        else f"{field_name} ({', '.join(sorted(devices))})"
        for field_name, devices in sorted(devices_by_field.items())
    ]


def _lost_gpus(watch_evidence: Seen) -> list[str]:
    """Return the GPUs that went away and did not come back."""
    last_states = {}
    for notice in watch_evidence.said:
        device, _, state_and_message = notice.partition(": ")
        last_states[device] = state_and_message.partition(":")[0]
    return [f"GPU {gpu.index}" for gpu in watch_evidence.gpus if last_states.get(f"gpu{gpu.index}") in GONE_STATES]


def _is_field_notice(notice: str) -> bool:
    return "." in notice.partition(":")[0]
