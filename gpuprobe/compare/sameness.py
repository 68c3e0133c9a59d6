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
    """Return why the two must not be compared: different hardware or work, each with what differs; empty if none.

    A fact that one side does not record is no reason.
    """
    # Another machine has another device: that is one reason, not two.
    hardware = (
        _machine(a.environment, b.environment) or _by_strategy("device", pairs, _device) or _traced_cards(a, b, pairs)
    )
    work = [*_work(a, b), *_by_strategy("batch size", pairs, _batch), *_by_strategy("effective dtype", pairs, _dtype)]
    kinds = (("hardware", hardware), ("work", work))
    return tuple(f"different {kind} ({'; '.join(differences)})" for kind, differences in kinds if differences)


def not_checked(a: Side, b: Side, pairs: Sequence[Pair]) -> tuple[str, ...]:
    """Name the facts that could not be checked, because A or B does not record them."""
    traced = any(
        read_card(a_measured) and read_card(b_measured)
        for a_measured, b_measured in pairs
        for read_card in (_card_facts, _card_model)
    )
    recorded_facts = {
        "the hardware": (a.environment is not None and b.environment is not None) or traced,
        "the model": "model" in a.work and "model" in b.work,
        "the data": "data" in a.work and "data" in b.work,
        "the batch size and dtype": all(
            a_measured.settings and b_measured.settings for a_measured, b_measured in pairs
        ),
    }
    return tuple(fact_name for fact_name, is_known in recorded_facts.items() if not is_known)


def _machine(a: Environment | None, b: Environment | None) -> list[str]:
    if a is None or b is None:
        return []
    if a.simulated != b.simulated:
        return ["machine: " + _in_a_and_b(*("simulated" if study.simulated else "real" for study in (a, b)))]
    machine_facts = (
        ("processor", a.cpu, b.cpu),
        ("cores", str(a.cores), str(b.cores)),
        ("GPU", _gpus(a), _gpus(b)),
    )
    return [
        f"{fact_name}: {_in_a_and_b(a_fact, b_fact)}" for fact_name, a_fact, b_fact in machine_facts if a_fact != b_fact
    ]


def _traced_cards(a: Side, b: Side, pairs: Sequence[Pair]) -> list[str]:
    """Return how the cards or the numbers of devices in the traces differ."""
    if a.devices and b.devices and a.devices != b.devices:
        return ["traced devices: " + _in_a_and_b(str(a.devices), str(b.devices))]
    return _by_strategy("card", pairs, _card_model) or _by_strategy("card", pairs, _card_facts)


def _gpus(machine: Environment) -> str:
    return wording.listing([gpu.name for gpu in machine.gpus]) or "none"


def _work(a: Side, b: Side) -> list[str]:
    common_facts = [
        work_fact for work_fact in ("model", "workload", "data") if work_fact in a.work and work_fact in b.work
    ]
    differing_facts = [work_fact for work_fact in common_facts if a.work[work_fact] != b.work[work_fact]]
    if differing_facts[:2] == ["model", "workload"]:
        # The workload is the model in words.
        differing_facts.remove("workload")
    return [f"{work_fact}: {_in_a_and_b(a.work[work_fact], b.work[work_fact])}" for work_fact in differing_facts]


def _by_strategy(fact_name: str, pairs: Sequence[Pair], read: Callable[[Measured], str]) -> list[str]:
    """Compare one fact of each strategy; strategies that differ in the same way are one reason."""
    strategies_by_difference: dict[str, list[str]] = {}
    for a_measured, b_measured in pairs:
        fact_values = [read(measured) for measured in (a_measured, b_measured)]
        if all(fact_values) and fact_values[0] != fact_values[1]:
            strategies_by_difference.setdefault(_in_a_and_b(*fact_values), []).append(a_measured.strategy)
    return [
        f"{fact_name} of {wording.listing(strategies)}: {difference}"
        for difference, strategies in strategies_by_difference.items()
    ]


def _device(measured: Measured) -> str:
    """Return what trained, `GPU` or `processor`, as the settings tell, else the trace; empty where neither does."""
    if measured.settings is not None:
        return "GPU" if "GPU" in measured.settings.device.upper() else "processor"
    breakdown = measured.breakdown
    return {"gpu": "GPU", "cpu": "processor"}[breakdown.kind] if breakdown else ""


def _card_facts(measured: Measured) -> str:
    """Return SMs and compute capability in words, for older traces that do not name the card; empty where not known."""
    facts = measured.breakdown.facts if measured.breakdown else {}
    count, capability = facts.get("sm_count"), facts.get("compute_capability")
    if not isinstance(count, float) or not isinstance(capability, float):
        return ""
    return f"{count:.0f} SMs of compute capability {capability:.1f}"


def _card_model(measured: Measured) -> str:
    return (measured.breakdown.model or "") if measured.breakdown else ""


def _batch(measured: Measured) -> str:
    return str(measured.settings.batch_size) if measured.settings else ""


def _dtype(measured: Measured) -> str:
    settings = measured.settings
    return f"{settings.compute_dtype} (policy {settings.dtype_policy})" if settings else ""


def _in_a_and_b(a: str, b: str) -> str:
    return f"{a} in A, {b} in B"
