"""Causes in how several devices or workers exchange what they computed."""

from __future__ import annotations

from typing import Literal

from gpuprobe.diagnosis.causes.cause import BOTH, Cause, Part

ExchangeId = Literal[
    "collective_bound",
    "straggler",
]
EXCHANGE: tuple[Cause[ExchangeId], ...] = (
    Cause(
        id="collective_bound",
        words="exchanging gradients between devices takes the time",
        signature="Kernels of a collectives library run while no other does; on processors, operations that exchange.",
        fix="Exchange less often or in fewer, larger parts, in float16, or over a faster link.",
        mistaken_for="straggler: a device in an exchange may only wait for another, which its own trace cannot tell",
        devices=("gpu", "cpu"),
        part=Part(
            "share.exchange",
            "collective_share",
            "Exchanging gradients between devices takes {share} of the step ({time}) in which nothing is computed.",
            ("kernel_fraction",),
            BOTH,
        ),
        roots=("straggler",),
        root_is_most=True,
    ),
    Cause(
        id="straggler",
        words="one device is slower than the others, which wait for it",
        signature="One device comes last to the exchanges, or computes longer than the median of the others.",
        fix="Give it its equal share of the data, and look at its clocks, its heat and who else uses it.",
        mistaken_for="collective_bound: the others wait inside an exchange",
        devices=("gpu", "cpu"),
        part=Part(
            "share.idle_peer",
            "collective_share",
            "This {device} waits {share} of the step ({time}) for another device.",
            on=BOTH,
        ),
        thresholds=("straggler_ratio", "kept_waiting_share"),
        signals=(
            "straggler_ratio",
            "straggler_share",
            "straggler_device",
            "kept_waiting_share",
            "last_to_exchanges",
        ),
    ),
)
