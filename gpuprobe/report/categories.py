"""The categories of an account in words: a letter, a meaning, a name for a legend, a part of a sentence."""

from __future__ import annotations

# One letter each, so that the bar reads without colours: capitals for work, small letters for idle time.
LETTERS = {
    "gpu_compute": "#",
    "cpu_compute": "#",
    "cpu_dispatch": "d",
    "gpu_collective": "A",
    "gpu_copy_h2d": "H",
    "gpu_copy_d2h": "D",
    "gpu_copy_d2d": "C",
    "idle_input": "i",
    "idle_launch": "l",
    "idle_queue": "q",
    "idle_sync": "s",
    "idle_between_steps": "b",
    "idle_compile": "c",
    "idle_memory": "m",
    "unattributed": "?",
}
MEANINGS = {
    "gpu_compute": "kernels run",
    "cpu_compute": "operations run",
    "cpu_dispatch": "the function and its operations are called, and none runs",
    "gpu_collective": "devices exchange gradients, no kernel runs",
    "gpu_copy_h2d": "copy to the device that no kernel hides",
    "gpu_copy_d2h": "copy to the host that no kernel hides",
    "gpu_copy_d2d": "copy or fill within the device that no kernel hides",
    "idle_input": "idle: the host waits for the next batch",
    "idle_launch": "idle: the host has not launched the next work yet",
    "idle_queue": "idle: launched, not yet started",
    "idle_sync": "idle: the host is inside a synchronising call or a read",
    "idle_between_steps": "idle: the host is outside the training function",
    "idle_compile": "idle: the host compiles or builds a graph",
    "idle_memory": "idle: the host allocates device memory",
    "unattributed": "the trace does not tell",
}
# The same in a few words, for a legend.
SHORT = {
    "gpu_compute": "GPU computes",
    "cpu_compute": "processor computes",
    "cpu_dispatch": "starts operations",
    "gpu_collective": "exchanges gradients",
    "gpu_copy_h2d": "copies to the GPU",
    "gpu_copy_d2h": "copies to the host",
    "gpu_copy_d2d": "copies on the GPU",
    "idle_input": "waits for the next batch",
    "idle_launch": "waits: not launched yet",
    "idle_queue": "waits: launched, not started",
    "idle_sync": "waits: host reads a result",
    "idle_between_steps": "waits: Python between steps",
    "idle_compile": "waits: host compiles",
    "idle_memory": "waits: memory is allocated",
    "unattributed": "not explained",
}
# How a sentence about the step goes on after the share.
COMPUTED = "it computed"
LAUNCHES = "it waited for kernel launches"
TOLD = {
    "gpu_compute": COMPUTED,
    "cpu_compute": COMPUTED,
    "cpu_dispatch": "it took to start operations",
    "gpu_collective": "it exchanged gradients",
    "gpu_copy_h2d": "it copied to the GPU with no kernel running",
    "gpu_copy_d2h": "it copied to the host with no kernel running",
    "gpu_copy_d2d": "it copied within the GPU with no kernel running",
    "idle_input": "it waited for the next batch",
    "idle_launch": LAUNCHES,
    "idle_queue": LAUNCHES,
    "idle_sync": "it waited for the host, which waited for it",
    "idle_between_steps": "it waited for what the host does between steps",
    "idle_compile": "it waited for compilation",
    "idle_memory": "it waited for memory to be allocated",
    "unattributed": "is not explained",
}
