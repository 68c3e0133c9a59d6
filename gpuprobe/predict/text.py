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


def card_text(found: CardPrediction, compared: Comparison | None = None) -> str:
    """Write a prediction for a card, with what a measured epoch says beside it."""
    card = found.card
    lines = [
        "A model, not a measurement.",
        f"ResNet{found.depth} on 50,000 images of 32x32, batch {found.batch_size}, float32, on {card.name}: "
        f"{card.sm_count} SMs at {card.boost_mhz:.0f} MHz, compute capability {card.compute_capability}, "
        f"{wording.significant(found.peak_flop_per_s / 1e12)} TFLOP/s, {wording.significant(card.bandwidth_gb_s or 0)} "
        f"GB/s ({card.source}).",
        *(["Its clocks are nominal: the maker of a laptop sets its power limit."] if card.kind == "laptop" else []),
        "",
        f"Expected  {_seconds(found.epoch_s)} an epoch, {_ms(found.step_ms)} a step, on a host as fast as the table's",
        f"Card only {_seconds(found.card_bound_epoch_s)} an epoch, if only the card limited you",
        f"Pace      set by {SETS_THE_PACE[found.binds]}",
        "",
        "Terms of a step (launches and kernels run side by side, so the longer of them counts)",
        f"  host between steps  {_ms(found.host_ms)}",
        f"  launches            {_ms(found.launch_ms)}: {found.operations:,} operations, {_us(found.launch_us)} apart",
        f"  kernels, arithmetic {_ms(found.compute_ms)}: {wording.significant(found.flop_per_step / 1e9)} GFLOP",
        f"  kernels, memory     {_ms(found.memory_ms)}: {wording.mebibytes(found.bytes_per_step / MIB)} moved",
        f"  kernels, small      {_ms(found.small_ms)}",
        f"  share of peak       {wording.share(found.share_of_peak(found.epoch_s.value))}",
    ]
    if compared is not None:
        lines += ["", *_against(found, compared)]
    return "\n".join([*lines, "", _basis()])


def _against(found: CardPrediction, compared: Comparison) -> list[str]:
    measured_s, launch_us = compared.measured_epoch_s, compared.launch_us or 0.0
    step_ms = 1e3 * measured_s / found.steps_per_epoch
    says = {
        "as expected": "Yes: this is what the model expects.",
        "faster": "Faster than expected: this host starts operations faster than the table's, or fuses them.",
        "slower": "Perhaps: slower than expected, but no slower than if the card alone had set the table's pace. "
        "`gpuprobe run` tells.",
        "slower than the card explains": (
            f"No: the model gives this card {wording.significant(measured_s - compared.unexplained_s)} s at most: "
            f"at least {wording.significant(compared.unexplained_s)} s of each epoch "
            f"({wording.share(compared.unexplained_s / measured_s)}) are not the card's. If it is all in launches, "
            f"they are {wording.significant(launch_us)} us apart, "
            f"{wording.significant(launch_us / found.launch_us.value)} times as far as the table's; a slow feed, "
            "work between steps or a throttled card look the same from here. `gpuprobe run` tells them apart."
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


def study_text(found: StudyPrediction, compared: Comparison | None = None) -> str:
    """Write a prediction from a study, with its error where an epoch was measured."""
    rate = f"{wording.significant(found.gflop_per_s)} GFLOP/s" if found.gflop_per_s else "a rate too high to see"
    lines = [
        "A model, not a measurement.",
        f"ResNet{found.depth}, batch {found.batch_size}, strategy {found.strategy}, on the machine of {found.study}.",
        "",
        f"Expected  {_ms(found.step_ms)} a step, {_seconds(found.epoch_s)} an epoch",
        f"Terms     {wording.significant(found.operation_us)} us an operation, {rate}; divided by {found.divided_by}",
        "Measured before",
        *(
            f"  {step.strategy}, ResNet{step.depth}, batch {step.batch_size}: {_ms(step.step_ms)} a step in its "
            f"fastest run, {wording.milliseconds(step.slowest_ms)} in its slowest ({step.study})"
            for step in found.measured
        ),
    ]
    if compared is not None:
        off = 1 / compared.times_expected - 1
        where = "inside its range" if compared.answer == "as expected" else f"{compared.answer} than its range"
        measured = wording.significant(compared.measured_epoch_s)
        lines += ["", f"Measured  {measured} s an epoch, {where}: the prediction is {100 * off:+.0f} % off"]
    return "\n".join(lines)


def _seconds(found: Estimate) -> str:
    return f"{wording.significant(found.value)} s ({_range(found)})"


def _ms(found: Estimate) -> str:
    return f"{wording.significant(found.value)} ms ({_range(found)})"


def _us(found: Estimate) -> str:
    return f"{wording.significant(found.value)} us ({_range(found)})"


def _range(found: Estimate) -> str:
    return f"{wording.significant(found.low)} to {wording.significant(found.high)}"
