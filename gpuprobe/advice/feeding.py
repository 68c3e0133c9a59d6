"""Advice on how batches reach the device: what the input pipeline lacks, by the stages in the trace."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpuprobe.advice.given import Given
from gpuprobe.thresholds import fixed

if TYPE_CHECKING:
    from gpuprobe.advice.situation import Situation

PYTHON_LOOP = """\
- for start in range(0, len(x), SIZE):
-     model.train_on_batch(x[start : start + SIZE], y[start : start + SIZE])
+ model.fit(x, y, batch_size=SIZE)"""
GENERATOR = """\
- ds = tf.data.Dataset.from_generator(batches, output_signature=signature)
+ ds = tf.data.Dataset.from_tensor_slices((x, y)).map(scale, num_parallel_calls=tf.data.AUTOTUNE)
+ ds = ds.batch(SIZE).prefetch(tf.data.AUTOTUNE)"""
WORKERS = "- model.fit(Batches())\n+ model.fit(Batches(workers=MORE, max_queue_size=QUEUE))"
USUAL_WORKERS = 8
PARALLEL = "- ds = ds.map(scale)\n+ ds = ds.map(scale, num_parallel_calls=tf.data.AUTOTUNE)"
PREFETCH = "+ ds = ds.prefetch(tf.data.AUTOTUNE)  # as the last stage"
KEPT = "- ds = ds.map(scale)\n+ ds = ds.map(scale).cache()  # before any repeat(), if the data fit into memory"
KEPT_LATER = "- ds = ds.cache().map(scale)\n+ ds = ds.map(scale).cache()  # if the data fit into memory"
BATCH_FIRST = "- ds = ds.map(scale).batch(SIZE)\n+ ds = ds.batch(SIZE).map(scale)  # of whole batches"
KEPT_BEFORE_RANDOM = """\
- ds = ds.map(lambda image, label: (augment(scale(image)), label))
+ ds = ds.map(scale).cache().map(lambda image, label: (augment(image), label))"""
READ_ONCE = "+ ds = ds.cache()  # right after reading, before anything random, if the data fit into memory"
FASTER_FIRST = """\
- ds = ds.map(scale).cache()
+ ds = ds.map(scale, num_parallel_calls=tf.data.AUTOTUNE).cache()"""
SMALLER_BUFFER = "- ds = ds.shuffle(buffer_size)\n+ ds = ds.shuffle(min(buffer_size, 2_000))"
ON_THE_DEVICE = """\
- ds = ds.map(lambda image, label: (augment(image), label))
+ model = keras.Sequential([keras.layers.RandomFlip("horizontal"), keras.layers.RandomTranslation(0.1, 0.1), model])"""
BATCH_THEN_PARSE = """\
- ds = records.map(lambda record: tf.io.parse_single_example(record, features)).batch(SIZE)
+ ds = records.batch(SIZE).map(lambda record: tf.io.parse_example(record, features))"""
WITHOUT_PYTHON = """\
- ds = ds.map(lambda image, label: (tf.numpy_function(by_numpy, [image], tf.float32), label)).batch(SIZE)
+ ds = ds.batch(SIZE).map(lambda images, labels: (by_tensorflow(images), labels))"""
ONE_ITERATOR = """\
- for step in range(steps):
-     x, y = next(iter(ds))
+ batches = iter(ds.repeat())
+ for step in range(steps):
+     x, y = next(batches)"""

SEVERAL_FILES = (
    "Where the work waits for files, read several at once: interleave with cycle_length=16 and "
    "num_parallel_calls=tf.data.AUTOTUNE takes the place of one file after the other."
)

INPUT_FREE, PARALLEL_MAP, PER_BATCH = "input_free", "parallel_map", "map_per_batch"

BY_STAGE = {
    "cold_cache": Given(
        "Read the data once: cache() in memory, or a copy on a faster disk. Later epochs gain.",
        READ_ONCE,
        INPUT_FREE,
    ),
    "cold_cache_seen": Given(
        "The cache is being filled: from the second epoch on this time is gone. If there are few epochs, map in "
        "parallel too, or give cache() a file, which the next training finds.",
        FASTER_FIRST,
        INPUT_FREE,
    ),
    "shuffle_fill": Given(
        "Fill the shuffle buffer sooner: use a smaller one, or shuffle the order of the files.",
        SMALLER_BUFFER,
        INPUT_FREE,
    ),
    "no_prefetch": Given(
        "Prefetch at the end, so that the next batch is made while this one is used.", PREFETCH, "prefetch"
    ),
}


def input_bound(here: Situation, stage: str | None) -> Given:
    """Advise what the pipeline lacks; if it lacks nothing, less work for each sample."""
    advice = _by_stage(here, stage or "")
    of_files = stage in {"slow_map", "cold_cache"} and here.has("Interleave")
    fix = f"{advice.fix} {SEVERAL_FILES}" if of_files else advice.fix
    return Given(fix, advice.code.replace("SIZE", here.batch_words), advice.change)


def _by_stage(here: Situation, stage: str) -> Given:
    if stage == "python_feed":
        return _python_feed(here)
    if stage == "cold_cache" and here.caches:
        return BY_STAGE["cold_cache_seen"]
    if stage == "shuffle_fill" and here.own_loop:
        return Given(
            "A shuffle buffer is filled again whenever an iterator begins: take the batches of all steps from one "
            f"iterator. {BY_STAGE[stage].fix}",
            ONE_ITERATOR,
            INPUT_FREE,
        )
    return BY_STAGE[stage] if stage in BY_STAGE else _slow_map(here)


def _python_feed(here: Situation) -> Given:
    if here.data_kind == "a PyDataset":
        now = f" (it has {here.workers} now)" if here.workers is not None else ""
        more = max(USUAL_WORKERS, 2 * (here.workers or 0))
        return Given(
            f"Let several workers make the batches at once: workers= of the PyDataset{now}, with "
            "use_multiprocessing=True if the work is Python's own, not waiting, reading or numpy. Or let tf.data "
            "read the data, and do the work in its map.",
            WORKERS.replace("MORE", str(more)).replace("QUEUE", str(2 * more)),
            INPUT_FREE,
        )
    if here.has("Generator") or here.data_kind == "a generator":
        return Given(
            "Take the work out of Python: give tf.data the arrays or files themselves, and do the generator's work in "
            "its map; or make the generator a keras.utils.PyDataset with workers=.",
            GENERATOR,
            INPUT_FREE,
        )
    return Given(
        "Let fit feed the arrays: in Keras 3 that is already a tf.data pipeline with prefetch. Move Python's work on "
        "each batch into a map of tf.data, or into layers of the model.",
        PYTHON_LOOP,
        INPUT_FREE,
    )


def _slow_map(here: Situation) -> Given:
    """Advise work on whole batches where single records or Python take the time, else what the pipeline lacks.

    Of what it lacks, the largest gain comes first; a parallel map is left out if the replay rules a gain out.
    """
    if here.parsed > fixed.PARSED_AT_ONCE:
        return Given(
            "Parse a batch of records at once: batch() first, then parse_example in the map, in place of "
            "parse_single_example before it.",
            BATCH_THEN_PARSE,
            PER_BATCH,
        )
    if here.python_share >= fixed.MUCH_PYTHON:
        parallel = "in parallel already, and " if here.maps_in_parallel else ""
        return Given(
            f"The map calls Python ({parallel}only one thread at a time has the interpreter's lock): do the same with "
            "TensorFlow's operations, or with numpy for a whole batch at once; if nothing in it is random, cache() "
            "keeps its results.",
            WITHOUT_PYTHON,
            PER_BATCH,
        )
    if not here.stages:
        return Given("Make the input pipeline faster: map in parallel, prefetch at the end.", f"{PARALLEL}\n{PREFETCH}")
    ways = [*_parallel(here), *_kept(here)]
    if not here.has("Prefetch"):
        ways.append(BY_STAGE["no_prefetch"])
    cheap = _batch_first(here)
    if not ways and not cheap:
        done = [word for word, known in (("maps in parallel", here.maps_in_parallel), ("caches", here.caches)) if known]
        return Given(
            f"The pipeline already {', '.join([*done, 'and prefetches'])}: do less for each sample, or do it on the "
            "device, as layers of the model."
            if done
            else "Do less for each sample, or do it on the device, as layers of the model.",
            ON_THE_DEVICE,
            INPUT_FREE if here.on_gpu else "",
        )
    first, *others = [*cheap, *sorted(ways, key=lambda way: -here.gained(way.change))]
    return Given(
        " ".join([first.fix, *(f"Or: {way.fix[0].lower()}{way.fix[1:]}" for way in others)]), first.code, first.change
    )


def _batch_first(here: Situation) -> list[Given]:
    """Advise a map of whole batches if a sample takes so little time that calling the map costs more."""
    if not here.maps_samples or here.sample_us is None or here.sample_us > fixed.SAMPLE_CHEAP_US:
        return []
    return [
        Given(
            f"Make batches first, and let the map work on a whole one: of the {here.sample_us:.0f} us that it takes "
            "for a sample, most may be calling it.",
            BATCH_FIRST,
            PER_BATCH,
        )
    ]


def _parallel(here: Situation) -> list[Given]:
    if here.maps_in_parallel or not here.maps or here.pointless(PARALLEL_MAP):
        return []
    return [Given("Map in parallel, as far as cores are free.", PARALLEL, PARALLEL_MAP)]


def _kept(here: Situation) -> list[Given]:
    """Advise where to put `cache()`: after a map in which nothing random was seen, else before the random part.

    Nothing if there is no map, if each sample is read once, or if no place for a cache is known that would help.
    """
    repeats = any(map(here.has, ("Repeat", "ForeverRepeat")))
    if not here.maps or (here.epochs == 1 and not repeats):
        return []
    if here.caches:
        fix = (
            "Put cache() after the map, in which nothing random was seen: after the cache it runs again in each epoch."
        )
        return [Given(fix, KEPT_LATER, INPUT_FREE)] if here.mapped_after_cache and here.may_cache else []
    if here.may_cache:
        fix = "Add cache() after the map, in which nothing random was seen: later epochs skip the map."
        return [Given(fix, KEPT, INPUT_FREE)]
    if not here.random:
        return []
    # No trace shows how much of the map's work comes before the random part: no gain is predicted.
    fix = "The map is random, and a cache() after it would freeze its draws: put one before the random part."
    return [Given(fix, KEPT_BEFORE_RANDOM)]
