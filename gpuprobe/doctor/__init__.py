"""Checks whether TensorFlow can use and profile the GPU here: facts are gathered once, checks are functions of them."""

from gpuprobe.doctor.check import CheckResult, Report, examine
from gpuprobe.doctor.facts import Facts
from gpuprobe.doctor.gather import gather

__all__ = ["CheckResult", "Facts", "Report", "examine", "gather"]
