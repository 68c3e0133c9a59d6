"""How a signal reads as evidence: its name in words, its value in the unit that reads best."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpuprobe import wording
from gpuprobe.report import whole_run
from gpuprobe.report.categories import CATEGORIES

if TYPE_CHECKING:
    from gpuprobe.records import Signal

# A part of the step that rounds to nothing proves nothing.
WORTH_SAYING = 0.005
# What the name of a signal does not say by itself.
WORDS = {
    "copy_h2d_gb_per_s": "copies from host to device run at",
    "kernels_under_10us_count_fraction": "kernels shorter than 10 us:",
    "kernels_under_10us_time_fraction": "time in kernels shorter than 10 us:",
    "kernel_median_us": "the median kernel runs for",
    "kernel_fraction": "kernels run in",
    "exposed_copy_fraction": "copies that no kernel hides:",
    "busiest_thread_fraction": "the busiest thread runs",
    "cpu_full_gpu_idle_fraction": "the processor is full while the GPU idles:",
    "iowait_gpu_idle_fraction": "the disk is waited for while the GPU idles:",
    "idle_outside_step_fraction": "idle outside the training function:",
    "tensor_core_time_fraction": "kernels on Tensor Cores:",
    "eligible_time_fraction": "operations that could use Tensor Cores:",
    "throttled_heat_fraction": "clocks held down by heat:",
    "power_cap_fraction": "clocks held down by the power limit:",
    "pcie_generation_fraction": "PCIe generation, of what it could be:",
    "pcie_width_fraction": "PCIe width, of what it could be:",
    "memory_peak_fraction": "peak of the GPU's memory:",
}
# The ends of names that say the unit.
UNITS = ("_gb_per_s", "_percent", "_fraction", "_mib", "_ms", "_us", "_s")


def told(signal: Signal) -> str:
    """Say a signal in a few words; empty where it is missing, or so small that it proves nothing."""
    value = signal.value
    if value is None or signal.name == "step_ms":
        return ""
    of_run = whole_run.figure(signal)
    if of_run is not None:
        return of_run
    name = _named(signal.name)
    if not isinstance(value, float):
        in_events = signal.name.startswith("proof.")
        return f"the host was in {signal.source.removeprefix('trace, events: ')}" if in_events else f"{name} {value}"
    if signal.unit.startswith("of "):
        worth = value >= WORTH_SAYING or not signal.name.startswith("share.")
        return f"{name} {wording.share(value)} {signal.unit}" if worth else ""
    figure = f"{wording.significant(value)} {'' if signal.unit == '1' else signal.unit}".rstrip()
    return f"{name} {wording.milliseconds(value) if signal.unit == 'ms' else figure}"


def _named(name: str) -> str:
    """Return a name in words, without the unit that stands at its end."""
    if name in WORDS:
        return WORDS[name]
    part = name.removeprefix("share.")
    if part != name and part in CATEGORIES:
        return f"{CATEGORIES[part].legend}:"
    unit = next((end for end in UNITS if part.endswith(end)), "")
    return part.removesuffix(unit).replace("_", " ")
