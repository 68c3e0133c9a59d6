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
GONE = {"gpu_lost", "driver_reset", "vanished", "driver_hung"}
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
    """The words of a watch. `lines` are (label, figures) pairs; `unknown` is what telemetry cannot show.

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
    seen = see(recording, watch)
    used = _used(seen)
    devices = [(f"GPU {gpu.index}", gpu.evidence) for gpu in used] or [("CPU", seen.host)]
    judged = tuple(_judged(device, evidence, no_trace) for device, evidence in devices)
    verdict, why, following = _words(seen, judged[0])
    return seen, Verdict(
        where=_command_and_machine(seen, watch),
        verdict=verdict,
        why=why,
        next=following,
        lines=(*figures.lines(seen), *inside.lines(recording, watch.started_ns, ended_ns(recording, watch))),
        judged=judged,
        notes=tuple(_notes(seen, watch, used)),
        unknown=_unknown(recording) if seen.gpus else UNKNOWN_OF_HOST,
    )


def _unknown(recording: Telemetry) -> tuple[str, ...]:
    fill_known = inside.reports_fill(recording)
    return tuple(words for words in UNKNOWN_OF_GPU if not (fill_known and words == UNKNOWN_FILL))


def _judged(device: str, evidence: Evidence, no_trace: str) -> Judged:
    diagnosis = diagnose(Case(readings=evidence, no_trace=no_trace))
    return Judged(device=device, findings=diagnosis.findings, not_evaluated=diagnosis.not_evaluated)


def _used(seen: Seen) -> list[GpuSeen]:
    """Return the GPUs to diagnose: those that were used, the busiest first; if none was, the first GPU."""
    known = [gpu for gpu in seen.gpus if gpu.evidence.number("utilization_percent") is not None]
    busy = sorted((gpu for gpu in known if gpu.busy_s), key=lambda gpu: -gpu.busy_s)
    return busy or known[:1]


def _words(seen: Seen, judged: Judged) -> tuple[str, str, str]:
    if seen.duration_s < fixed.WATCH_TOO_SHORT_S:
        ran = wording.significant(seen.duration_s, 2)
        return f"Too short to judge: it ran for {ran} s.", "", "Watch it for a minute of steady work."
    main = next(finding for finding in judged.findings if finding.primary)
    if main.cause == "unattributed" and not main.evidence:
        return "No verdict: the recording holds too little.", "", ""
    lost = _lost(seen)
    claim = f"{judged.device}: {main.claim}" if len(seen.gpus) > 1 else main.claim
    if lost:
        gone = f"{wording.listing(lost)} went away while the command ran: the figures end there."
        return gone, claim, "sudo dmesg | grep -i xid names the fault; check the card's power and cooling."
    stage = f" ({main.stage.replace('_', ' ')})" if main.stage else ""
    titles = {"compute_bound": f"{judged.device} was kept busy", "unattributed": "No cause that telemetry can name"}
    title = titles.get(main.cause, main.cause.replace("_", " ").capitalize() + f"{stage}, as far as telemetry can tell")
    return f"{title} (confidence {main.confidence}).", claim, main.fix


def _command_and_machine(seen: Seen, watch: Watch) -> str:
    ran = f"ran for {figures.duration(seen.duration_s)}"
    if seen.gpus:
        names = [f"GPU {gpu.index} {gpu.name}" if gpu.name != f"GPU {gpu.index}" else gpu.name for gpu in seen.gpus]
        return f"It {ran}; {wording.listing(names)}."
    reason = _no_gpu(seen, watch)
    return f"It {ran}. No GPU was sampled ({reason}): what follows is about the processor and says nothing about a GPU."


def _no_gpu(seen: Seen, watch: Watch) -> str:
    if watch.environment and watch.environment.no_gpu:
        return watch.environment.no_gpu
    return seen.said[0] if seen.said else "the recording names none"


def _notes(seen: Seen, watch: Watch, used: list[GpuSeen]) -> list[str]:
    notes = list(watch.notes)
    if watch.ended_ns is None:
        notes.append("gpuprobe watch ended before the command did: how the command ended is not known")
    if seen.gpus and not used:
        notes.append("No GPU reported its utilization: the verdict is about the processor alone")
    elif seen.gpus and not any(gpu.busy_s for gpu in seen.gpus):
        notes.append("No GPU was busy at any time")
    others = [f"GPU {gpu.index}" for gpu in seen.gpus if gpu not in used]
    if others and used:
        notes.append(f"Not used: {wording.listing(others)}")
    return [*notes, *_device_notices(seen.said, None if seen.gpus else _no_gpu(seen, watch))]


def _device_notices(notices: tuple[str, ...], no_gpu: str | None) -> list[str]:
    """Return the notices about a whole GPU or the driver, without those about single fields or missing GPUs."""
    return [words for words in notices if not _is_of_field(words) and not (no_gpu and no_gpu in words)]


def not_offered(notices: tuple[str, ...]) -> list[str]:
    """Return each field with a notice on why it was not read, with the GPUs concerned unless it is all."""
    where: dict[str, set[str]] = {}
    for device, _, name in (words.partition(":")[0].partition(".") for words in notices if _is_of_field(words)):
        where.setdefault(name, set()).add(device)
    gpus = {device for devices in where.values() for device in devices if device.startswith("gpu")}
    return [
        name if len(devices) == len(gpus) or not devices <= gpus else f"{name} ({', '.join(sorted(devices))})"
        for name, devices in sorted(where.items())
    ]


def _lost(seen: Seen) -> list[str]:
    """Return the GPUs that went away and did not come back."""
    states = {}
    for words in seen.said:
        where, _, rest = words.partition(": ")
        states[where] = rest.partition(":")[0]
    return [f"GPU {gpu.index}" for gpu in seen.gpus if states.get(f"gpu{gpu.index}") in GONE]


def _is_of_field(words: str) -> bool:
    return "." in words.partition(":")[0]
