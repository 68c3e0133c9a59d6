"""Prints the public table's rows as `gpuprobe predict` gives them, beside what was published.

Only the ResNet20 row calibrates the model. `depth alone` scales that row by the number of layers.
"""

from __future__ import annotations

from gpuprobe.cards import find
from gpuprobe.predict.card import predict_card
from gpuprobe.predict.published import CALIBRATION_DEPTH, TABLE_BATCH, TABLE_CARD, TABLE_EPOCH_S


def main() -> None:
    print("| model | published s/epoch | predicted s/epoch | range | error | depth alone |")
    print("|---|---|---|---|---|---|")
    for depth, published_s in TABLE_EPOCH_S.items():
        epoch_s = predict_card(find(TABLE_CARD), depth, TABLE_BATCH).epoch_s
        alone_s = TABLE_EPOCH_S[CALIBRATION_DEPTH] * depth / CALIBRATION_DEPTH
        error = "calibrates" if depth == CALIBRATION_DEPTH else f"{100 * (epoch_s.value / published_s - 1):+.1f} %"
        print(
            f"| ResNet{depth} | {published_s:.0f} | {epoch_s.value:.1f} | {epoch_s.low:.0f} to {epoch_s.high:.0f} "
            f"| {error} | {100 * (alone_s / published_s - 1):+.1f} % |"
        )


if __name__ == "__main__":
    main()
