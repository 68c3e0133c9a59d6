"""Recognises output of nvidia-smi that is no log, and says what to record instead."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

HOW_TO_RECORD = (
    "record nvidia-smi --query-gpu=timestamp,index,utilization.gpu,utilization.memory,power.draw,clocks.sm,memory.used "
    "--format=csv -l 1"
)
# First lines of its other outputs, and what these are.
OTHER_OUTPUTS = (
    (r"\+-{20,}", f"is the table that nvidia-smi shows, with rounded and shortened values; {HOW_TO_RECORD}"),
    (r"<\?xml|<!DOCTYPE nvidia_smi_log|<nvidia_smi_log", f"is the XML of nvidia-smi -q -x; {HOW_TO_RECORD}"),
    (r"=+NVSMI LOG=+", f"is the text of nvidia-smi -q; {HOW_TO_RECORD}"),
    (r"\[\d+\] .*\|.*\|", f"is the output of gpustat; {HOW_TO_RECORD}"),
    (
        r"(#.*\bpid\b|(timestamp, *)?(gpu_\w+, *)*pid\b)",
        f"is about single processes, not about the GPU; {HOW_TO_RECORD}",
    ),
    (
        r"(.* )?RAM \d+/\d+MB ",
        "is the output of tegrastats: the GPU of a Jetson is not read",
    ),
    (r"# (HELP|TYPE) \w+ |DCGM_FI_\w+\{", f"is one moment of a Prometheus exporter and no log; {HOW_TO_RECORD}"),
    (r".*\bsystem[/.]gpu\.\d+\.", f"is an export of Weights & Biases and no log; {HOW_TO_RECORD}"),
    (r"=* *ROCm|device,.*GPU use|=+ AMD|\+-+ AMD-SMI", "is of an AMD GPU: only logs of NVIDIA's are read"),
)
LINES_EXAMINED = 4
BARE_DMON = re.compile(r"(-|\d+)([ ,]+(-|\d+)){5,}$")
# Messages of nvidia-smi in place of readings, and the state of each. Source: nvml.h, error strings.
MESSAGES = (
    (r"gpu is lost|fallen off the bus", "gpu_lost"),
    (r"requires reset|reset required", "driver_reset"),
    (r"unable to determine the device handle|unknown error", "unreadable"),
    (r"version mismatch", "driver_mismatch"),
    (r"no devices were found", "no_device"),
    (r"insufficient permissions", "no_permission"),
    (r"nvidia-smi has failed|failed to initialize nvml|couldn.t communicate", "driver_not_loaded"),
)
BUS_ID = re.compile(r"(?:[0-9a-f]{4,8}:)?[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]", re.IGNORECASE)


def message(text: str) -> tuple[str, str] | None:
    """Return (state, PCI bus id or empty) of an error message of nvidia-smi; None for other text."""
    for message_pattern, state in MESSAGES:
        if re.search(message_pattern, text, re.IGNORECASE):
            bus_match = BUS_ID.search(text)
            return state, bus_match[0] if bus_match else ""
    return None


def refusal(lines: Sequence[tuple[int, str]]) -> str | None:
    """Return what a text is, and what to record instead, if it is known to be no log; else None."""
    first_lines = [line for _, line in lines[:LINES_EXAMINED]]
    if message(first_lines[0]):
        return f"holds no reading: nvidia-smi said {first_lines[0][:120]!r}"
    for other_output, why_no_log in OTHER_OUTPUTS:
        if any(re.match(other_output, line) for line in first_lines):
            return why_no_log
    if BARE_DMON.match(first_lines[0]):
        return "has no line that names its columns; keep nvidia-smi dmon's lines that begin with #, or give --columns"
    return None
