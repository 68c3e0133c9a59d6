"""The categories of the breakdown. An instant that fits several of them goes to the first."""

from __future__ import annotations

# Device work: an instant with a computing kernel is compute, whatever else runs. A copy counts where no kernel runs.
BUSY = ("gpu_compute", "gpu_copy_h2d", "gpu_copy_d2h", "gpu_copy_d2d", "gpu_collective")
# Idle time goes to the first of these that the host was in; the rest is `UNATTRIBUTED`.
IDLE = (
    "idle_peer",
    "idle_compile",
    "idle_once",
    "idle_memory",
    "idle_input",
    "idle_sync",
    "idle_between_steps",
    "idle_host_work",
    "idle_queue",
    "idle_launch",
)
UNATTRIBUTED = "unattributed"
# The order in which reports show them: device work, then idle time.
GPU_CATEGORIES = (
    *BUSY,
    "idle_input",
    "idle_launch",
    "idle_queue",
    "idle_host_work",
    "idle_sync",
    "idle_between_steps",
    "idle_once",
    "idle_compile",
    "idle_memory",
    "idle_peer",
    UNATTRIBUTED,
)
# Where the processor is the device, idle time comes first: an operation of the input pipeline is no training.
CPU_PRECEDENCE = (
    "idle_compile",
    "idle_once",
    "idle_input",
    "idle_between_steps",
    "cpu_compute",
    "idle_peer",
    "cpu_collective",
    "idle_host_work",
    "cpu_dispatch",
)
CPU_CATEGORIES = (
    "cpu_compute",
    "cpu_dispatch",
    "cpu_collective",
    "idle_input",
    "idle_host_work",
    "idle_between_steps",
    "idle_once",
    "idle_compile",
    "idle_peer",
    UNATTRIBUTED,
)
COPIES = ("gpu_copy_h2d", "gpu_copy_d2h", "gpu_copy_d2d")
# Idle time in which the next kernel has not been launched, or not been started.
LATE = ("idle_launch", "idle_queue", "idle_host_work")
