"""Which fields of a GPU become signals of a summary, with their units. To show another, add a line here."""

from __future__ import annotations

import re

# The reasons for reduced clocks (nvml.h, nvmlClocksEventReasons*).
THROTTLE_REASONS = {
    "power_cap": 0x4,
    "hardware_slowdown": 0x8,
    "sync_boost": 0x10,
    "thermal": 0x20,
    "hardware_thermal": 0x40,
    "power_brake": 0x80,
}
# All reasons except "sync boost", which waits for a slower card of a group: that is neither heat nor power.
THROTTLED_MASK = sum(THROTTLE_REASONS.values()) - THROTTLE_REASONS["sync_boost"]
GPU_LEVELS = {
    "utilization_percent": "%",
    "memory_utilization_percent": "%",
    "power_w": "W",
    "sm_clock_mhz": "MHz",
    "memory_clock_mhz": "MHz",
    "memory_used_mib": "MiB",
    "temperature_c": "deg C",
}
# Shown only where the recording holds them: most cards and logs lack them.
GPU_LEVELS_IF_READ = {
    "utilization_buffer_percent": "%",
    "memory_utilization_buffer_percent": "%",
    "memory_reserved_mib": "MiB",
    "memory_temperature_c": "deg C",
    "graphics_clock_mhz": "MHz",
    "video_clock_mhz": "MHz",
    "performance_state": "",
    "power_limit_w": "W",
    "fan_percent": "%",
    "encoder_percent": "%",
    "decoder_percent": "%",
    "pcie_generation": "",
    "pcie_width": "",
    "pcie_sent_mib_per_s": "MiB/s",
    "pcie_received_mib_per_s": "MiB/s",
    "tree_memory_mib": "MiB",
    "tree_sm_percent": "%",
    "other_sm_percent": "%",
    "gpm_graphics_percent": "%",
    "gpm_sm_percent": "%",
    "gpm_occupancy_percent": "%",
    "gpm_tensor_percent": "%",
    "gpm_dram_percent": "%",
    "gpm_fp64_percent": "%",
    "gpm_fp32_percent": "%",
    "gpm_fp16_percent": "%",
    "gpm_pcie_sent_mib_per_s": "MiB/s",
    "gpm_pcie_received_mib_per_s": "MiB/s",
    "gpm_nvlink_sent_mib_per_s": "MiB/s",
    "gpm_nvlink_received_mib_per_s": "MiB/s",
    "vgpu_memory_mib": "MiB",
    "vgpu_sm_percent": "%",
}
# Fields of MIG instances, such as `mig0_memory_used_mib`: a split GPU has no utilization of its own.
MIG_LEVEL = re.compile(r"mig\d+_(memory_used_mib|gpm_sm_percent|gpm_occupancy_percent|gpm_tensor_percent)")
GPU_RATES_IF_READ = {
    "nvlink_sent_mib": "nvlink_sent_mib_per_s",
    "nvlink_received_mib": "nvlink_received_mib_per_s",
}
# Counts of which the largest value in the window is shown.
GPU_COUNTS_IF_READ = (
    "vgpus",
    "other_processes",
    "other_memory_mib",
    "unseen_processes",
    "ecc_corrected",
    "ecc_uncorrected",
    "remapped_rows_corrected",
    "remapped_rows_uncorrected",
    "remapping_pending",
    "remapping_failed",
    "pcie_replays",
)
