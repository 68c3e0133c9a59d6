"""The card itself: precision, link, power and heat, persistence, who else uses it, its memory, MIG."""

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
# A busy card may reach its power limit, which is no fault; the other reasons are.
NO_FAULT = "power cap"
NOT_READ = "the card's state was not read"


@check("mixed precision")
def mixed_precision(facts: Facts) -> CheckResult:
    """Which precision the card is fast in."""
    if not facts.has_gpu:
        return skipped(NO_GPU)
    results = [_precision(gpu.name, gpu.compute_capability) for gpu in facts.driver.gpus]
    return next((result for result in results if result.status != "pass"), results[0])


def _precision(name: str, capability: str) -> CheckResult:
    match = re.fullmatch(r"(\d+)\.(\d+)", capability)
    if match is None:
        return unknown(f"{name} does not give its compute capability")
    version = int(match[1]), int(match[2])
    evidence = f"{name}: compute capability {capability}"
    if float(capability) < TENSOR_CORES_FROM:
        rate = SLOW_FP16.get(capability)
        why = f"no Tensor Cores{f', fp16 at {rate}' if rate else ''}"
        return warned(f"{why}: mixed_float16 gains nothing here", "keep the policy float32", evidence)
    if not has_tensor_cores(name, capability):
        says = "no Tensor Cores in this family, although 7.5: mixed_float16 gains little"
        return warned(says, "measure it before you use it: gpuprobe run", evidence)
    kinds = "mixed_float16, mixed_bfloat16 and TF32" if version >= BFLOAT16_FROM else "mixed_float16, not bfloat16"
    return passed(f"Tensor Cores: {kinds}; channels in multiples of 8", evidence)


@check("PCIe link")
def pcie_link(facts: Facts) -> CheckResult:
    """The link runs as fast and as wide as card and slot allow, while the GPU works: at rest it slows down."""
    if not facts.has_gpu:
        return skipped(NO_GPU)
    if not facts.cards_loaded:
        at_rest = [f"at rest: {_link(card)}" for card in facts.cards]
        return unknown("it was not read under load, and an idle card slows its link down", *at_rest)
    below, evidence = [], []
    for card in facts.cards_loaded:
        link = (card.pcie_generation, card.pcie_width)
        most = (card.pcie_generation_max, card.pcie_width_max)
        if None in {*link, *most}:
            return unknown(f"{card.name} does not tell its link")
        evidence.append(f"{card.name} under load: {_link(card)}")
        if any((now or 0) < (best or 0) for now, best in zip(link, most, strict=True)):
            below.append(card)
    if not below:
        return passed(f"at its maximum under load: {_link(facts.cards_loaded[0])}", *evidence)
    fix = "reseat the card, use the slot next to the processor, or raise the slot's speed in the firmware"
    return warned(f"below its maximum under load: {_link(below[0])}", fix, *evidence)


def _link(card: CardFacts) -> str:
    def word(value: float | None) -> str:
        return "?" if value is None else f"{value:g}"

    now = f"generation {word(card.pcie_generation)} x{word(card.pcie_width)}"
    return f"{now} of generation {word(card.pcie_generation_max)} x{word(card.pcie_width_max)}"


@check("power and heat")
def power_and_heat(facts: Facts) -> CheckResult:
    """Nothing holds the clocks down, and the power limit is the one the card came with."""
    if not facts.has_gpu:
        return skipped(NO_GPU)
    cards = facts.cards_loaded or facts.cards
    if not cards:
        return unknown(NOT_READ)
    when = "under load" if facts.cards_loaded else "at rest"
    evidence = [f"{card.name} {when}: {_power(card)}" for card in cards]
    for card in cards:
        hot = [reason for reason in card.reasons if reason != NO_FAULT]
        if hot:
            fix = "clean the fans, free the air flow, check the power cables"
            return warned(f"clocks are held down {when}: {', '.join(hot)}", fix, *evidence)
        limit, default = card.power_limit_w, card.power_limit_default_w
        if limit is not None and default is not None and limit < default:
            says = f"the power limit is {limit:.0f} W, the card's own is {default:.0f} W"
            return warned(says, f"sudo nvidia-smi -pl {default:.0f}", *evidence)
    if not facts.cards_loaded:
        return unknown(f"it was not read under load; when idle: {_power(cards[0])}", *evidence)
    if not all(card.reasons_known for card in cards):
        return unknown(f"the card does not tell what holds its clocks down; {_power(cards[0])}", *evidence)
    return passed(f"{when}: {_power(cards[0])}", *evidence)


def _power(card: CardFacts) -> str:
    heat = "unknown heat" if card.temperature_c is None else f"{card.temperature_c:.0f} deg C"
    if card.temperature_c is not None and card.temperature_slowdown_c is not None:
        heat += f" (slows down at {card.temperature_slowdown_c:.0f})"
    draw = "unknown power" if card.power_w is None else f"{card.power_w:.0f} W"
    limit = "" if card.power_limit_w is None else f" of {card.power_limit_w:.0f} W"
    return f"{heat}, {draw}{limit}"


@check("persistence mode")
def persistence(facts: Facts) -> CheckResult:
    """The driver stays loaded between programs: without, each start waits for it."""
    if not facts.has_gpu:
        return skipped(NO_GPU)
    if facts.system.system != "Linux" or facts.system.wsl:
        return skipped("does not apply on Windows, where the driver stays loaded")
    known = [card for card in facts.cards if card.persistence is not None]
    if not known:
        return unknown("the card does not tell")
    if all(card.persistence for card in known):
        return passed("on")
    return warned("off: each program that starts waits for the driver to load", "sudo nvidia-smi -pm 1")


@check("other GPU programs")
def gpu_processes(facts: Facts) -> CheckResult:
    """No other program computes on the card; looked at before TensorFlow was started here."""
    if not facts.has_gpu:
        return skipped(NO_GPU)
    if not facts.cards:
        return unknown(NOT_READ)
    programs = [program for card in facts.cards for program in card.programs]
    others = sum(card.others or 0 for card in facts.cards)
    if others or programs:
        fix = "wait for them, end them, or choose another GPU with CUDA_VISIBLE_DEVICES"
        return warned(f"{max(others, len(programs)):g} at work: {'; '.join(programs[:3]) or 'unnamed'}", fix, *programs)
    if any(card.unseen for card in facts.cards):
        says = "some that cannot be seen from here, as one outside this container"
        return warned(says, "look on the host: nvidia-smi")
    if any(card.others is None for card in facts.cards):
        return unknown("the driver does not list programs here (WDDM, WSL2 or MIG)")
    hidden = [card for card in facts.cards if (card.memory_used_mib or 0) > fixed.DRIVER_MIB]
    if hidden:
        used = wording.mebibytes(hidden[0].memory_used_mib or 0)
        says = f"none is listed, yet {used} of {hidden[0].name} are taken: one outside this container, or a dead one"
        return warned(says, "look on the host: nvidia-smi, or sudo fuser -v /dev/nvidia*")
    return passed("none")


@check("GPU memory")
def gpu_memory(facts: Facts) -> CheckResult:
    """TensorFlow takes nearly all memory of a card unless told otherwise: a trap where others need some."""
    if not facts.has_gpu:
        return skipped(NO_GPU)
    grows = facts.system.environment.get("TF_FORCE_GPU_ALLOW_GROWTH", "").lower() == "true"
    evidence = f"TF_FORCE_GPU_ALLOW_GROWTH={'true' if grows else 'not set'}"
    if grows:
        return passed("grows as it is needed", evidence)
    if not facts.cards:
        return unknown(NOT_READ, evidence)
    shared = [card for card in facts.cards if card.others or (card.memory_used_mib or 0) > fixed.DRIVER_MIB]
    if shared:
        says = "TensorFlow will take all that is left of a card that others use too"
        return warned(says, "export TF_FORCE_GPU_ALLOW_GROWTH=true", evidence)
    return passed("TensorFlow takes all of it at once, which is right on a card of its own", evidence)


@check("MIG")
def mig(facts: Facts) -> CheckResult:
    """The card is whole: split by MIG, TensorFlow uses one instance and NVML gives no utilization."""
    if not facts.has_gpu:
        return skipped(NO_GPU)
    if not facts.cards:
        return unknown(NOT_READ)
    split = [card.name for card in facts.cards if card.mig]
    if not split and any(card.mig is None for card in facts.cards) and not _has_no_mig(facts):
        return unknown("the card does not tell")
    if split:
        says = f"{wording.listing(split)} is split: TensorFlow sees one instance, NVML gives no utilization"
        return warned(says, "set CUDA_VISIBLE_DEVICES to the instance's UUID (nvidia-smi -L); measure with DCGM")
    return passed("not in use")


def _has_no_mig(facts: Facts) -> bool:
    """Whether the cards are older than MIG, which came with compute capability 8.0."""
    capabilities = [gpu.compute_capability.split(".")[0] for gpu in facts.driver.gpus]
    return all(major.isdigit() and int(major) < MIG_FROM for major in capabilities)
