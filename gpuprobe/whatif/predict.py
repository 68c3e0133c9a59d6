"""Predicts the gain of each change from a trace: this room's public function."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from gpuprobe import wording
from gpuprobe.evidence.breakdown import main_device
from gpuprobe.evidence.operations import computing_share, dense_update_ms, longest_loop
from gpuprobe.thresholds import fixed
from gpuprobe.whatif import between_changes, device_changes, host_changes, input_changes, job_changes, operation_changes
from gpuprobe.whatif.base import Base
from gpuprobe.whatif.build import build
from gpuprobe.whatif.other_workers import no_faster_than, others_ms
from gpuprobe.whatif.records import Replay, Unpredicted
from gpuprobe.whatif.replay import traced_ms
from gpuprobe.whatif.run_facts import Known

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gpuprobe.ledger.breakdown import Workings
    from gpuprobe.ledger.records import DeviceBreakdown
    from gpuprobe.whatif.change import Change

PREFETCH, PARALLEL, FUSED, STEPS, BATCH, FASTER = 2, 8, 8, 8, 4, 2
NOTHING_LEFT = "the traced step consists only of what this change takes away"


def usual_changes(known: Known, device: DeviceBreakdown | None = None) -> tuple[Change, ...]:
    """Return the changes that are tried on every trace; some depend on the device's breakdown."""
    threads = min(PARALLEL, known.cores) if known.cores else PARALLEL
    computing = computing_share(device) if device else 1.0
    return (
        input_changes.input_free(computing),
        input_changes.prefetch(PREFETCH),
        input_changes.parallel_map(threads),
        input_changes.map_per_batch(computing),
        device_changes.copies_hidden(),
        device_changes.uint8_feed(),
        host_changes.launches_fused(FUSED),
        host_changes.steps_per_execution(STEPS, known.steps_per_call),
        device_changes.batch_times(BATCH),
        device_changes.fp16(),
        between_changes.callbacks_removed(computing),
        host_changes.syncs_removed(),
        host_changes.compiling_removed(computing),
        host_changes.host_work_removed(),
        host_changes.one_time_work_removed(),
        host_changes.eager_removed(),
        host_changes.allocations_removed(),
        device_changes.faster_card(FASTER),
        operation_changes.loop_vectorised(longest_loop(device) if device else None),
        operation_changes.rows_updated_only(dense_update_ms(device) if device else 0.0),
    )


def predict(workings: Workings, known: Known | None = None, changes: Sequence[Change] | None = None) -> Replay:
    """Replay the `main_device`, unchanged and with each change; `known` are facts from outside the trace.

    Without named changes, those of a job of several devices are tried too, if the trace shows one. If the replay misses
    the measured step by more than 5 %, or is impossible, the result has no predictions but the reason.
    """
    replay = _of_device(workings, known, changes)
    if replay.refused is not None or replay.steady_ms is None or changes is not None:
        return replay
    made, untried = job_changes.predictions(workings, replay.steady_ms)
    return msgspec.structs.replace(
        replay,
        predictions=tuple(sorted([*replay.predictions, *made], key=lambda prediction: -prediction.gain.ratio)),
        unpredicted=(*replay.unpredicted, *untried),
    )


def _of_device(workings: Workings, known: Known | None, changes: Sequence[Change] | None) -> Replay:
    known = msgspec.structs.replace(known or Known(), framework=workings.breakdown.framework)
    device = main_device(workings.breakdown)
    if device is None:
        return Replay(refused="there is no step to replay")
    refused = _unfit(device)
    graph = build(workings, device) if refused is None else None
    if graph is None:
        return Replay(device=device.name, refused=refused or "there is no step to replay")
    replayed = traced_ms(graph)
    error = replayed / graph.measured_ms - 1
    replay = Replay(
        device=device.name, measured_ms=graph.measured_ms, replayed_ms=replayed, error_fraction=error, refused=refused
    )
    if abs(error) > fixed.REPLAY_ERROR:
        text = (
            f"the replay gives {wording.milliseconds(replayed)} a step where {wording.milliseconds(graph.measured_ms)}"
        )
        return msgspec.structs.replace(replay, refused=f"{text} were measured; beyond 5 % nothing is predicted from it")
    base = Base.of(graph, known, error)
    tried = usual_changes(known, device) if changes is None else changes
    hindered = {change.id: change.hindrance(graph, known) for change in tried}
    made = {change.id: base.prediction(change) for change in tried if hindered[change.id] is None}
    hindered |= {name: NOTHING_LEFT for name, prediction in made.items() if prediction is None}
    untraced = base.step_ms / device.step_ms
    predictions = [
        no_faster_than(prediction, untraced * others_ms(workings.breakdown, device, change))
        for change in tried
        if (prediction := made.get(change.id)) is not None
    ]
    return msgspec.structs.replace(
        replay,
        steady_ms=base.step_ms,
        predictions=tuple(sorted(predictions, key=lambda made: -made.gain.ratio)),
        unpredicted=tuple(Unpredicted(change=name, reason=why) for name, why in hindered.items() if why is not None),
    )


def _unfit(device: DeviceBreakdown) -> str | None:
    """Return why the trace cannot be replayed at all, None where it can."""
    if device.kind == "cpu":
        return None
    joined = device.joined_fraction or 0.0
    if joined < fixed.LAUNCHES_KNOWN:
        return f"only {wording.share(joined)} of the device's work can be joined to the calls that launched it"
    return None
