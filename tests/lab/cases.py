"""The sessions of the lab: over all causes, severities, cards and mixes, the healthy and those that nobody can answer.

A case says what was put in; what is true of it, the simulator says (`truth.tell`), since two troubles can tie, and a
small one is none.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from msgspec.structs import replace

from gpuprobe.simulate.spec import Copies, Host, Input, Kernels, Recording, Spec
from tests.lab.cards import CARDS, UNUSUAL_CARDS
from tests.lab.troubles import TROUBLES, Draw

Kind = Literal["trouble", "mild", "mix", "healthy", "unusual", "unanswerable"]
# The share of the step that a trouble is meant to cost, and the range from which it is drawn where it is mild.
SEVERITIES = (0.35, 0.55, 0.8)
MILD = (0.03, 0.3)


@dataclass(frozen=True)
class Case:
    """One session: `kind` and `put_in` say what it was made for."""

    name: str
    kind: Kind
    put_in: str
    spec: Spec


# Troubles that leave idle time that the trace alone can explain: without its host threads nobody can.
IDLE = ("input_bound", "launch_bound", "sync_every_step", "host_between_steps", "gpu_memory_tight")
# Those that can be laid over any other.
SECOND = ("input_bound", "host_between_steps", "launch_bound", "copy_bound", "sync_every_step")
EACH, EACH_MILD, MIXES, HEALTHY, UNUSUAL, UNANSWERABLE, UNSEEN = 9, 2, 30, 60, 26, 27, 6


def cases(seed: int = 0) -> list[Case]:
    """Return all sessions of the lab; another seed gives as many others of the same kinds."""
    found = [_trouble(cause, number, seed) for cause in TROUBLES for number in range(EACH)]
    found += [_mild(cause, number, seed) for cause in TROUBLES for number in range(EACH_MILD)]
    found += [_mix(number, seed) for number in range(MIXES)]
    found += [_healthy(number, seed) for number in range(HEALTHY)]
    found += [_unusual(number, seed) for number in range(UNUSUAL)]
    found += [_unanswerable(number, seed) for number in range(UNANSWERABLE)]
    found += [_unseen(number, seed) for number in range(UNSEEN)]
    return found


def _base(random: np.random.Generator, name: str) -> Spec:
    """Draw a healthy session: a network, a card, noise, and now and then a recording that is not whole."""
    card = CARDS[int(random.integers(len(CARDS)))]
    card = replace(card, memory_used_mib=float(random.uniform(0.2, 0.7)) * card.memory_mib)
    kernels = Kernels(
        count=int(random.integers(30, 120)),
        mean_us=float(random.uniform(40, 250)),
        spread=float(random.uniform(0.3, 1.2)),
        sm_fill=float(random.uniform(1.2, 6)),
        matmul_share=float(random.uniform(0.1, 0.5)),
        dtype="float16" if float(card.compute_capability) >= 7 else "float32",
    )
    recording = Recording(
        dropped_share=float(random.choice([0.0, 0.0, 0.0, 0.02])),
        telemetry=bool(random.random() > 0.1),
        style="2020" if random.random() < 0.1 else "current",
        window_s=3.0,
    )
    return Spec(
        name=name,
        seed=int(random.integers(2**31)),
        noise=float(random.uniform(0.01, 0.08)),
        batch_size=int(2 ** random.integers(4, 9)),
        steps=4,
        card=card,
        kernels=kernels,
        host=Host(callback_ms=float(random.uniform(0.01, 0.1)), queue_depth=256),
        input=Input(map_ms=float(random.uniform(0.1, 1.0)), prefetch=2),
        copies=Copies(batch_mib=float(random.uniform(0.1, 2.0))),
        recording=recording,
    )


def _put_in(spec: Spec, cause: str, share: float, number: int, random: np.random.Generator) -> Spec:
    ways = TROUBLES[cause]
    return ways[number % len(ways)](Draw(spec, share, random))


def _trouble(cause: str, number: int, seed: int) -> Case:
    random = np.random.default_rng([seed, list(TROUBLES).index(cause), number])
    name = f"{cause}-{number}"
    spec = _put_in(_base(random, name), cause, SEVERITIES[number % len(SEVERITIES)], number, random)
    return Case(name, "trouble", cause, spec)


def _mild(cause: str, number: int, seed: int) -> Case:
    random = np.random.default_rng([seed, 104, list(TROUBLES).index(cause), number])
    name = f"mild-{cause}-{number}"
    base = _base(random, name)
    return Case(name, "mild", cause, _put_in(base, cause, float(random.uniform(*MILD)), number, random))


def _mix(number: int, seed: int) -> Case:
    random = np.random.default_rng([seed, 100, number])
    first, second = (str(cause) for cause in random.choice(SECOND, 2, replace=False))
    name = f"mix-{number}-{first}-{second}"
    spec = _put_in(_base(random, name), second, 0.15, 0, random)
    return Case(name, "mix", first, _put_in(spec, first, 0.7, 0, random))


def _healthy(number: int, seed: int) -> Case:
    random = np.random.default_rng([seed, 101, number])
    name = f"healthy-{number}"
    return Case(name, "healthy", "compute_bound", _base(random, name))


def _unusual(number: int, seed: int) -> Case:
    """Draw a trouble in a session unlike the others: in its card, its step's length, its streams, and its recording."""
    random = np.random.default_rng([seed, 103, number])
    cause = list(TROUBLES)[number % len(TROUBLES)]
    name = f"unusual-{number}-{cause}"
    base = _base(random, name)
    card = UNUSUAL_CARDS[int(random.integers(len(UNUSUAL_CARDS)))]
    kernels = replace(
        base.kernels,
        count=int(random.integers(6, 60)),
        mean_us=base.kernels.mean_us * float(random.choice([0.6, 1.0, 8.0])),
        streams=int(random.choice([1, 2, 4])),
        dtype="float16" if float(card.compute_capability) >= 7 else "float32",
    )
    recording = Recording(
        step_markers=bool(random.random() < 0.5),
        nvml_period_s=float(random.choice([1 / 6, 1.0])),
        dropped_share=float(random.choice([0.0, 0.04])),
        window_s=4.0,
    )
    spec = replace(
        base,
        noise=float(random.uniform(0.0, 0.15)),
        steps=int(random.integers(2, 4)),
        card=replace(card, memory_used_mib=0.5 * card.memory_mib),
        kernels=kernels,
        host=replace(base.host, steps_per_execution=int(random.choice([1, 1, 4]))),
        recording=recording,
    )
    return Case(name, "unusual", cause, _put_in(spec, cause, SEVERITIES[number % len(SEVERITIES)], number, random))


def _unanswerable(number: int, seed: int) -> Case:
    random = np.random.default_rng([seed, 102, number])
    cause = IDLE[number % len(IDLE)]
    name = f"unanswerable-{number}-{cause}"
    spec = _put_in(_base(random, name), cause, 0.6, 0, random)
    blind = (
        replace(spec.recording, host_events=False, correlated=False),
        replace(spec.recording, trace=False, telemetry=bool(number % 2)),
        replace(spec.recording, dropped_share=0.6),
    )[number % 3]
    return Case(name, "unanswerable", cause, replace(spec, recording=blind))


def _unseen(number: int, seed: int) -> Case:
    """Draw a session whose launching thread is kept by what leaves no event behind."""
    random = np.random.default_rng([seed, 105, number])
    name = f"unanswerable-unseen-{number}"
    spec = _put_in(_base(random, name), "host_work", SEVERITIES[number % len(SEVERITIES)], number, random)
    return Case(name, "unanswerable", "host_work", replace(spec, host=replace(spec.host, host_work_kind="unseen")))
