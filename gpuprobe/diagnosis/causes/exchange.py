"""Causes in how several devices or workers share the work, and exchange what they computed."""

from __future__ import annotations

from typing import Literal

from gpuprobe.diagnosis.causes.cause import BOTH, Cause, Cost, Part

ExchangeId = Literal[
    "collective_bound",
    "straggler",
    "uneven_batch",
    "xla_off_under_distribution",
    "oversubscribed_cores",
    "autoshard_files",
    "keras_distribution_ignored",
]
EXCHANGE: tuple[Cause[ExchangeId], ...] = (
    Cause(
        id="collective_bound",
        words="exchanging gradients between devices takes the time",
        signature="Kernels of a collectives library run while no other does; on processors, operations that exchange.",
        fix="Exchange less often or in fewer, larger parts, in float16, or over a faster link.",
        mistaken_for="straggler: a device in an exchange may only wait for another, which its own trace does not show",
        devices=("gpu", "cpu"),
        part=Part(
            "share.exchange",
            "collective_share",
            "Exchanging gradients between devices takes {share} of the step ({time}) in which nothing is computed.",
            ("kernel_fraction", "exchange_blocking_ms"),
            BOTH,
        ),
        signals=(
            "exchange_volume_ms",
            "exchange_exposed_ms",
            "gradient_packs",
            "exchange_ahead_ms",
        ),
        roots=("straggler",),
        root_is_most=True,
        cures=("packs_overlapped", "link_times", "gradients_fp16"),
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
            "late_beyond_chance",
            "waited_for_always",
            "waited_for_steps",
            "waited_for_ms",
            "waited_for",
        ),
        roots=("uneven_batch",),
        cures=("straggler_removed",),
    ),
    Cause(
        id="uneven_batch",
        words="the batch cannot be divided evenly among the devices, and those with fewer samples wait",
        signature="The batch of all devices together is not a multiple of their number.",
        fix="Choose a batch that the number of devices divides, and set drop_remainder=True.",
        mistaken_for="straggler: the devices with one sample more come last to every exchange",
        devices=("gpu", "cpu"),
        cost=Cost(
            "uneven_share",
            "spread_share",
            "A batch of {batch_size} cannot be divided evenly among {replicas} devices: some get one sample more than "
            "the others, which then wait for up to {share} of the step.",
            ("batch_size", "replicas"),
            sure=True,
        ),
    ),
    Cause(
        id="xla_off_under_distribution",
        words="Keras switches XLA off under tf.distribute, so that each device computes more slowly than one alone",
        signature="Several devices train without XLA, and one device alone is faster with it.",
        fix="Compare with one device without XLA too. What the devices gain has to outweigh XLA; a larger batch for "
        "each, or steps_per_execution, saves a part of the launches that XLA fused.",
        mistaken_for="collective_bound: N devices that are not N times as fast also compute without XLA",
        devices=("gpu", "cpu"),
        cost=Cost(
            "xla_off_share",
            "spread_share",
            "{replicas} devices train without XLA, which Keras switches off under tf.distribute. One device alone is "
            "faster with it: computing loses up to {share} of the step.",
            ("replicas",),
        ),
        signals=("jit_compile", "gain.one_device_xla"),
    ),
    Cause(
        id="oversubscribed_cores",
        words="the replicas share too few cores",
        signature="Replicas beside each other take longer than one alone while more threads want to run than there are "
        "cores, or there are more replicas than cores.",
        fix="Give the process more cores, one for each replica at least, or train with fewer replicas.",
        mistaken_for="collective_bound: what an exchange costs shows only in runs with and without one",
        devices=("gpu", "cpu"),
        cost=Cost(
            "oversubscribed_share",
            "spread_share",
            "{replicas} replicas share {cores} cores: beside each other they lose {share} of the step.",
            ("replicas", "cores"),
        ),
    ),
    Cause(
        id="autoshard_files",
        words="each worker prepares the input of all workers and drops the parts of the others",
        signature="The pipeline's stage `Shard` comes after reading and mapping: the data are shared out by elements, "
        "not by files. With fewer files than workers sharing by files fails in one worker (`Could not apply FILE based "
        "sharding`), and leaves others without input.",
        fix="Write the data as at least as many files as there are workers, a multiple of them, and shard by file; or "
        "shard the names of the files, before they are read.",
        mistaken_for="a slow map function (input_bound): the pipeline is as slow as the sum of all workers' parts",
        devices=("gpu", "cpu"),
        cost=Cost(
            "shard_dropped_share",
            "spread_share",
            "The pipeline makes {shards} batches for each that it keeps: {share} of the step goes into waiting for "
            "what it drops for the other workers.",
            ("shards",),
            sure=True,
        ),
    ),
    Cause(
        id="keras_distribution_ignored",
        words="`keras.distribution` does nothing on TensorFlow: one device trains",
        signature="A distribution over several devices is set, and Keras's backend is TensorFlow.",
        fix="Train under tf.distribute.MirroredStrategy, or use Keras's JAX backend, where keras.distribution works.",
        mistaken_for="nothing known: the settings decide it",
        devices=("gpu", "cpu"),
        cost=Cost(
            "distribution_ignored_share",
            "spread_share",
            "`keras.distribution` was given {distribution_devices} devices, and does nothing on TensorFlow: one of "
            "them trains, and up to {share} of the step could be saved.",
            ("distribution_devices",),
            sure=True,
        ),
    ),
)
