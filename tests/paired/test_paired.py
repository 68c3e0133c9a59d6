"""Runs in turns on machines that do not keep their pace: intervals hold the truth, and families claim nothing false."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from gpuprobe.paired import family
from gpuprobe.paired.autocorrelation import MOST_CORRELATED, neighbour_correlation, variance_inflation
from gpuprobe.paired.estimate import Estimate
from gpuprobe.paired.fit import EXPECTED_DEVIATION, EXPECTED_FREEDOM, fit_links
from gpuprobe.paired.lap_noise import MOST_FREEDOM, LapNoise, expected_noise
from gpuprobe.paired.links import Link, Process, links_of
from tests.helpers.restless import MACHINES, study

STUDIES, FAMILIES = 1_000, 150
BASE, AGAIN = Process("base", 1), Process("base", 2)
NAMES = [f"strategy{number}" for number in range(1, 8)]
# A study of two rounds: two fresh processes of each, in turns with a baseline's.
TWICE = [[BASE, Process("other", 1)], [AGAIN, Process("other", 2)]]
# A quick one: each once, in turns with the baseline, which a second process of it takes over from halfway.
QUICK = [
    [BASE, Process(NAMES[0], 1)],
    [BASE, Process(NAMES[1], 1), Process(NAMES[2], 1)],
    [BASE, AGAIN],
    [AGAIN, Process(NAMES[3], 1), Process(NAMES[4], 1)],
    [AGAIN, Process(NAMES[5], 1), Process(NAMES[6], 1)],
]


@pytest.mark.parametrize("machine", MACHINES)
def test_an_interval_holds_the_truth_in_95_of_100_studies(machine: str) -> None:
    random, held, truth = np.random.default_rng(11), 0, 0.1
    for _ in range(STUDIES):
        found = fit_links(links_of(study(machine, {"base": 0.0, "other": truth}, random, groups=TWICE)))
        estimate = found.estimate("other", "base")
        assert estimate is not None
        held += abs(estimate.log_ratio - truth) <= estimate.half_width()
    assert 0.93 <= held / STUDIES <= 0.97, held


@pytest.mark.parametrize("laps", [1, 2, 3, 5])
def test_the_first_runs_of_a_study_claim_nothing_false_of_few_laps(laps: int) -> None:
    random, false = np.random.default_rng(5), 0
    alone = [[BASE, Process("other", 1)]]
    for _ in range(STUDIES):
        found = fit_links(
            links_of(study("steps", {"base": 0.0, "other": 0.0}, random, groups=alone, laps=laps, noise=0.2))
        )
        estimate = found.estimate("other", "base")
        assert estimate is not None
        false += estimate.p_value < 0.05
    assert false <= 0.05 * STUDIES, false


def test_a_family_of_equals_makes_a_false_claim_in_at_most_5_of_100_studies(monkeypatch: pytest.MonkeyPatch) -> None:
    # Enough for the 5 % point, which nine machines times 150 families tell no finer.
    monkeypatch.setattr(family, "DRAWS", 3_000)
    equal = dict.fromkeys(("base", *NAMES), 0.0)
    false = dict.fromkeys(MACHINES, 0)
    for machine in MACHINES:
        random = np.random.default_rng(7)
        for _ in range(FAMILIES):
            found = fit_links(links_of(study(machine, equal, random, groups=QUICK, laps=6)))
            estimates = [estimate for name in NAMES if (estimate := found.estimate(name, "base"))]
            assert len(estimates) == len(NAMES)
            correlation = found.correlation([(name, "base") for name in NAMES])
            false[machine] += min(family.adjusted_p_values(estimates, correlation)) < 0.05
    assert sum(false.values()) <= 0.05 * FAMILIES * len(MACHINES), false
    # Each alone may be unlucky: of 150 families, 14 are as many as chance makes of 5 % in one of 50 tests.
    assert max(false.values()) <= 14, false


def test_turns_see_what_runs_one_after_the_other_cannot() -> None:
    """The same machine, the same time: a tenth is lost in the drift between runs, and plain between turns."""
    random, seen = np.random.default_rng(3), 0
    for _ in range(100):
        found = fit_links(links_of(study("steps", {"base": 0.0, "other": 0.1}, random, groups=TWICE)))
        estimate = found.estimate("other", "base")
        assert estimate is not None
        seen += estimate.p_value < 0.05
    assert seen >= 95


def link(first: Process, second: Process, ratio: float, variance: float = 1e-4) -> Link:
    return Link(first, second, ratio, variance, freedom=7.0, laps=8)


def test_chains_and_cycles_agree() -> None:
    a, b, c = Process("a", 1), Process("b", 1), Process("c", 1)
    found = fit_links([link(a, b, 0.10), link(b, c, 0.20), link(a, c, 0.33)])
    ratios = [found.estimate(*pair) for pair in (("a", "b"), ("b", "c"), ("a", "c"))]
    one, two, both = (estimate.log_ratio for estimate in ratios if estimate)
    assert one + two == pytest.approx(both)
    assert one == pytest.approx(0.11), "a third of what does not agree goes to each"
    chain = fit_links([link(a, b, 0.10), link(b, c, 0.20)])
    assert [chain.estimate("a", "c"), found.estimate("a", "c")][0] is not None
    long, short = chain.estimate("a", "c"), chain.estimate("a", "b")
    assert long is not None
    assert short is not None
    assert long.error > short.error


def test_a_precise_link_weighs_more() -> None:
    a, b = (Process("a", 1), Process("a", 2)), (Process("b", 1), Process("b", 2))
    found = fit_links([link(a[0], b[0], 0.1, 1e-6), link(a[1], b[1], 0.3, 1e-1)]).estimate("a", "b")
    assert found is not None
    assert found.log_ratio == pytest.approx(0.1, abs=0.01)


def test_what_nothing_connects_is_not_compared() -> None:
    found = fit_links([link(BASE, Process("a", 1), 0.1), link(Process("b", 1), Process("c", 1), 0.1)])
    assert found.linked("a", "base")
    assert not found.linked("a", "b")
    assert found.estimate("a", "c") is None
    assert found.estimate("a", "a") is None
    assert fit_links([]).estimate("a", "b") is None


def test_processes_that_differ_widen_every_interval() -> None:
    others = [link(BASE, Process("a", 1), 0.0), link(AGAIN, Process("a", 2), 0.0)]
    alike = fit_links([*others, link(BASE, AGAIN, 0.0)])
    unlike = fit_links([*others, link(BASE, AGAIN, 0.1)])
    assert unlike.process_deviation > 2 * alike.process_deviation
    halves = [found.half_width() for fitted in (alike, unlike) if (found := fitted.estimate("a", "base"))]
    assert halves[1] > 2 * halves[0]


def test_pairs_of_fresh_processes_tell_how_much_these_differ() -> None:
    # The difference of two pairs is that of four processes: a quarter of its square is the variance of one.
    pairs = [link(BASE, Process("a", 1), 0.1), link(AGAIN, Process("a", 2), -0.1)]
    noise = sum(pair.variance for pair in pairs) / 4
    measured = 0.2**2 / 4 - noise
    freedom = (measured / (measured + noise)) ** 2
    weight = freedom / (freedom + EXPECTED_FREEDOM)
    expected = weight * measured + (1 - weight) * EXPECTED_DEVIATION**2
    assert fit_links(pairs).process_deviation ** 2 == pytest.approx(expected)


def test_a_pair_that_is_precise_by_luck_beside_a_noisy_one_claims_nothing() -> None:
    """The noise of one pair must not show that processes are alike: the other would then count as nearly exact."""
    pairs = [link(BASE, Process("a", 1), 0.03, 1e-8), link(AGAIN, Process("a", 2), 0.037, 1e-3)]
    fitted = fit_links(pairs)
    assert fitted.process_deviation > 0.9 * EXPECTED_DEVIATION
    estimate = fitted.estimate("a", "base")
    assert estimate is not None
    assert estimate.half_width() > abs(estimate.log_ratio)


def test_a_lap_of_three_weighs_what_it_tells() -> None:
    """Of three runs of equal noise the difference of two has the variance 2/n, whoever the third is."""
    random = np.random.default_rng(2)
    processes = [Process(name, 1) for name in "abc"]
    three = links_of([{process: random.normal() for process in processes} for _ in range(4_000)])
    found = fit_links(three).estimate("a", "b")
    assert found is not None
    assert found.error**2 - 2 * 0.01**2 == pytest.approx(2 / 4_000, rel=0.1)


def test_neighbours_that_are_alike_count_less() -> None:
    random = np.random.default_rng(5)
    white = [random.normal(size=12) for _ in range(400)]
    assert neighbour_correlation(white) < 0.05
    walks = [np.cumsum(random.normal(size=40)) for _ in range(50)]
    assert neighbour_correlation(walks) > 0.6
    assert variance_inflation(MOST_CORRELATED) == pytest.approx(9.0)
    assert variance_inflation(0.0) == 1.0
    assert neighbour_correlation([np.ones(5)]) == 0.0


def test_one_busy_moment_is_not_the_ratio() -> None:
    """Of two pairs, each with one lap in which the machine changed its speed, the middle stays where most laps are."""
    random = np.random.default_rng(4)
    laps = [
        {BASE: random.normal(0, 0.01), Process(name, 1): random.normal(0.1, 0.01)} for name in "ab" for _ in range(7)
    ]
    calm = fit_links(links_of(laps)).estimate("a", "base")
    laps[3][BASE] -= 0.45
    laps[9][BASE] -= 0.45
    found = fit_links(links_of(laps)).estimate("a", "base")
    assert calm is not None
    assert found is not None
    assert found.log_ratio == pytest.approx(calm.log_ratio, abs=0.015), "the mean moves by 0.064"
    assert found.half_width() < 0.15, "that of a mean of seven differences, one of them 0.45 off, is 0.16"


def test_calm_series_are_not_widened_by_one_that_was_not() -> None:
    random = np.random.default_rng(6)
    deviations = [0.01] * 5 + [0.3]
    noises = [LapNoise(float(random.normal(0, deviation, 7).var(ddof=1)), 6.0) for deviation in deviations]
    shared = expected_noise(noises)
    assert shared is not None
    assert shared.variance < 0.01 * float(np.mean([noise.variance for noise in noises]))
    assert shared.freedom < MOST_FREEDOM, "they are not alike"
    alike = expected_noise([LapNoise(1e-4, 6.0)] * 5)
    assert alike is not None
    assert alike.freedom == MOST_FREEDOM
    assert alike.variance == pytest.approx(1e-4, rel=0.5)
    assert expected_noise([LapNoise(0.0, 0.0)]) is None


def test_a_single_lap_beside_series_that_are_wholly_unlike_claims_nothing() -> None:
    random, laps = np.random.default_rng(8), []
    for place, deviation in enumerate((1e-4, 1e-3, 0.01, 0.1, 1.0)):
        other = Process(f"s{place}", 1)
        laps += [{BASE: random.normal(0, deviation), other: random.normal(0, deviation)} for _ in range(6)]
    laps.append({BASE: 0.0, Process("once", 1): 0.3})
    found = fit_links(links_of(laps)).estimate("once", "base")
    assert found is not None
    assert math.isfinite(found.half_width())
    assert found.p_value > 0.05
    assert fit_links(links_of([{BASE: 0.0, Process("once", 1): 0.0}] * 4)).estimate("once", "base") is not None


def test_one_lap_gives_an_interval_that_nothing_beats() -> None:
    (found,) = links_of([{BASE: 0.0, Process("a", 1): 0.5}])
    assert found.variance > 0.04**2
    estimate = fit_links([found]).estimate("a", "base")
    assert estimate is not None
    assert estimate.half_width() > 0.1


def test_the_family_is_dunnetts_where_all_are_with_one_baseline() -> None:
    """Against the tables: Dunnett 1964, two-sided 5 %, correlation one half."""
    half = np.full((3, 3), 0.5) + 0.5 * np.eye(3)
    alone = family.single_confidence(half, 0.95)
    assert Estimate(0.0, 1.0, 20.0).half_width(alone) == pytest.approx(2.54, abs=0.04)
    assert Estimate(0.0, 1.0, 1e6).half_width(alone) == pytest.approx(2.35, abs=0.02)
    assert family.single_confidence(half[:1, :1], 0.95) == 0.95


def test_a_comparison_of_few_laps_costs_the_others_nothing() -> None:
    clear, few = Estimate(3.2, 1.0, 30.0), Estimate(0.1, 1.0, 2.0)
    among_few, _ = family.adjusted_p_values([clear, few], np.eye(2))
    among_many, _ = family.adjusted_p_values([clear, Estimate(0.1, 1.0, 30.0)], np.eye(2))
    assert among_few == among_many < 0.01


def test_the_family_steps_down() -> None:
    independent = np.eye(3)
    large, middling = Estimate(10.0, 1.0, 50.0), Estimate(2.3, 1.0, 50.0)
    alone = family.adjusted_p_values([middling], np.eye(1))[0]
    first, second, _ = family.adjusted_p_values([large, middling, Estimate(0.1, 1.0, 50.0)], independent)
    assert first < 0.001
    assert alone < second < 3 * alone, "what is proved already is no more than what is left"
    assert family.adjusted_p_values([], np.eye(0)) == ()


def test_an_estimate_and_its_reverse() -> None:
    estimate = Estimate(0.2, 0.05, 10.0)
    assert estimate.p_value == pytest.approx(2 * stats.t.sf(4.0, 10))
    assert estimate.reversed().log_ratio == -0.2
    assert Estimate(0.1, 0.0, 5.0).p_value == 0.0
    assert math.isinf(Estimate(0.1, 0.0, 5.0).deviate)
