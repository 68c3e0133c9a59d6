"""The card itself: precision, PCIe link, power and heat, persistence mode, other programs on it, memory, MIG."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from gpuprobe import wording
from gpuprobe.cards import TENSOR_CORES_FROM, has_tensor_cores
from gpuprobe.doctor.check import NO_GPU, CheckResult, check, passed, skipped, unknown, warned
from gpuprobe.thresholds import fixed

if TYPE_CHECKING:
    from gpuprobe.doctor.facts import CardFacts, Facts

ORDER = 40
# fp16 against fp32 rate. Source: NVIDIA, "CUDA C++ Programming Guide", throughput of arithmetic instructions.
SLOW_FP16 = {"5.0": "none at all", "5.2": "none at all", "6.1": "1/64 of the fp32 rate"}
BFLOAT16_FROM = (8, 0)
MIG_FROM = 8
# A busy card may reach its power limit, which is normal; the other reasons for reduced clocks are faults.
POWER_CAP = "power cap"
NOT_READ = "the card's state was not read"


@check("mixed precision")
def mixed_precision(facts: Facts) -> CheckResult:
    """Tell the precisions in which the card is fast."""
    if not facts.has_gpu:
        return skipped(NO_GPU)
    results = [_precision(gpu.name, gpu.compute_capability) for gpu in facts.driver.gpus]
    return next((result for result in results if result.status != "pass"), results[0])


def _precision(gpu_name: str, capability: str) -> CheckResult:
    capability_match = re.fullmatch(r"(\d+)\.(\d+)", capability)
    if capability_match is None:
        return unknown(f"{gpu_name} does not give its compute capability")
    version = int(capability_match[1]), int(capability_match[2])
    evidence = f"{gpu_name}: compute capability {capability}"
    if float(capability) < TENSOR_CORES_FROM:
        fp16_rate = SLOW_FP16.get(capability)
        why = f"no Tensor Cores{f', fp16 at {fp16_rate}' if fp16_rate else ''}"
        return warned(f"{why}: mixed_float16 gains nothing here", "keep the policy float32", evidence)
    if not has_tensor_cores(gpu_name, capability):
        says = "no Tensor Cores in this family, despite capability 7.5: mixed_float16 gains little"
        return warned(says, "measure it before you use it: gpuprobe run", evidence)
    fast_types = "mixed_float16, mixed_bfloat16 and TF32" if version >= BFLOAT16_FROM else "mixed_float16, not bfloat16"
    return passed(f"Tensor Cores: {fast_types}; channels in multiples of 8", evidence)


@check("PCIe link")
def pcie_link(facts: Facts) -> CheckResult:
    """Check that the link is as fast and wide as card and slot allow, while the GPU works: at rest it slows down."""
    if not facts.has_gpu:
        return skipped(NO_GPU)
    if not facts.cards_loaded:
        at_rest = [f"at rest: {_link(card)}" for card in facts.cards]
        return unknown("it was not read under load, and an idle card slows its link down", *at_rest)
    slow_cards, evidence = [], []
    for card in facts.cards_loaded:
        link_now = (card.pcie_generation, card.pcie_width)
        best_link = (card.pcie_generation_max, card.pcie_width_max)
        if None in {*link_now, *best_link}:
            return unknown(f"{card.name} does not report its link")
        evidence.append(f"{card.name} under load: {_link(card)}")
        if any(
            (link_value or 0) < (best_value or 0) for link_value, best_value in zip(link_now, best_link, strict=True)
        ):
            slow_cards.append(card)
    if not slow_cards:
        return passed(f"at its maximum under load: {_link(facts.cards_loaded[0])}", *evidence)
    fix = "reseat the card, use the slot next to the processor, or raise the slot's speed in the firmware"
    return warned(f"below its maximum under load: {_link(slow_cards[0])}", fix, *evidence)


def _link(card: CardFacts) -> str:
    def number_word(link_value: float | None) -> str:
        return "?" if link_value is None else f"{link_value:g}"

    link_now = f"generation {number_word(card.pcie_generation)} x{number_word(card.pcie_width)}"
    return f"{link_now} of generation {number_word(card.pcie_generation_max)} x{number_word(card.pcie_width_max)}"


@check("power and heat")
def power_and_heat(facts: Facts) -> CheckResult:
    """Check that nothing reduces the clocks, and that the power limit is the card's default."""
    if not facts.has_gpu:
        return skipped(NO_GPU)
    cards = facts.cards_loaded or facts.cards
    if not cards:
        return unknown(NOT_READ)
    load_state = "under load" if facts.cards_loaded else "at rest"
    evidence = [f"{card.name} {load_state}: {_power(card)}" for card in cards]
    for card in cards:
        slowdown_reasons = [reason for reason in card.reasons if reason != POWER_CAP]
        if slowdown_reasons:
            fix = "clean the fans, free the air flow, check the power cables"
            return warned(f"clocks are reduced {load_state}: {', '.join(slowdown_reasons)}", fix, *evidence)
        power_limit_w, default_limit_w = card.power_limit_w, card.power_limit_default_w
        if power_limit_w is not None and default_limit_w is not None and power_limit_w < default_limit_w:
            says = f"the power limit is {power_limit_w:.0f} W, the card's own is {default_limit_w:.0f} W"
            return warned(says, f"sudo nvidia-smi -pl {default_limit_w:.0f}", *evidence)
    if not facts.cards_loaded:
        return unknown(f"it was not read under load; when idle: {_power(cards[0])}", *evidence)
    if not all(card.reasons_known for card in cards):
        return unknown(f"the card does not report what reduces its clocks; {_power(cards[0])}", *evidence)
    return passed(f"{load_state}: {_power(cards[0])}", *evidence)


def _power(card: CardFacts) -> str:
    heat_words = "unknown temperature" if card.temperature_c is None else f"{card.temperature_c:.0f} deg C"
    if card.temperature_c is not None and card.temperature_slowdown_c is not None:
        heat_words += f" (slows down at {card.temperature_slowdown_c:.0f})"
    power_words = "unknown power" if card.power_w is None else f"{card.power_w:.0f} W"
    limit_words = "" if card.power_limit_w is None else f" of {card.power_limit_w:.0f} W"
    return f"{heat_words}, {power_words}{limit_words}"


@check("persistence mode")
def persistence(facts: Facts) -> CheckResult:
    """Check that the driver stays loaded between programs; else each program that starts waits for it."""
    if not facts.has_gpu:
        return skipped(NO_GPU)
    if facts.system.system != "Linux" or facts.system.wsl:
        return skipped("does not apply on Windows, where the driver stays loaded")
    known_cards = [card for card in facts.cards if card.persistence is not None]
    if not known_cards:
        return unknown("the card does not report it")
    if all(card.persistence for card in known_cards):
        return passed("on")
    return warned("off: each program that starts waits for the driver to load", "sudo nvidia-smi -pm 1")


@check("other GPU programs")
def gpu_processes(facts: Facts) -> CheckResult:
    """Check that no other program uses the card, from readings before TensorFlow was started here."""
    if not facts.has_gpu:
        return skipped(NO_GPU)
    if not facts.cards:
        return unknown(NOT_READ)
    programs = [program for card in facts.cards for program in card.programs]
    other_programs = sum(card.others or 0 for card in facts.cards)
    if other_programs or programs:
        fix = "wait for them, end them, or choose another GPU with CUDA_VISIBLE_DEVICES"
        return warned(
            f"{max(other_programs, len(programs)):g} at work: {'; '.join(programs[:3]) or 'unnamed'}", fix, *programs
        )
    if any(card.unseen for card in facts.cards):
        says = "programs that are not visible from here, such as one outside this container"
        return warned(says, "look on the host: nvidia-smi")
    if any(card.others is None for card in facts.cards):
        return unknown("the driver does not list programs here (WDDM, WSL2 or MIG)")
    cards_in_use = [card for card in facts.cards if (card.memory_used_mib or 0) > fixed.DRIVER_MIB]
    if cards_in_use:
        memory_used = wording.mebibytes(cards_in_use[0].memory_used_mib or 0)
        says = (
            f"none is listed, but {memory_used} of {cards_in_use[0].name} are in use: by a program outside this "
            "container, or one that has died"
        )
        return warned(says, "look on the host: nvidia-smi, or sudo fuser -v /dev/nvidia*")
    return passed("none")


@check("GPU memory")
def gpu_memory(facts: Facts) -> CheckResult:
    """Check that TensorFlow, which takes nearly all memory by default, does not do so on a card that others use."""
    if not facts.has_gpu:
        return skipped(NO_GPU)
    memory_grows = facts.system.environment.get("TF_FORCE_GPU_ALLOW_GROWTH", "").lower() == "true"
    evidence = f"TF_FORCE_GPU_ALLOW_GROWTH={'true' if memory_grows else 'not set'}"
    if memory_grows:
        return passed("TensorFlow takes it as needed", evidence)
    if not facts.cards:
        return unknown(NOT_READ, evidence)
    shared_cards = [card for card in facts.cards if card.others or (card.memory_used_mib or 0) > fixed.DRIVER_MIB]
    if shared_cards:
        says = "TensorFlow will take all memory that is left on a card that other programs use too"
        return warned(says, "export TF_FORCE_GPU_ALLOW_GROWTH=true", evidence)
    return passed("TensorFlow takes all of it at once, which is fine where no other program needs any", evidence)


@check("MIG")
def mig(facts: Facts) -> CheckResult:
    """Check that MIG does not split the card: TensorFlow would use one instance, and NVML give no utilization."""
    if not facts.has_gpu:
        return skipped(NO_GPU)
    if not facts.cards:
        return unknown(NOT_READ)
    split_cards = [card.name for card in facts.cards if card.mig]
    if not split_cards and any(card.mig is None for card in facts.cards) and not _has_no_mig(facts):
        return unknown("the card does not report it")
    if split_cards:
        says = f"{wording.listing(split_cards)} is split: TensorFlow sees one instance, NVML gives no utilization"
        return warned(says, "set CUDA_VISIBLE_DEVICES to the instance's UUID (nvidia-smi -L); measure with DCGM")
    return passed("not in use")


def _has_no_mig(facts: Facts) -> bool:
    """Whether the cards are older than MIG, which came with compute capability 8.0."""
    capabilities = [gpu.compute_capability.split(".")[0] for gpu in facts.driver.gpus]
    return all(major.isdigit() and int(major) < MIG_FROM for major in capabilities)
