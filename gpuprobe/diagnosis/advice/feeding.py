"""Advice on how batches reach the device."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gpuprobe.diagnosis.advice.situation import Situation

PYTHON_LOOP = """\
- for start in range(0, len(x), SIZE):
-     model.train_on_batch(x[start : start + SIZE], y[start : start + SIZE])
+ model.fit(x, y, batch_size=SIZE)"""
GENERATOR = """\
- ds = tf.data.Dataset.from_generator(batches, output_signature=signature)
+ ds = tf.data.Dataset.from_tensor_slices((x, y)).map(scale, num_parallel_calls=tf.data.AUTOTUNE)
+ ds = ds.batch(SIZE).prefetch(tf.data.AUTOTUNE)"""
WORKERS = "- model.fit(Batches())\n+ model.fit(Batches(workers=4, max_queue_size=16))"
PREFETCH = "+ ds = ds.prefetch(tf.data.AUTOTUNE)"
READ_ONCE = "+ ds = ds.cache()  # before anything random, and where the data fit into memory"
FASTER_FIRST = """\
- ds = ds.map(scale).cache()
+ ds = ds.map(scale, num_parallel_calls=tf.data.AUTOTUNE).cache()"""
SMALLER_BUFFER = "- ds = ds.shuffle(buffer_size)\n+ ds = ds.shuffle(min(buffer_size, 2_000))"
ON_THE_DEVICE = """\
- ds = ds.map(lambda image, label: (augment(image), label))
+ model = keras.Sequential([keras.layers.RandomFlip("horizontal"), keras.layers.RandomTranslation(0.1, 0.1), model])"""
BYTES = """\
- ds = ds.map(lambda image, label: (tf.cast(image, tf.float32) / 255, label))
+ model = keras.Sequential([keras.layers.Rescaling(1 / 255), model])  # bytes cross the bus, a quarter of float32"""
TO_DEVICE = "+ ds = ds.apply(tf.data.experimental.prefetch_to_device('/GPU:0'))  # as the last stage"


# Where the stage alone decides; a stage with "_seen" is one whose remedy the trace shows to be there in part.
BY_STAGE = {
    "python_feed": (
        "Let fit feed the arrays: in Keras 3 that is a tf.data pipeline with prefetch already. What Python does to "
        "each batch belongs into a map of tf.data, or into layers of the model.",
        PYTHON_LOOP,
    ),
    "python_feed_seen": (
        "Take the work out of Python: give tf.data the arrays or files themselves, and let its map do in parallel "
        "what the generator does.",
        GENERATOR,
    ),
    "python_feed_a PyDataset": (
        "Let several workers make the batches at once: workers= of the PyDataset, with use_multiprocessing=True where "
        "the work is Python's own and not waiting, reading or numpy. Or give tf.data what the PyDataset reads, and its "
        "map what it does.",
        WORKERS,
    ),
    "cold_cache": ("Read the data once: cache() in memory, or a copy on a faster disk.", READ_ONCE),
    "cold_cache_seen": (
        "The cache is being filled: from the second epoch on nothing of this is left. Where epochs are few, map in "
        "parallel too, or name a file in cache() that the next training finds.",
        FASTER_FIRST,
    ),
    "shuffle_fill": (
        "Fill the shuffle buffer sooner: a smaller one, or files that are shuffled as they lie.",
        SMALLER_BUFFER,
    ),
}
SEEN = {"python_feed": ("Generator",), "cold_cache": ("MemoryCache", "FileCache")}


def input_bound(here: Situation, stage: str | None) -> tuple[str, str]:
    """Give what the pipeline lacks; where it lacks nothing, less work for each sample."""
    stage = stage or ""
    if stage in BY_STAGE:
        seen = any(map(here.has, SEEN.get(stage, ()))) or (stage == "python_feed" and here.data_kind == "a generator")
        own = f"{stage}_{here.data_kind}"
        fix, code = BY_STAGE[own if own in BY_STAGE else f"{stage}_seen" if seen else stage]
        return fix, code.replace("SIZE", here.batch_words)
    lacking = _lacking(here)
    if not lacking:
        return (
            "The pipeline maps in parallel, caches and prefetches already: do less for each sample, or do it on the "
            "device, as layers of the model.",
            ON_THE_DEVICE,
        )
    words = {"map": "map in parallel", "cache": "cache() what does not change", "prefetch": "prefetch at the end"}
    told = ", ".join(words[name] for name in lacking)
    return f"Make the input pipeline faster: {told}.", _pipeline(lacking)


def copy_bound(here: Situation, stage: str | None) -> tuple[str, str]:
    """Copy less, then earlier."""
    del stage
    if here.feed_dtype == "uint8":
        return "Copy earlier: prefetch to the device, or keep the data there.", TO_DEVICE
    return "Copy less and earlier: feed uint8 and scale on the device, then prefetch to the device.", BYTES


def _lacking(here: Situation) -> list[str]:
    if not here.stages:
        return ["map", "cache", "prefetch"]
    missing = {
        "map": not here.has("ParallelMap"),
        "cache": not here.has("MemoryCache") and not here.has("FileCache") and not here.has("Cache"),
        "prefetch": not here.has("Prefetch"),
    }
    return [name for name, lacks in missing.items() if lacks]


def _pipeline(lacking: list[str]) -> str:
    call = "ds.map(scale, num_parallel_calls=tf.data.AUTOTUNE)" if "map" in lacking else "ds.map(scale)"
    lines = []
    if lacking != ["prefetch"]:
        cached = f"{call}.cache()  # before anything random" if "cache" in lacking else call
        lines += ["- ds = ds.map(scale)", f"+ ds = {cached}"]
    if "prefetch" in lacking:
        lines.append(f"{PREFETCH}  # as the last stage")
    return "\n".join(lines)
