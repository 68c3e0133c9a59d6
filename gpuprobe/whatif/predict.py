"""What each change would give, from a trace: the room's public function."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import msgspec

from gpuprobe import wording
from gpuprobe.evidence.breakdown import main_device
from gpuprobe.evidence.operations import computing_share, dense_update_ms, longest_loop
from gpuprobe.records import Gain
from gpuprobe.whatif import device_changes, host_changes, input_changes, operation_changes
from gpuprobe.whatif.build import build
from gpuprobe.whatif.change import Alter, Change, mixture_ms
from gpuprobe.whatif.cpu_contention import Sharing, sharings
from gpuprobe.whatif.graph import Edge, Graph, Work
from gpuprobe.whatif.records import FINEST, Prediction, Replay, Unpredicted
from gpuprobe.whatif.replay import steady_ms, traced_ms
from gpuprobe.whatif.run_facts import Known

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gpuprobe.ledger.account import Breakdown
    from gpuprobe.ledger.records import DeviceAccount

# A replay that misses the traced step by more than this is not believed.
LARGEST_ERROR = 0.05
# Nor is any so coarse that its range reaches to a step of no length.
MOST_DOUBT = 0.9
# Work of fewer operations than this share with a known launch cannot be ordered.
FEWEST_JOINED = 0.5
# The profiler slows the host by at most so much; what is more has another reason.
MOST_OVERHEAD = 0.6
PREFETCH, PARALLEL, FUSED, STEPS, BATCH, FASTER = 2, 8, 8, 8, 4, 2
BISECTIONS = 8
# Steps of a few traced moments differ by so much from those of the whole training; more is something not in the trace.
DRIFT = 0.10
# What a gain is over where the training has no name.
TRACED = "the traced training"
NOTHING_LEFT = "the trace shows nothing of a step but what this change takes away"


def usual_changes(known: Known, device: DeviceAccount | None = None) -> tuple[Change, ...]:
    """Return the changes that are tried on every trace; what the device's account tells makes some of them."""
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
        host_changes.callbacks_removed(),
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


def predict(breakdown: Breakdown, known: Known | None = None, changes: Sequence[Change] | None = None) -> Replay:
    """Replay the device that the verdict is about, as it was and with each change; `known` is what is known beside.

    Where the replay does not give the measured step within 5 %, or nothing can be replayed, it predicts nothing and
    says why.
    """
    known = msgspec.structs.replace(known or Known(), framework=breakdown.account.framework)
    device = main_device(breakdown.account)
    if device is None:
        return Replay(refused="there is no step to replay")
    refused = _unfit(device)
    graph = build(breakdown, device) if refused is None else None
    if graph is None:
        return Replay(device=device.name, refused=refused or "there is no step to replay")
    replayed = traced_ms(graph)
    error = replayed / graph.measured_ms - 1
    replay = Replay(
        device=device.name, measured_ms=graph.measured_ms, replayed_ms=replayed, error_fraction=error, refused=refused
    )
    if abs(error) > LARGEST_ERROR:
        text = (
            f"the replay gives {wording.milliseconds(replayed)} a step where {wording.milliseconds(graph.measured_ms)}"
        )
        return msgspec.structs.replace(replay, refused=f"{text} were measured; beyond 5 % nothing is predicted from it")
    base = _Base.of(graph, known, error)
    tried = usual_changes(known, device) if changes is None else changes
    hindered = {change.id: change.hindrance(graph, known) for change in tried}
    made = {change.id: base.prediction(change) for change in tried if hindered[change.id] is None}
    hindered |= {name: NOTHING_LEFT for name, prediction in made.items() if prediction is None}
    predictions = [prediction for prediction in made.values() if prediction is not None]
    return msgspec.structs.replace(
        replay,
        steady_ms=base.step_ms,
        predictions=tuple(sorted(predictions, key=lambda made: -made.gain.ratio)),
        unpredicted=tuple(Unpredicted(change=name, reason=why) for name, why in hindered.items() if why is not None),
    )


def _unfit(device: DeviceAccount) -> str | None:
    """Say why the trace cannot be replayed at all."""
    if device.kind == "cpu":
        return None
    joined = device.joined_fraction or 0.0
    if joined < FEWEST_JOINED:
        return f"only {wording.share(joined)} of the device's work can be joined to the calls that launched it"
    return None


@dataclass(frozen=True)
class _Base:
    """What changes are tried on: the graph without the profiler's overhead, and the step time that gains count from.

    `over` is what the gains are over. `shared` is how a processor's cores are shared, as expected first. The replay's
    times are multiplied by `drift` to be those of the untraced training, `pace_ms` a step. `aside_ms` is the part of
    the untraced step that the trace does not show: it stays, but for what comes in some steps only; or it is more of
    what the trace shows.
    """

    graph: Graph
    per_call: int
    step_ms: float
    drift: float
    pace_ms: float
    aside_ms: float
    error: float
    doubt: float
    over: str
    shared: tuple[Sharing, ...] = ()

    @classmethod
    def of(cls, graph: Graph, known: Known, error: float) -> _Base:
        """Fit the graph to the untraced step, where that was measured."""
        steady = steady_ms(graph) / known.steps_per_call
        untraced = known.untraced_step_ms or steady
        fitted = _without_overhead(graph, untraced * known.steps_per_call) if untraced < steady else graph
        pace = steady_ms(fitted) / known.steps_per_call
        aside = untraced - pace if untraced > pace * (1 + DRIFT) else 0.0
        doubt = min(MOST_DOUBT, max(FINEST, abs(error), abs(untraced / pace - 1) / 2, known.repeats_within))
        drift = (untraced - aside) / pace
        shared = sharings(fitted, known, untraced * known.steps_per_call)
        over = known.name or TRACED
        return cls(fitted, known.steps_per_call, untraced, drift, pace * drift, aside, error, doubt, over, shared)

    def prediction(self, change: Change) -> Prediction | None:
        """Try one change: as expected, at both ends of its range, and at its utmost; None where no time is left."""
        unseen = 0.0 if change.in_some_steps else self.aside_ms
        expected = self._step_ms(change.alter) + unseen
        seen = [self._step_ms(alter) for alter in (change.alter, change.least, change.most) if alter is not None]
        seen += [self._step_ms(change.alter, sharing) for sharing in self.shared[1:]]
        if (self.graph.reason == Edge.ORDER).any():
            seen.append(self._step_ms(lambda graph: change.alter(graph.without(Edge.ORDER))))
        ends = [end for step in seen for end in (step + unseen, step * (1 + self.aside_ms / self.pace_ms))]
        # However unsure the replay is, no way of making the change gains more than its utmost, as finely as that is
        # known.
        bound = min(*ends, self._step_ms(change.utmost or change.alter) + unseen) * (1 - FINEST)
        low, high = max(bound, min(ends) * (1 - self.doubt)), max(ends) * (1 + self.doubt)
        if bound <= 0:
            return None
        now = self.step_ms * change.samples
        return Prediction(
            change=change.id,
            step_ms=expected,
            low_ms=low,
            high_ms=high,
            gain=Gain(ratio=now / expected, low=now / high, high=now / low, over=self.over),
            bound=now / bound,
            replay_error_fraction=self.error,
            assumption=change.assumption,
        )

    def _step_ms(self, alter: Alter, sharing: Sharing | None = None) -> float:
        """What the trace shows of a step, after a change, on cores shared as expected, or in this other way."""
        sharing = sharing or next(iter(self.shared), None)
        graph = sharing.relieved(self.graph) if sharing else self.graph
        return mixture_ms(alter(graph), sharing) / self.per_call * self.drift


def _without_overhead(graph: Graph, call_ms: float) -> Graph:
    """Return the graph whose host is as much quicker as makes the step that long; as near as that comes."""
    host = graph.does(Work.CALL, Work.DISPATCH, Work.LAUNCH)
    low, high = MOST_OVERHEAD, 1.0
    if steady_ms(graph.scaled(host, low)) > call_ms:
        return graph
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        low, high = (middle, high) if steady_ms(graph.scaled(host, middle)) < call_ms else (low, middle)
    return replace(graph, us=graph.scaled(host, high).us)
