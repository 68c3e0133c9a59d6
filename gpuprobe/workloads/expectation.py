"""How long an epoch of ResNet-v1 on CIFAR-10 takes on cards for which a published figure is known."""

from __future__ import annotations

# Seconds an epoch by depth, batch 32, with the example's augmentation (keras-io, examples/cifar10_resnet.py, table).
PUBLISHED_S: dict[str, dict[int, float]] = {
    "GTX 1080 Ti": {20: 35.0, 32: 50.0, 44: 70.0, 56: 90.0, 110: 165.0},
}
SOURCE = "the table of Keras's cifar10_resnet.py, batch 32"
CIFAR_SAMPLES = 50_000


def expected_epoch_s(cards: list[str], depth: int, samples: int) -> float | None:
    """Return the published epoch time for one of the cards, for so many samples; None where nobody published one."""
    for known, by_depth in PUBLISHED_S.items():
        if any(known in card for card in cards) and depth in by_depth:
            return by_depth[depth] * samples / CIFAR_SAMPLES
    return None
