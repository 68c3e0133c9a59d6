"""The notices of a recording, in the column `said`: written `where: state: words`, several joined by `; `.

`where` is `driver`, `host`, `gpu0` or one field such as `gpu0.power_w`.
"""

from __future__ import annotations

from typing import NamedTuple

# What each state means, for readers of the report. The names are part of the recording's format.
STATES = {
    "no_driver": "no NVIDIA driver is installed",
    "driver_not_loaded": "the driver is installed but its kernel module is not loaded",
    "driver_mismatch": "the driver's kernel module and its library are of different versions",
    "no_permission": "the driver refuses to answer this user",
    "no_device": "the driver sees no GPU",
    "gpu_lost": "the GPU has fallen off the bus",
    "driver_reset": "the GPU or its driver was reset or needs a reset",
    "vanished": "the GPU is gone from the driver's list",
    "driver_hung": "a call into the driver has not returned",
    "driver_crashed": "a call into the driver crashed",
    "unreadable": "the driver answered with an error that may pass",
    "not_supported": "this GPU does not offer the field",
    "not_known": "this driver does not know the call",
    "back": "what had failed answers again",
    "split_anew": "MIG has split the GPU into other parts",
    "other_process": "a process outside the observed tree uses the GPU",
    "too_many": "there are more of them than are recorded one by one",
    "clock_stepped": "the clock of the host was set while sampling",
    "assumed": "the log does not hold it, so it was assumed",
}
# After these states a GPU is not read until it is back.
GPU_GONE = frozenset({"gpu_lost", "driver_reset", "vanished"})
# States of a field that will not change, so that it is not read again.
FINAL_STATES = frozenset({"not_supported", "not_known", "no_permission", "invalid"})


class Notice(NamedTuple):
    """One notice of a recording: its time, what it is about, its state (may be empty), and its words."""

    t_ns: int
    where: str
    state: str
    words: str

    def __str__(self) -> str:
        return ": ".join(part for part in (self.where, self.state, self.words) if part)


def say(where: str, state: str, message: str) -> str:
    """Format a notice so that `parse` reads it back."""
    return f"{where}: {state}: {' '.join(message.replace(';', ',').split())}"


def parse(t_ns: int, cell: str) -> list[Notice]:
    """Read the notices of one row; text in another format becomes a notice without a state."""
    notices = []
    for notice_text in filter(None, cell.split("; ")):
        where, _, state_and_words = notice_text.partition(": ")
        state, _, words = state_and_words.partition(": ")
        notices.append(Notice(t_ns, where, state, words) if state in STATES else Notice(t_ns, "", "", notice_text))
    return notices
