"""Whether two sides may be compared: the same hardware, and the same work."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpuprobe import wording

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gpuprobe.compare.records import Measured, Side
    from gpuprobe.records import Environment

Pair = tuple["Measured", "Measured"]


def reasons(a: Side, b: Side, pairs: Sequence[Pair]) -> tuple[str, ...]:
    """Return why the two must not be compared: other hardware, other work, each with what differs; empty if they may.

    What a side does not record is no reason.
    """
    # Another machine has another device: that is one reason, not two.
    hardware = _machine(a.environment, b.environment) or _by_strategy("device", pairs, _device) or _traced(a, b, pairs)
    work = [*_work(a, b), *_by_strategy("batch size", pairs, _batch), *_by_strategy("effective dtype", pairs, _dtype)]
    kinds = (("hardware", hardware), ("work", work))
    return tuple(f"different {kind} ({'; '.join(differences)})" for kind, differences in kinds if differences)


def not_checked(a: Side, b: Side, pairs: Sequence[Pair]) -> tuple[str, ...]:
    """Name what could not be checked, since one of the two does not record it."""
    traced = any(card(first) and card(second) for first, second in pairs for card in (_chip, _model))
    known = {
        "the hardware": (a.environment is not None and b.environment is not None) or traced,
        "the model": "model" in a.work and "model" in b.work,
        "the data": "data" in a.work and "data" in b.work,
        "the batch size and dtype": all(first.settings and second.settings for first, second in pairs),
    }
    return tuple(name for name, is_known in known.items() if not is_known)


def _machine(a: Environment | None, b: Environment | None) -> list[str]:
    if a is None or b is None:
        return []
    if a.simulated != b.simulated:
        return ["machine: " + _in_a_and_b(*("simulated" if study.simulated else "real" for study in (a, b)))]
    facts = (
        ("processor", a.cpu, b.cpu),
        ("cores", str(a.cores), str(b.cores)),
        ("GPU", _gpus(a), _gpus(b)),
    )
    return [f"{name}: {_in_a_and_b(first, second)}" for name, first, second in facts if first != second]


def _traced(a: Side, b: Side, pairs: Sequence[Pair]) -> list[str]:
    """Return how the cards or the numbers of devices in the traces differ."""
    if a.devices and b.devices and a.devices != b.devices:
        return ["traced devices: " + _in_a_and_b(str(a.devices), str(b.devices))]
    return _by_strategy("card", pairs, _model) or _by_strategy("card", pairs, _chip)


def _gpus(machine: Environment) -> str:
    return wording.listing([gpu.name for gpu in machine.gpus]) or "none"


def _work(a: Side, b: Side) -> list[str]:
    names = [name for name in ("model", "workload", "data") if name in a.work and name in b.work]
    unlike = [name for name in names if a.work[name] != b.work[name]]
    if unlike[:2] == ["model", "workload"]:
        # The workload is the model in words.
        unlike.remove("workload")
    return [f"{name}: {_in_a_and_b(a.work[name], b.work[name])}" for name in unlike]


def _by_strategy(name: str, pairs: Sequence[Pair], read: Callable[[Measured], str]) -> list[str]:
    """Compare one fact of each strategy; strategies that differ in the same way are one reason."""
    unlike: dict[str, list[str]] = {}
    for first, second in pairs:
        facts = [read(measured) for measured in (first, second)]
        if all(facts) and facts[0] != facts[1]:
            unlike.setdefault(_in_a_and_b(*facts), []).append(first.strategy)
    return [f"{name} of {wording.listing(strategies)}: {words}" for words, strategies in unlike.items()]


def _device(measured: Measured) -> str:
    """Whether a GPU or the processor trained: by the settings that TensorFlow reported, else by the trace."""
    if measured.settings is not None:
        return "GPU" if "GPU" in measured.settings.device.upper() else "processor"
    breakdown = measured.breakdown
    return {"gpu": "GPU", "cpu": "processor"}[breakdown.kind] if breakdown else ""


def _chip(measured: Measured) -> str:
    """The card by its facts, for older traces that do not name it."""
    facts = measured.breakdown.facts if measured.breakdown else {}
    count, capability = facts.get("sm_count"), facts.get("compute_capability")
    if not isinstance(count, float) or not isinstance(capability, float):
        return ""
    return f"{count:.0f} SMs of compute capability {capability:.1f}"


def _model(measured: Measured) -> str:
    return (measured.breakdown.model or "") if measured.breakdown else ""


def _batch(measured: Measured) -> str:
    return str(measured.settings.batch_size) if measured.settings else ""


def _dtype(measured: Measured) -> str:
    settings = measured.settings
    return f"{settings.compute_dtype} (policy {settings.dtype_policy})" if settings else ""


def _in_a_and_b(a: str, b: str) -> str:
    return f"{a} in A, {b} in B"
