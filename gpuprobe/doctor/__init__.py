"""Checks whether this machine's GPU can be used and profiled.

Facts are gathered once, and checks are functions of them.
"""

from gpuprobe.doctor.check import CheckResult, Report, examine
from gpuprobe.doctor.facts import Facts
from gpuprobe.doctor.gather import gather

__all__ = ["CheckResult", "Facts", "Report", "examine", "gather"]
