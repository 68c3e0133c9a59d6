"""How a breakdown reads: its verdict, its bar and its rows, as text that the terminal and the report share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gpuprobe import wording
from gpuprobe.evidence.breakdown import main_device
from gpuprobe.foreign import shortened
from gpuprobe.ledger.categories import CPU_CATEGORIES, GPU_CATEGORIES
from gpuprobe.report import several, signals
from gpuprobe.report.categories import CATEGORIES, COMPUTED, Category
from gpuprobe.thresholds import fixed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gpuprobe.diagnosis.records import Diagnosis, Finding
    from gpuprobe.ledger.device_facts import OperationFacts
    from gpuprobe.ledger.records import DeviceBreakdown, Gap
    from gpuprobe.ranking.ranking import Row
    from gpuprobe.records import Gain
    from gpuprobe.whatif.records import Prediction

# The rest of a step's parts stand in the table.
MOST_TOLD, WORTH_TELLING = 3, 0.01
LONGEST_NAME = 60
# As `Evidence.lacking` says it of each signal.
NOT_GATHERED = "a trace alone has no readings of the card and no settings of the run"
# A change that gives less than this is not worth making.
WORTH_A_LINE = 1.02


@dataclass(frozen=True)
class Line:
    """One category of the table: its time in an average step, its share of it (0 to 1), and how it is shown."""

    category: str
    ms: float
    fraction: float
    shown: Category


@dataclass(frozen=True)
class Words:
    """Verdict, why, and what to do next; `code` may be empty."""

    verdict: str
    why: str
    next: str
    code: str


def lines(device: DeviceBreakdown) -> list[Line]:
    """Return the categories of a device that took any time, in the design's order; an old report knew fewer."""
    order = CPU_CATEGORIES if device.kind == "cpu" else GPU_CATEGORIES
    return [Line(name, device.ms(name), device.share(name), CATEGORIES[name]) for name in order if device.ms(name) > 0]


def rows(device: DeviceBreakdown) -> list[list[str]]:
    """Return a heading and a row for each category of a device's step: its time, its share and what it is."""
    told = [
        [f"`{line.category}`", f"{line.ms:,.3f}", wording.share(line.fraction), line.shown.meaning]
        for line in lines(device)
    ]
    return [["category", "ms a step", "share", "what it is"], *told]


def step_sentence(who: str, device: DeviceBreakdown) -> str:
    """Say where a step goes, the largest parts first: `Of each 103 ms step of numpy the GPU computed 19 %; ...`."""
    name = "processor" if device.kind == "cpu" else "GPU"
    shares: dict[str, float] = {}
    for line in lines(device):
        words = line.shown.told
        shares[words] = shares.get(words, 0.0) + line.fraction
    computed = shares.pop(COMPUTED, 0.0)
    rest = sorted((share, words) for words, share in shares.items() if share >= WORTH_TELLING)
    told = "".join(f"; {wording.share(share)} {words}" for share, words in reversed(rest[-MOST_TOLD:]))
    step = wording.milliseconds(device.step_ms)
    return f"Of each {step} step of `{who}` in its trace the {name} computed {wording.share(computed)}{told}."


def table(rows: Sequence[Row]) -> list[list[str]]:
    """Return a heading and one row a strategy: its traced step in ms, and the share of each category that took time."""
    devices = [(row.strategy, row.breakdown) for row in rows if row.breakdown is not None]
    shares = {name: {line.category: line.fraction for line in lines(device)} for name, device in devices}
    shown = [name for name in CATEGORIES if any(name in share for share in shares.values())]
    if not devices:
        return []
    heading = ["strategy", "traced step", *shown]
    per_call = {row.strategy: row.settings.steps_per_execution for row in rows}
    cells = [[name, wording.milliseconds(device.step_ms / per_call[name])] for name, device in devices]
    for row in cells:
        row += [wording.share(shares[row[0]].get(name, 0.0)) for name in shown]
    return [heading, *cells]


def bar(device: DeviceBreakdown, width: int) -> list[tuple[str, int]]:
    """Return (category, cells) of the step as a bar: by largest remainder, so that the cells add up to the width."""
    shown = lines(device)
    exact = [line.fraction * width for line in shown]
    cells = [int(value) for value in exact]
    by_remainder = sorted(range(len(shown)), key=lambda place: cells[place] - exact[place])
    for place in by_remainder[: width - sum(cells)]:
        cells[place] += 1
    return [(line.category, count) for line, count in zip(shown, cells, strict=True) if count]


def words(diagnosis: Diagnosis) -> Words:
    """Say what leads, from what that is known, and what to do."""
    first = diagnosis.primary
    assert first is not None, "every diagnosis has a primary finding"
    tie = f" It ties with {first.ties_with}." if first.ties_with else ""
    part = f", {first.stage}" if first.stage else ""
    verdict = f"{first.cause} (confidence {first.confidence}){part}. {first.claim}{tie}"
    also = [beside(finding) for finding in diagnosis.findings[1:]]
    why = "; ".join(proofs(first))
    why += "." if why else ""
    if also:
        why = f"{why} Besides: {wording.listing(also)}.".lstrip()
    if (which := judged(diagnosis)) is not None:
        why = f"{why} {which}".lstrip()
    following = f"{first.fix} {promised(first)}".rstrip()
    return Words(verdict, why, following, first.code)


def promised(finding: Finding) -> str:
    """Say what the advice gains, or why that cannot be told; nothing where nobody asked."""
    if finding.predicted_gain is not None:
        return f"Predicted gain: {told(finding.predicted_gain)}."
    return f"No gain is predicted: {finding.no_gain}." if finding.no_gain else ""


def beside(finding: Finding) -> str:
    """Name a finding that does not lead, with its share."""
    return f"{finding.cause} {wording.share(finding.severity)} of the {finding.of}"


def owner(one: OperationFacts) -> str:
    """Say whose operations they are."""
    return f"{'the optimizer ' if one.of_optimizer else ''}{one.owner or 'of no layer'}"


def called(device: DeviceBreakdown, *, of_several_hosts: bool) -> str:
    """Name a device, with its host where there are several."""
    return f"{device.name} of {device.host}" if of_several_hosts else device.name


def judged(diagnosis: Diagnosis) -> str | None:
    """Say of several devices which one the verdict is about."""
    device = main_device(diagnosis)
    if device is None or len(diagnosis.devices) < 2:
        return None
    name = called(device, of_several_hosts=len({other.host for other in diagnosis.devices}) > 1)
    return f"Judged by {name}, of {len(diagnosis.devices)} devices."


def undecided(diagnosis: Diagnosis) -> list[str]:
    """Say which causes were not evaluated, those of one reason together."""
    by_reason: dict[str, list[str]] = {}
    for other in diagnosis.not_evaluated:
        reason = NOT_GATHERED if other.reason.endswith("was not gathered") else other.reason
        by_reason.setdefault(reason, []).append(other.cause)
    return [f"Not evaluated: {wording.listing(causes)}, since {reason}." for reason, causes in by_reason.items()]


def predictions(made_by_replay: Sequence[Prediction]) -> list[tuple[str, str, str, str, str]]:
    """Return (change, predicted step, gain with its range, most that it can give, assumption) of those that gain."""
    return [
        (made.change, wording.milliseconds(made.step_ms), ratio(made.gain), wording.times(made.bound), made.assumption)
        for made in made_by_replay
        if made.gain.ratio >= WORTH_A_LINE
    ]


def ratio(gain: Gain) -> str:
    """Write a gain with its range where it has one: `2.30x (2.10 to 2.50)`."""
    return wording.times(gain.ratio, gain.low, gain.high)


def tells(gain: Gain) -> bool:
    """Whether the range of a gain is narrow enough for its middle to be worth telling."""
    return gain.low is None or gain.high is None or gain.high < fixed.GAIN_TELLS * gain.low


def told(gain: Gain) -> str:
    """Write a gain with what it is over: `2.30x (2.10 to 2.50) over numpy`; of a very wide range only its lower end."""
    text = ratio(gain)
    if not tells(gain):
        least = f"at least {wording.times(gain.low)}" if gain.low is not None and gain.low > 1 else "not known"
        text = f"{least} (up to {wording.times(gain.high or gain.ratio)}: how much, the trace does not tell)"
    elif gain.most is not None:
        text = f"{text}, at most {wording.times(gain.most)},"
    return f"{text} over {gain.over}" if gain.over else text


def headline(device: DeviceBreakdown, *, of_several_hosts: bool = False) -> str:
    """Say which device, how many steps and how they were found, and how long they take."""
    name = f"{device.model} ({device.name})" if device.model else device.name
    where = f" of {device.host}" if of_several_hosts else ""
    text = f"{name}{where}: {wording.count(device.steps, 'step')} by {device.steps_from}, "
    text += f"{wording.milliseconds(device.step_ms)} each"
    if device.counted > 1:
        spread = device.spread
        text += (
            f" (mean of {device.counted}; median {wording.milliseconds(spread.median_ms)}, p5 to p95 "
            f"{wording.milliseconds(spread.p5_ms)} to {wording.milliseconds(spread.p95_ms)}"
        )
        text += f", {wording.count(len(spread.outliers), 'outlier')})" if spread.outliers else ")"
    if device.warmup:
        text += f"; {wording.count(device.warmup, 'slow first step')} left out"
    return text


def meters(device: DeviceBreakdown) -> list[str]:
    """Return the other meters of a GPU, each with what it is a share of, and what is missing with the reason.

    Of a processor there are only its exchanges.
    """
    if device.kind == "cpu":
        return several.exchanges(device)
    figures = (
        ("kernels", device.kernel_fraction, "of the GPU span"),
        ("exposed copies", device.exposed_copy_fraction, "of the GPU span"),
        ("idle outside the training function", device.idle_outside_step_fraction, "of the GPU span"),
        ("SM efficiency (estimated)", device.sm_efficiency, "of the step"),
        ("occupancy (estimated)", device.occupancy, "of kernel time"),
    )
    said = [f"{name} {wording.share(value)} {of}" for name, value, of in figures if value is not None]
    kernels = device.kernels
    if kernels:
        said.append(
            f"{wording.count(kernels.count, 'kernel')}, median {wording.significant(kernels.median_us)} us, "
            f"{wording.share(kernels.under_10us_count_fraction)} of them under 10 us, "
            f"{wording.significant(kernels.per_s)} a second"
        )
        cores = f"Tensor Core kernels {wording.share(kernels.tensor_core_time_fraction)} of kernel time"
        if kernels.eligible_time_fraction is not None:
            cores += f", operations that could use them {wording.share(kernels.eligible_time_fraction)}"
        said.append(cores)
    for copy in device.copies:
        rate = f", {wording.significant(copy.gb_per_s)} GB/s" if copy.gb_per_s is not None else ""
        hidden = f"{wording.share(copy.hidden_fraction)} hidden under kernels"
        said.append(f"{copy.count} {copy.direction} in {wording.milliseconds(copy.total_ms)}{rate}, {hidden}")
    said += several.exchanges(device)
    return [*said, *(f"{name} not known: {reason}" for name, reason in device.missing.items())]


def gap_causes(gap: Gap) -> str:
    """Write the causes of a gap, the longest first: `idle_input 8.11 s, idle_launch 3.2 ms`."""
    ordered = sorted(gap.causes_ms.items(), key=lambda item: -item[1])
    return ", ".join(f"{name} {wording.milliseconds(value)}" for name, value in ordered[:3])


def gap_events(gap: Gap) -> str:
    """Write the events of the host in a gap: `IteratorGetNextOp::DoCompute 8.11 s`."""
    found = [f"{short(event.name)} {wording.milliseconds(event.ms)}" for event in gap.host[:3]]
    return ", ".join(found) or "no event of the host"


def short(name: str) -> str:
    """Cut a name, such as a kernel's with all its template arguments, to a length that fits a line."""
    return shortened(name, LONGEST_NAME)


def proofs(finding: Finding) -> list[str]:
    """Return what proves a finding, beyond the share and the time that its claim has said already."""
    return [text for signal in finding.evidence[1:] if (text := signals.told(signal))]
