"""What each flaw of `gpu_flaws.py` must be called on a GPU, several where each is right; imports no backend."""

# What tells most comes first: the time may not last for all.
EXPECTED = {
    "many_small_layers": ("launch_bound", "batch_too_small"),
    "healthy": ("compute_bound",),
    # Keras runs a generator in the training's own thread under JAX, where it shows as work of the host.
    "slow_generator": ("input_bound", "host_work"),
    "wide_batches": ("copy_bound", "input_bound"),
    "reading_the_loss": ("sync_every_step",),
    "sleeping_callback": ("host_between_steps",),
    "shared_card": ("gpu_shared",),
    "python_in_the_input": ("host_work", "input_bound"),
    "a_shape_for_each_step": ("recompiling", "one_time_work", "eager_or_retracing"),
}
