"""Predictions as text: what is expected, by which terms, and what a measured time adds to that."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpuprobe import wording
from gpuprobe.predict.published import CALIBRATION_DEPTH, TABLE_CARD, TABLE_EPOCH_S
from gpuprobe.units import MIB

if TYPE_CHECKING:
    from gpuprobe.predict.card import CardPrediction
    from gpuprobe.predict.compare import Comparison
    from gpuprobe.predict.estimate import Estimate
    from gpuprobe.predict.study import StudyPrediction

SETS_THE_PACE = {
    "launch": "the host: it starts operations more slowly than the card finishes them",
    "compute": "the card's arithmetic",
    "memory": "the card's memory",
    "small": "kernels too small for the card to be fast at",
}


def card_text(expected: CardPrediction, compared: Comparison | None = None) -> str:
    """Write a prediction for a card, with what a measured epoch says beside it."""
    card = expected.card
    lines = [
        "A model, not a measurement.",
        f"ResNet{expected.depth} on 50,000 images of 32x32, batch {expected.batch_size}, float32, on {card.name}: "
        f"{card.sm_count} SMs at {card.boost_mhz:.0f} MHz, compute capability {card.compute_capability}, "
        f"{wording.significant(expected.peak_flop_per_s / 1e12)} TFLOP/s, "
        f"{wording.significant(card.bandwidth_gb_s or 0)} GB/s ({card.source}).",
        *(["Its clocks are nominal: the maker of a laptop sets its power limit."] if card.kind == "laptop" else []),
        "",
        f"Expected  {_seconds(expected.epoch_s)} an epoch, {_ms(expected.step_ms)} a step, "
        "on a host as fast as the table's",
        f"Card only {_seconds(expected.card_bound_epoch_s)} an epoch, if only the card limited you",
        f"Pace      set by {SETS_THE_PACE[expected.binds]}",
        "",
        "Terms of a step (launches and kernels run side by side, so the longer of them counts)",
        f"  host between steps  {_ms(expected.host_ms)}",
        f"  launches            {_ms(expected.launch_ms)}: {expected.operations:,} operations, "
        f"{_us(expected.launch_us)} apart",
        f"  kernels, arithmetic {_ms(expected.compute_ms)}: {wording.significant(expected.flop_per_step / 1e9)} GFLOP",
        f"  kernels, memory     {_ms(expected.memory_ms)}: {wording.mebibytes(expected.bytes_per_step / MIB)} moved",
        f"  kernels, small      {_ms(expected.small_ms)}",
        f"  share of peak       {wording.share(expected.share_of_peak(expected.epoch_s.value))}",
    ]
    if compared is not None:
        lines += ["", *_against(expected, compared)]
    return "\n".join([*lines, "", _basis()])


def _against(expected: CardPrediction, compared: Comparison) -> list[str]:
    measured_s, launch_us = compared.measured_epoch_s, compared.launch_us or 0.0
    step_ms = 1e3 * measured_s / expected.steps_per_epoch
    says = {
        "as expected": "Yes: this is what the model expects.",
        "faster": "Faster than expected: this host starts operations faster than the table's, or fuses them.",
        "slower": "Perhaps: slower than expected, but the card alone could explain it. `gpuprobe run` tells.",
        "slower than the card explains": (
            f"No: by the model this card needs {wording.significant(measured_s - compared.unexplained_s)} s at most, "
            f"so at least {wording.significant(compared.unexplained_s)} s of each epoch "
            f"({wording.share(compared.unexplained_s / measured_s)}) have another reason. If that is launches alone, "
            f"they are {wording.significant(launch_us)} us apart, "
            f"{wording.significant(launch_us / expected.launch_us.value)} times as far as the table's; a slow feed, "
            "work between steps or a throttled card would look the same. `gpuprobe run` tells them apart."
        ),
    }
    return [
        f"Measured  {wording.significant(measured_s)} s an epoch, {wording.milliseconds(step_ms)} a step: "
        f"{wording.significant(compared.times_expected)} times what is expected, "
        f"{wording.share(compared.share_of_peak or 0.0)} of the card's peak",
        says[compared.answer],
    ]


def _basis() -> str:
    return (
        f"Basis: launches from one row of Keras's public table (ResNet{CALIBRATION_DEPTH}, {TABLE_CARD}, "
        f"{TABLE_EPOCH_S[CALIBRATION_DEPTH]:.0f} s an epoch, rounded to 5 s), the fixed time of a step from traces of "
        "other trainings, kernels from the roofline with assumed shares of peak. Not in it: your host, your feed, your "
        "clocks under load."
    )


def study_text(expected: StudyPrediction, compared: Comparison | None = None) -> str:
    """Write a prediction from a study, with its error where an epoch was measured."""
    rate = f"{wording.significant(expected.gflop_per_s)} GFLOP/s" if expected.gflop_per_s else "a rate too high to see"
    lines = [
        "A model, not a measurement.",
        f"ResNet{expected.depth}, batch {expected.batch_size}, strategy {expected.strategy}, on the machine of "
        f"{expected.study}.",
        "",
        f"Expected  {_ms(expected.step_ms)} a step, {_seconds(expected.epoch_s)} an epoch",
        f"Terms     {wording.significant(expected.operation_us)} us an operation, {rate}; "
        f"divided by {expected.divided_by}",
        "Measured before",
        *(
            f"  {step.strategy}, ResNet{step.depth}, batch {step.batch_size}: {_ms(step.step_ms)} a step in its "
            f"fastest run, {wording.milliseconds(step.slowest_ms)} in its slowest ({step.study})"
            for step in expected.measured
        ),
    ]
    if compared is not None:
        off = 1 / compared.times_expected - 1
        where = "inside its range" if compared.answer == "as expected" else f"{compared.answer} than its range"
        measured = wording.significant(compared.measured_epoch_s)
        lines += ["", f"Measured  {measured} s an epoch, {where}: the prediction is {100 * off:+.0f} % off"]
    return "\n".join(lines)


def _seconds(estimate: Estimate) -> str:
    return f"{wording.significant(estimate.value)} s ({_range(estimate)})"


def _ms(estimate: Estimate) -> str:
    return f"{wording.significant(estimate.value)} ms ({_range(estimate)})"


def _us(estimate: Estimate) -> str:
    return f"{wording.significant(estimate.value)} us ({_range(estimate)})"


def _range(estimate: Estimate) -> str:
    return f"{wording.significant(estimate.low)} to {wording.significant(estimate.high)}"
