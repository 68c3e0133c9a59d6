"""Advice for traces of other frameworks than TensorFlow: the fix and its code, by framework."""

from __future__ import annotations

# The frameworks beside TensorFlow whose traces are recognised and that have advice of their own.
FRAMEWORKS = frozenset({"pytorch", "jax"})
# For each cause, by framework: the fix, and its code, empty where no single line does it.
INPUT_BOUND = {
    "pytorch": (
        "Make the input pipeline faster: more workers, pinned memory, batches prepared ahead.",
        "DataLoader(data, num_workers=4, pin_memory=True, persistent_workers=True, prefetch_factor=2)",
    ),
    "jax": (
        "Make batches ahead on a thread of their own, and put them on the device before they are needed.",
        "batches = flax.jax_utils.prefetch_to_device(batches, 2)",
    ),
}
LAUNCH_BOUND = {
    "pytorch": (
        "Launch less for the same work: compile the model, with CUDA graphs, or take a larger batch.",
        'model = torch.compile(model, mode="reduce-overhead")',
    ),
    "jax": (
        "Launch less for the same work: one jax.jit around the whole step, several steps in one scan, or a larger "
        "batch.",
        "state, losses = jax.jit(lambda state, batches: jax.lax.scan(train_step, state, batches))(state, batches)",
    ),
}
EAGER = {
    "pytorch": (
        "PyTorch runs the step one operation at a time, each started from Python: compile it, and give it batches of "
        "one shape.",
        "model = torch.compile(model)  # in Keras: model.compile(optimizer, loss, jit_compile=True)",
    ),
    "jax": (
        "Put the whole step into one jax.jit (in Keras: no run_eagerly), and give it batches of one shape.",
        "train_step = jax.jit(train_step, donate_argnums=0)",
    ),
}
COPY_BOUND = {
    "pytorch": (
        "Copy less and earlier: from pinned memory without waiting, uint8 that is cast on the device.",
        'batch = batch.to("cuda", non_blocking=True)  # with DataLoader(..., pin_memory=True)',
    ),
    "jax": (
        "Copy less and earlier: put the next batch on the device while this one computes, as uint8 to cast there.",
        "following = jax.device_put(next(batches))  # before this step's result is asked for",
    ),
}
READING_BACK = {
    "pytorch": (
        "Read less from the GPU: reduce results there, keep them there until the end, and read into pinned memory "
        "without waiting.",
        'results = outputs.argmax(-1).to("cpu", non_blocking=True)  # in place of outputs.cpu()',
    ),
    "jax": (
        "Read less from the GPU: reduce results inside the jitted function, and read them once after many steps.",
        "results = jnp.argmax(outputs, axis=-1)  # in the jitted function; jax.device_get(results) after the loop",
    ),
}
COPIES_ON_GPU = {
    "pytorch": (
        "Copy less on the GPU: no clone(), contiguous() or torch.cat in each step where a view does, and "
        "torch.compile, which fuses copies into kernels.",
        "model = torch.compile(model)",
    ),
    "jax": (
        "Copy less on the GPU: donate the arrays that a step replaces, and carry less through lax.scan: what no "
        "iteration changes is no part of the carry.",
        "train_step = jax.jit(train_step, donate_argnums=0)",
    ),
}
SYNC_EVERY_STEP = {
    "pytorch": (
        "Read losses and metrics on the host once in many steps, not in each.",
        "if step % 100 == 0:\n    print(loss.item())  # and no .item(), .cpu() or print(tensor) elsewhere",
    ),
    "jax": (
        "Read losses and metrics on the host once in many steps: no float(loss) and no block_until_ready in each.",
        "",
    ),
}
HOST_BETWEEN_STEPS = {
    "pytorch": (
        "Do less Python between steps: log, evaluate and save less often; make batches in DataLoader workers.",
        "",
    ),
    "jax": (
        "Do less Python between the calls of the compiled function; make batches ahead on a thread of their own.",
        "",
    ),
}
RECOMPILING = {
    "pytorch": (
        "Let every step have the same shapes and types, or let the compiler know which of them change.",
        "model = torch.compile(model, dynamic=True)",
    ),
    "jax": (
        "Let every step have the same shapes, types and static arguments.",
        'jax.config.update("jax_log_compiles", True)  # names what is compiled again',
    ),
}
