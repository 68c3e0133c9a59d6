"""`gpuprobe predict`: what an epoch should take, on a card of the table or on the machine of a study."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gpuprobe.cli._ends import echo_json
from gpuprobe.cli._help import DescribedCommand, exit_codes_of
from gpuprobe.cli._options import READ_PATH, WRITTEN_PATH, Figure, Number, complete_cards
from gpuprobe.cli._wrap import echo_lines
from gpuprobe.errors import UsageError

if TYPE_CHECKING:
    from gpuprobe.records import Record

HELP_ORDER = 50
HELP_GROUP = "Understand"
EXAMPLES = (
    ('gpuprobe predict --gpu "GTX 1060 3GB" --measured 170', "is 170 s an epoch right for this card?"),
    ('gpuprobe predict --gpu "GTX 1080 Ti" --model resnet110', "a deeper model"),
    ("gpuprobe predict --from reports/STUDY --depth 56", "for the machine that a study was measured on"),
)
EXIT_CODES = exit_codes_of("predicted", 3, 4)


@click.command("predict", cls=DescribedCommand, examples=EXAMPLES, exit_codes=EXIT_CODES)
@click.option(
    "--gpu", metavar="NAME", shell_complete=complete_cards, help="The card, as the driver or a shop names it."
)
@click.option(
    "--from",
    "studies",
    type=READ_PATH,
    multiple=True,
    metavar="STUDY",
    help="Predict for this study's machine; may be given again.",
)
@click.option("--model", metavar="resnetN", help="The built-in model, as resnet20.")
@click.option("--depth", type=int, metavar="NUMBER", help="Depth of the ResNet: 20, 32, 44, 56, 110. [default: 20]")
@click.option("--batch-size", type=Number(min=1), default=32, help="Samples a step.")
@click.option("--strategy", help="With --from: the strategy. [default: numpy]")
@click.option("--measured", type=Figure(min=0.001), metavar="SECONDS", help="An epoch as you measured it, to compare.")
@click.option("--json", "as_json", is_flag=True, help="Print the prediction as JSON.")
@click.option(
    "--out",
    type=WRITTEN_PATH,
    metavar="FILE",
    help="With --from: add the prediction to this JSON file, before the run that it predicts.",
)
def command(
    gpu: str | None,
    studies: tuple[Path, ...],
    model: str | None,
    depth: int | None,
    batch_size: int,
    strategy: str | None,
    measured: float | None,
    as_json: bool,
    out: Path | None,
) -> None:
    """Predict an epoch's time on a card, or on a study's machine.

    A model, not a measurement: roofline, launches and host.
    """
    layers = _resnet_depth(model, depth)
    if (gpu is None) == (not studies):
        raise UsageError("name a card with --gpu, or a measured study with --from: one of the two")
    if studies:
        _predict_from_study(studies, layers, batch_size, strategy, measured, as_json, out)
        return
    if out is not None:
        raise UsageError("--out goes with --from: the prediction for a card is always the same")
    if strategy is not None:
        raise UsageError("--strategy goes with --from: the table of cards has no strategies")
    from gpuprobe.cards import find
    from gpuprobe.predict.card import predict_card
    from gpuprobe.predict.compare import compare_card
    from gpuprobe.predict.text import card_text

    prediction = predict_card(find(gpu or ""), layers, batch_size)
    compared = compare_card(prediction, measured) if measured else None
    if as_json:
        echo_json(_prediction_json(prediction, compared))
    else:
        echo_lines(card_text(prediction, compared))


def _resnet_depth(model: str | None, depth: int | None) -> int:
    model_match = re.fullmatch(r"resnet(\d+)(?:[-_]?v1)?", (model or "").lower())
    if model is not None and model_match is None:
        raise UsageError(f"--model: {model!r} is not built in; it is resnet20, resnet32, resnet44, resnet56, resnet110")
    if model_match and depth is not None and int(model_match[1]) != depth:
        raise UsageError(f"--model {model} and --depth {depth} contradict each other")
    return depth or (int(model_match[1]) if model_match else 20)


def _predict_from_study(
    studies: tuple[Path, ...],
    depth: int,
    batch_size: int,
    strategy: str | None,
    measured: float | None,
    as_json: bool,
    out: Path | None,
) -> None:
    from gpuprobe.predict.compare import compare_study
    from gpuprobe.predict.study import predict_from, remember
    from gpuprobe.predict.text import study_text

    prediction = predict_from(studies, depth=depth, batch_size=batch_size, strategy=strategy)
    if out is not None:
        remember(out, prediction)
    comparison = compare_study(prediction, measured) if measured else None
    if as_json:
        echo_json(_prediction_json(prediction, comparison))
    else:
        echo_lines(study_text(prediction, comparison) + (f"\nWritten to {out}" if out else ""))


def _prediction_json(prediction: Record, compared: Record | None) -> bytes:
    from gpuprobe.records import to_json

    return to_json({"prediction": prediction, "compared": compared})
