"""A gate that nobody stands at: a run that is let through to its window, and then to its end."""

from __future__ import annotations

from gpuprobe.measure.gate import Command, Gate


class OpenGate(Gate):
    def wait(self) -> Command:
        return Command(number=1, last=True)


def nothing() -> None:
    """What a test does after the first call."""
