"""Advice on copies, by where the longest go: batches to the GPU, results to the host, or on the GPU itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpuprobe.advice.given import Given

if TYPE_CHECKING:
    from gpuprobe.advice.situation import Situation

BYTES = """\
- ds = ds.map(lambda image, label: (tf.cast(image, tf.float32) / 255, label))
+ model = keras.Sequential([keras.layers.Rescaling(1 / 255), model])  # bytes cross the bus, a quarter of float32"""
TO_DEVICE = "+ ds = ds.apply(tf.data.experimental.prefetch_to_device('/GPU:0'))  # as the last stage"
READ_LESS = """\
- results = [model(x).numpy() for x, y in ds]
+ results = [tf.argmax(model(x), axis=-1) for x, y in ds]  # read after the loop"""
FUSED = "- model.compile(optimizer, loss)\n+ model.compile(optimizer, loss, jit_compile=True)"


def copy_bound(here: Situation, stage: str | None) -> Given:
    """Advise to copy less, then earlier, by where the longest copies go (`stage`)."""
    if stage == "to_host":
        return Given(
            "Read less from the GPU: reduce results there (the class in place of all logits), and read them once after "
            "many steps.",
            READ_LESS,
        )
    if stage == "on_gpu":
        fuse = " jit_compile=True fuses many of them into kernels." if here.jit_compile is not True else ""
        return Given(
            "Move less on the GPU itself: operations that only join, pad, transpose or clear tensors, and values that "
            f"a loop carries along unchanged.{fuse}",
            FUSED if fuse and not here.own_loop else "",
        )
    if here.feed_dtype == "uint8":
        return Given("Copy earlier: prefetch to the device, or keep the data there.", TO_DEVICE, "copies_hidden")
    fix = "Copy less: feed uint8 and scale on the device. Then copy earlier: prefetch to the device."
    return Given(fix, BYTES, "uint8_feed")
