"""Writes a signal as evidence: its name in words, and its value with its unit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpuprobe import wording
from gpuprobe.evidence.run import SETTING
from gpuprobe.report import whole_run
from gpuprobe.report.categories import CATEGORIES

if TYPE_CHECKING:
    from gpuprobe.records import Signal

# A smaller share of the step is no evidence, and is left out.
LEAST_SHARE = 0.005
# What a signal is called in a sentence, where its name is no plain words.
SIGNAL_WORDS = {
    "share.copy": "copies that no kernel hides:",
    "share.launch": "waits for launches:",
    "share.exchange": "exchanges gradients:",
    "share.overhead": "operations that take longer to start than to run:",
    "share.dispatch": "single operations that Python starts:",
    "copy_h2d_gb_per_s": "copies from host to device:",
    "kernels_per_step": "kernels a step:",
    "kernels_under_10us_count_fraction": "kernels shorter than 10 us:",
    "kernels_under_10us_time_fraction": "time in kernels shorter than 10 us:",
    "kernel_median_us": "the median kernel:",
    "kernel_fraction": "time in which kernels run:",
    "exposed_copy_fraction": "copies that no kernel hides:",
    "slowest_iterator": "the slowest stage of the input:",
    "input_share": "waiting for the input, by comparing the runs:",
    "busiest_thread_fraction": "the busiest thread:",
    "cpu_full_gpu_idle_fraction": "the processor is full while the GPU idles:",
    "iowait_gpu_idle_fraction": "the disk is waited for while the GPU idles:",
    "idle_outside_step_fraction": "idle outside the training function:",
    "outside_fraction": "time outside the training function, by a clock:",
    "tensor_core_time_fraction": "kernels on Tensor Cores:",
    "eligible_time_fraction": "operations that could use Tensor Cores:",
    "has_tensor_cores": "the card has Tensor Cores:",
    "compute_dtype": "type that the model computes in:",
    "compute_capability": "the card's compute capability:",
    "sm_efficiency": "multiprocessors that kernels fill:",
    "mfu": "arithmetic done, of the card's peak:",
    "utilization_percent": "NVML utilization:",
    "utilization_p95_percent": "NVML utilization at its highest:",
    "throttled_heat_fraction": "clocks held down by heat:",
    "power_cap_fraction": "clocks held down by the power limit:",
    "sm_clock_mhz": "clock of the multiprocessors:",
    "sm_clock_peak_mhz": "highest clock of the multiprocessors:",
    "boost_mhz": "the clock that the card can reach:",
    "pcie_generation_fraction": "PCIe generation, of its maximum:",
    "pcie_width_fraction": "PCIe width, of its maximum:",
    "memory_peak_fraction": "peak of the GPU's memory:",
    "memory_peak_mib": "peak of the GPU's memory:",
    "memory_jump_fraction": "memory taken at once:",
    "other_sm_percent": "other programs compute on the GPU:",
    "other_gpu_processes": "other programs with the GPU open:",
    "cpu_cores": "processors at work:",
    "cpu_fraction": "share of the processors that it may use at work:",
    "cpu_limit": "processors that it may use:",
    "one_core_fraction": "share of the time with just one core at work:",
    "threads_spin": "threads spin while they wait:",
    "core_waited_fraction": "ready without a core:",
    "core_sleeps_per_s": "gave its core up:",
    "other_threads_cores": "cores that the process's other threads use:",
    "other_cpu_cores": "cores that other programs use:",
    "device_is_gpu": "trained on a GPU:",
    "recurrent_share": "the loop of a recurrent layer:",
    "recurrent_layer": "the recurrent layer:",
    "recurrent_operations": "operations of its loop:",
    "recurrent_setting": "the setting that prevents cuDNN:",
    "eager_share": "single operations that Python starts:",
    "run_eagerly": "`run_eagerly`:",
    "jit_compile": "`jit_compile`:",
    "window_call_ms": "a call in the timed window:",
    "window_long_calls": "calls in the window that took far longer:",
    "window_long_share": "share of the window in those calls:",
    "graphs_built": "graphs built:",
    "compile_ms": "building graphs and compiling:",
    "batch_size": "batch size:",
    "loop": "the longest loop in the model:",
    "loop_share": "share of that loop:",
    "graph_loop": "the loop in the step's graph:",
    "graph_loop_turns": "iterations of the loop in the graph:",
    "graph_loop_started": "operations that the loop in the graph starts:",
    "loop_turns": "iterations of that loop:",
    "loop_maps": "it is a `tf.map_fn`:",
    "loop_recurrent": "by its name it is a recurrent layer's:",
    "loop_left": "what runs the loop:",
    "held_kind": "what held the host:",
    "held_stretches": "how often the host was held:",
    "held_steps": "steps in which it was held:",
    "once_proven_fraction": "share of the one-time work that events prove:",
    "straggler_ratio": "the slowest device's work, of the others' median:",
    "straggler_share": "time by which it is late:",
    "straggler_device": "the slowest device:",
    "kept_waiting_share": "time the others wait for it:",
    "last_to_exchanges": "last to the exchanges:",
    "late_by": "what makes it late, compared with the others:",
    "late_beyond_chance": "it is late by more than chance:",
    "waited_for_always": "always the same one is waited for:",
    "waited_for_steps": "it is waited for in:",
    "waited_for_ms": "how long in such a step:",
    "waited_for": "who is waited for:",
    "exchange_volume_ms": "exchanges run for:",
    "exchange_exposed_ms": "exchanges that nothing hides:",
    "exchange_blocking_ms": "exchanges that hold other work up:",
    "gradient_packs": "packs of gradients:",
    "exchange_ahead_ms": "the first before the last gradient:",
    "replicas": "devices that train together:",
    "cores": "cores for them:",
    "distribution_devices": "devices that `keras.distribution` was given:",
    "uneven_share": "time that devices with a sample less wait:",
    "distribution_ignored_share": "time that the unused devices could save:",
    "xla_off_share": "time that XLA would save:",
    "oversubscribed_share": "time that replicas lose beside each other:",
    "shards": "batches made for each that is kept:",
    "shard_dropped_share": "waits for batches that are dropped:",
    "operation_share": "the longest operation:",
    "dense_update_share": "updating rows that the batch did not use:",
    "profiler_slowdown": "slowdown of the steps by tracing:",
}
# The ends of names that say the unit.
UNIT_ENDINGS = ("_gb_per_s", "_percent", "_fraction", "_mib", "_ms", "_us", "_s")


def signal_in_words(signal: Signal) -> str:
    """Write a signal in a few words; empty where it is missing, or too small to be evidence."""
    value = signal.value
    if value is None or signal.name == "step_ms":
        return ""
    of_run = whole_run.run_figure(signal)
    if of_run is not None:
        return of_run
    if signal.name.startswith("proof."):
        return _in_events(signal)
    signal_words = _name_in_words(signal.name)
    if not isinstance(value, float):
        return f"{signal_words} {value}"
    if signal.unit.startswith("of "):
        is_evidence = value >= LEAST_SHARE or not signal.name.startswith("share.")
        return f"{signal_words} {wording.share(value)} {signal.unit}" if is_evidence else ""
    value_words = f"{wording.significant(value)} {'' if signal.unit == '1' else signal.unit}".rstrip()
    return f"{signal_words} {wording.milliseconds(value) if signal.unit == 'ms' else value_words}"


def _in_events(signal: Signal) -> str:
    """Say in which events the host was; the value is the time of the first of them, which took longest."""
    events = signal.source.removeprefix("trace, events: ")
    if not isinstance(signal.value, float):
        return f"the host was in {events}"
    longest, _, other_names = events.partition(", ")
    other_events = f", and in {other_names}" if other_names else ""
    return f"the host was in {longest} for {wording.milliseconds(signal.value)} over all traced steps{other_events}"


def signal_label(name: str) -> str:
    """Return the name of a signal in words, without its value."""
    signal_kind, _, part = name.partition(".")
    if signal_kind == "proof":
        return f"events in which the host was ({CATEGORIES[part].legend.removeprefix('waits: ')})"
    if signal_kind == "gain":
        return f"what {part} gained"
    return whole_run.run_figure_label(name) or _name_in_words(name).removesuffix(":")


def _name_in_words(name: str) -> str:
    """Return a name in words, without the unit that stands at its end."""
    if name in SIGNAL_WORDS:
        return SIGNAL_WORDS[name]
    if name.startswith(f"{SETTING}."):
        callback, _, argument = name.removeprefix(f"{SETTING}.").rpartition(".")
        return f"`{argument}` of `{callback}`:"
    category = name.removeprefix("share.")
    if category != name and category in CATEGORIES:
        return f"{CATEGORIES[category].legend}:"
    unit_ending = next((ending for ending in UNIT_ENDINGS if category.endswith(ending)), "")
    return category.removesuffix(unit_ending).replace("_", " ")
