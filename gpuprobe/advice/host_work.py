"""Advice on the host's own work while the device waits, and on one-time work."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpuprobe.advice.given import Given

if TYPE_CHECKING:
    from gpuprobe.advice.situation import Situation

IN_THE_PIPELINE = (
    "- outputs = model(preprocessing(inputs))\n"
    "+ outputs = model(inputs)\n"
    "+ ds = ds.map(lambda x, y: (preprocessing(x), y), num_parallel_calls=tf.data.AUTOTUNE)\n"
    "+ ds = ds.prefetch(tf.data.AUTOTUNE)"
)
# The remedy and its code, by the kind of work that held the host (`ledger.host_work.WorkKind`).
BY_KIND: dict[str, tuple[str, str]] = {
    "python_function": (
        "Take the Python function out of the step: write it in TensorFlow's operations, which run on the device, or "
        "call it in the input pipeline, where it runs ahead on threads of its own.",
        "- y = tf.py_function(f, [x], tf.float32)  # in the model or the step\n"
        "+ ds = ds.map(lambda x, y: (tf.py_function(f, [x], tf.float32), y), num_parallel_calls=tf.data.AUTOTUNE)\n"
        "+ ds = ds.prefetch(tf.data.AUTOTUNE)",
    ),
    "preprocessing_layer": (
        "Text, tables and decoding run on the processor alone: apply the preprocessing layer in the input pipeline, "
        "where it runs ahead of the training, and not inside the model.",
        IN_THE_PIPELINE,
    ),
    "sample_layer": (
        "Apply the layer that prepares samples in the input pipeline, where it runs ahead of the training on cores "
        "that are free, and not inside the model.",
        IN_THE_PIPELINE,
    ),
    "operation": (
        "An operation of the step runs on the processor: there is no kernel for the device or for its type (int32, "
        "strings), or the code places it there. Move it into the input pipeline, or onto the device.",
        "+ tf.debugging.set_log_device_placement(True)  # names the operations that are on the processor",
    ),
    "staging": (
        "The data are in pageable memory, so the call that copies to the device first copies them into a buffer. Feed "
        "through tf.data with a prefetch, which copies on a thread of its own, and feed smaller types.",
        '+ ds = ds.apply(tf.data.experimental.prefetch_to_device("/GPU:0"))',
    ),
    "preparing": (
        "Samples are prepared in the step's own thread. Prepare them ahead: in the map of a tf.data pipeline, or in a "
        "PyDataset with workers.",
        "+ ds = ds.map(prepare, num_parallel_calls=tf.data.AUTOTUNE).prefetch(tf.data.AUTOTUNE)",
    ),
}
GENERAL = (
    "Take the work out of the step: into the input pipeline, onto the device, or onto another thread. Fewer or fused "
    "launches do not shorten it."
)
# For other frameworks.
HOST_WORK = {
    "pytorch": (
        "Take the work out of the step's own thread: prepare samples in DataLoader workers, copy from pinned memory "
        "without waiting, and keep on the device what is computed there. CUDA graphs do not shorten it.",
        "loader = DataLoader(data, num_workers=4, pin_memory=True, persistent_workers=True)",
    ),
    "jax": (
        "Take the work out of the step's own thread: make batches ahead on another one, and keep on the device what is "
        "computed there. Larger compiled functions do not shorten it.",
        "",
    ),
}
ONE_TIME_WORK = {
    "pytorch": (
        "Trace later, when kernels are loaded and compiled: let the profiler wait and warm up first.",
        "schedule = torch.profiler.schedule(wait=5, warmup=3, active=5)",
    ),
    "jax": ("Trace later: start the profiler after the first steps, when all shapes are compiled.", ""),
}


def host_work(here: Situation, stage: str | None) -> Given:
    """Advise against the kind of work that held the host; in general words where its kind is not known."""
    del stage
    fix, code = BY_KIND.get(here.held_kind, (GENERAL, ""))
    # In the pipeline of a processor's training it takes the cores of the step: not all of it is won.
    moved = here.held_kind == "sample_layer" and not here.on_gpu
    return Given(fix, code, "" if moved else "host_work_removed")


def rnn_without_cudnn(here: Situation, stage: str | None) -> Given:
    """Advise the settings with which cuDNN runs a recurrent layer; without a GPU, fewer iterations."""
    del stage
    if not here.on_gpu:
        return Given(
            "On a processor the layer runs as a loop anyway: take shorter sequences, or unroll=True for short ones. "
            "On a GPU cuDNN runs it whole, with its default activations and without recurrent_dropout."
        )
    return Given(
        "Let cuDNN run the layer whole: its default activations (tanh and sigmoid), recurrent_dropout 0, unroll off, "
        "and padding only at the end of a sequence. use_cudnn=True says so where a setting forbids it.",
        '- keras.layers.LSTM(units, activation="relu", recurrent_dropout=0.2)\n+ keras.layers.LSTM(units, dropout=0.2)',
    )


def one_time_work(here: Situation, stage: str | None) -> Given:
    """Advise a trace of later steps."""
    del here, stage
    return Given(
        "Trace later, when first calls, autotuning and compiling are done: the steps after them show what the training "
        "costs. If this work comes again with each new shape, give every step the same shapes.",
        '- keras.callbacks.TensorBoard("logs", profile_batch=1)\n'
        '+ keras.callbacks.TensorBoard("logs", profile_batch="20,25")',
        "one_time_work_removed",
    )
