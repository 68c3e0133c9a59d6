"""The table of cards against published peaks, names as drivers give them, and occupancy against NVIDIA's calculator."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpuprobe.cards import Card, Precision, architecture, cards, estimate, find, occupancy, peak_flop_per_s
from gpuprobe.errors import UsageError


@pytest.mark.parametrize("card", cards(), ids=lambda card: card.name)
def test_every_row_agrees_with_itself(card: Card) -> None:
    found = architecture(card.compute_capability)
    assert found is not None
    assert card.source.startswith(("nvidia:", "techpowerup:"))
    assert (card.base_mhz or 0) <= card.boost_mhz
    assert (card.tensor_cores or 0) % card.sm_count == 0
    assert (card.tensor_rate is None) == (not card.tensor_cores)
    assert card.bandwidth_gb_s
    assert card.bus_bits
    # From GDDR5 at the slowest to GDDR7; HBM runs slower over a far wider bus.
    gbit_per_pin = 8 * card.bandwidth_gb_s / card.bus_bits
    low, high = (1.3, 8.1) if card.bus_bits >= 3072 else (3.9, 32.1)
    assert low <= gbit_per_pin <= high
    assert find(card.name).name == card.name


# TFLOP/s as NVIDIA's datasheets and whitepapers print them, dense.
@pytest.mark.parametrize(
    ("name", "precision", "published"),
    [
        ("Tesla P100-SXM2-16GB", "fp32", 10.6),
        ("Tesla P100-SXM2-16GB", "fp16", 21.2),
        ("Tesla P4", "fp32", 5.5),
        ("Tesla P40", "fp32", 12.0),
        ("GeForce GTX 1080 Ti", "fp32", 11.3),
        ("Tesla V100-SXM2-16GB", "fp32", 15.7),
        ("Tesla V100-SXM2-16GB", "fp16", 31.4),
        ("Tesla V100-SXM2-16GB", "fp16_tensor", 125.0),
        ("Tesla T4", "fp16_tensor", 65.0),
        ("GeForce RTX 2080 Ti", "fp32", 13.45),
        ("A100-SXM4-40GB", "fp32", 19.5),
        ("A100-SXM4-40GB", "fp16", 78.0),
        ("A100-SXM4-40GB", "bf16_tensor", 312.0),
        ("A100-SXM4-40GB", "tf32_tensor", 156.0),
        ("A30", "bf16_tensor", 165.0),
        ("GeForce RTX 3080", "fp32", 29.8),
        ("GeForce RTX 3080", "fp16_tensor", 59.5),
        ("A40", "fp16_tensor", 149.7),
        ("A10G", "fp16_tensor", 70.0),
        ("L4", "fp16_tensor", 121.0),
        ("L40", "fp16_tensor", 181.0),
        ("L40S", "fp16_tensor", 366.0),
        ("GeForce RTX 4090", "fp32", 82.6),
        ("GeForce RTX 4090", "fp16_tensor", 165.2),
        ("H100 80GB HBM3", "fp32", 66.9),
        ("H100 80GB HBM3", "bf16_tensor", 989.4),
        ("H100 PCIe", "fp16_tensor", 756.0),
        ("B200", "bf16_tensor", 2250.0),
        ("GeForce RTX 5090", "fp32", 104.8),
        ("GeForce RTX 5090", "fp16_tensor", 209.5),
        ("RTX PRO 6000 Blackwell Workstation Edition", "fp16_tensor", 503.8),
    ],
)
def test_peaks_are_the_published_ones(name: str, precision: Precision, published: float) -> None:
    peak = peak_flop_per_s(find(name), precision)
    assert peak is not None
    assert peak / 1e12 == pytest.approx(published, rel=0.025)


def test_pascal_without_tensor_cores_has_no_such_peak_and_slow_fp16() -> None:
    card = find("GTX 1060 3GB")
    assert peak_flop_per_s(card, "fp16_tensor") is None
    fp16, fp32 = peak_flop_per_s(card, "fp16"), peak_flop_per_s(card)
    assert fp16 is not None
    assert fp32 == pytest.approx(64 * fp16)


def test_a_measured_clock_scales_the_peak() -> None:
    card = find("Tesla T4")
    assert peak_flop_per_s(card, clock_mhz=795.0) == pytest.approx(0.5 * (peak_flop_per_s(card) or 0))


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("NVIDIA GeForce GTX 1060 3GB", "GeForce GTX 1060 3GB"),
        ("gtx1080ti", "GeForce GTX 1080 Ti"),
        ("NVIDIA A100-SXM4-40GB", "A100-SXM4-40GB"),
        ("NVIDIA GeForce GTX 1060 with Max-Q Design", "GeForce GTX 1060 with Max-Q Design"),
        ("device: 0, name: Tesla T4, pci bus id: 0000:00:04.0, compute capability: 7.5", "Tesla T4"),
        ("rtx 3060 mobile", "GeForce RTX 3060 Laptop GPU"),
        ("GeForce GTX 1070", "GeForce GTX 1070"),
        ("RTX A4000", "RTX A4000"),
        ("Quadro RTX 4000", "Quadro RTX 4000"),
        ("NVIDIA RTX 4000 Ada Generation", "RTX 4000 Ada Generation"),
    ],
)
def test_names_as_drivers_and_people_write_them(written: str, name: str) -> None:
    assert find(written).name == name


def test_memory_and_sms_tell_cards_of_one_name_apart() -> None:
    assert find("NVIDIA GeForce RTX 3060", memory_mib=12_288).name == "GeForce RTX 3060 12GB"
    assert find("NVIDIA GeForce RTX 3060", memory_mib=8_192).name == "GeForce RTX 3060 8GB"
    assert find("GeForce GTX 1070", sm_count=16).kind == "laptop"
    with pytest.raises(UsageError, match="one of several cards: GeForce RTX 3060 12GB or GeForce RTX 3060 8GB"):
        find("RTX 3060")


@pytest.mark.parametrize(("name", "card"), [("1080 ti", "GeForce GTX 1080 Ti"), ("2060", "GeForce RTX 2060")])
def test_people_leave_the_series_out(name: str, card: str) -> None:
    assert find(name).name == card


def test_a_miss_names_the_nearest_or_how_to_write_it() -> None:
    with pytest.raises(UsageError, match=r"did you mean .*GeForce GTX 1080"):
        find("GTX 1085")
    with pytest.raises(UsageError, match="A100-SXM4-40GB"):
        find("A100")
    with pytest.raises(UsageError, match=r"not in the table of cards; name an NVIDIA card"):
        find("Graphics Device")


@given(st.text(max_size=40))
def test_any_name_is_a_card_or_a_clear_error(name: str) -> None:
    with contextlib.suppress(UsageError):
        assert find(name) in cards()


def test_an_unknown_card_is_estimated_from_what_the_driver_tells() -> None:
    known = find("Tesla V100-SXM2-16GB")
    card = estimate("Graphics Device", compute_capability="7.0", sm_count=80, clock_mhz=1530.0)
    assert peak_flop_per_s(card) == peak_flop_per_s(known)
    assert peak_flop_per_s(card, "fp16_tensor") == peak_flop_per_s(known, "fp16_tensor")
    # Of 8.6, some cards sum fp16 in fp32 at half rate and some do not: nothing is claimed.
    ampere = estimate("Graphics Device", compute_capability="8.6", sm_count=68, clock_mhz=1710.0)
    assert peak_flop_per_s(ampere, "fp16_tensor") is None
    with pytest.raises(UsageError, match=r"compute capability 99\.0"):
        estimate("Graphics Device", compute_capability="99.0", sm_count=1, clock_mhz=1.0)


# Worked from the CUDA Occupancy Calculator's formulas: warps, register units of 256 a warp, shared memory units.
@pytest.mark.parametrize(
    ("threads", "registers", "shared", "capability", "fraction", "limit"),
    [
        (256, 32, 0, "6.1", 1.0, "threads"),
        (256, 64, 0, "8.6", 32 / 48, "registers"),
        (128, 168, 0, "7.0", 12 / 64, "registers"),
        (32, 16, 0, "7.5", 16 / 32, "blocks"),
        (256, 0, 49_152, "8.6", 16 / 48, "shared memory"),
        (256, 32, 49_152, "6.1", 16 / 64, "shared memory"),
        (1024, 32, 0, "8.9", 32 / 48, "threads"),
    ],
)
def test_occupancy_by_its_limit(
    threads: int, registers: int, shared: int, capability: str, fraction: float, limit: str
) -> None:
    found = occupancy(threads, registers, shared, capability)
    assert found is not None
    assert found.fraction == pytest.approx(fraction)
    assert found.limit == limit


def test_a_block_that_fits_no_sm_has_no_occupancy() -> None:
    assert occupancy(1024, 65, 0, "7.0") is None
    assert occupancy(256, 32, 49_153, "6.1") is None
    assert occupancy(2048, 32, 0, "8.0") is None
    assert occupancy(256, 32, 0, "99.0") is None


@given(st.integers(1, 1024), st.integers(0, 255), st.integers(0, 49_152), st.sampled_from(["6.0", "6.1", "7.5", "8.6"]))
def test_more_resources_never_raise_occupancy(threads: int, registers: int, shared: int, capability: str) -> None:
    found = occupancy(threads, registers, shared, capability)
    more = occupancy(threads, registers + 8, shared + 512, capability)
    assert found is None or 0 < found.fraction <= 1
    if found and more:
        assert more.fraction <= found.fraction
