"""Each function against another source: published values, scipy, the same thing written differently, or simulation.

Simulations have fixed seeds and bounds that leave room for chance, so they fail only when the method is wrong.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some
from numpy.typing import NDArray
from scipy import stats

from hansei.tools.fisher import fisher_p
from hansei.tools.statistics import (
    PRIOR_DAYS,
    SMALL_COUNT,
    Dispersion,
    Sums,
    benjamini_hochberg,
    change_point,
    difference_p,
    dispersion,
    mean_interval,
    proportion_interval,
    quantile_interval,
    wilson,
)

Random = np.random.Generator
Floats = NDArray[np.float64]


def sums_of(x: Floats, y: Floats) -> Sums:
    """The sums over clusters with denominators `x` and numerators `y`."""
    return Sums(
        len(x), float(x.sum()), float(y.sum()), float((x * x).sum()), float((x * y).sum()), float((y * y).sum()),
        int((y > 0).sum()),
    )  # fmt: skip


def calls_of_traces(random: Random, traces: int, rate: float, alike: float) -> Sums:
    """Failing calls of traces with 1 to 5 calls each.

    `alike`: the share of traces whose calls share one fate; 0 makes calls independent, 1 makes a trace all or nothing.
    """
    calls = random.integers(1, 6, traces).astype(np.float64)
    one_fate = random.random(traces) < alike
    together = calls * (random.random(traces) < rate)
    apart = random.binomial(calls.astype(np.int64), rate).astype(np.float64)
    return sums_of(calls, np.where(one_fate, together, apart))


def days_of_calls(random: Random, rates: Floats, traces: int, alike: float = 0.3) -> list[Sums]:
    return [calls_of_traces(random, traces, float(rate), alike) for rate in rates]


# Wilson's interval


@pytest.mark.parametrize(
    ("events", "n", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_gives_newcombes_published_intervals(events: int, n: int, low: float, high: float) -> None:
    """Newcombe, Statistics in Medicine 17 (1998) 857, table I, method 3."""
    interval = wilson(events / n, n)
    assert interval.value == events / n
    assert (round(interval.low, 4), round(interval.high, 4)) == (low, high)


@given(some.integers(1, 500).flatmap(lambda n: some.tuples(some.integers(0, n), some.just(n))))
def test_wilson_agrees_with_scipy(counted: tuple[int, int]) -> None:
    events, n = counted
    theirs = stats.binomtest(events, n).proportion_ci(method="wilson")
    ours = wilson(events / n, n)
    assert ours.low == pytest.approx(theirs.low, abs=1e-6)
    assert ours.high == pytest.approx(theirs.high, abs=1e-6)
    assert ours.low <= ours.value <= ours.high


def test_wilson_without_trials_knows_nothing() -> None:
    interval = wilson(0.0, 0)
    assert (interval.low, interval.high) == (0.0, 1.0)


# The ratio estimator


def test_sums_add_up_like_their_clusters() -> None:
    random = np.random.default_rng(1)
    x = random.integers(0, 5, 40).astype(np.float64)
    y = random.random(40) * x
    parts = Sums.total([sums_of(x[:13], y[:13]), sums_of(x[13:20], y[13:20]), Sums(), sums_of(x[20:], y[20:])])
    whole = sums_of(x, y)
    assert (parts.clusters, parts.affected, parts.x) == (whole.clusters, whole.affected, whole.x)
    assert parts.ratio == pytest.approx(y.sum() / x.sum())
    assert parts.variance == pytest.approx(whole.variance)
    assert parts.residual(0.3) == pytest.approx(float(((y - 0.3 * x) ** 2).sum()))


def test_nothing_has_no_ratio_and_one_cluster_no_variance() -> None:
    assert math.isnan(Sums().ratio)
    assert math.isnan(Sums().variance)
    one = sums_of(np.array([4.0]), np.array([1.0]))
    assert one.ratio == 0.25
    assert math.isnan(one.variance)


@pytest.mark.parametrize("alike", [0.0, 0.5, 1.0])
def test_the_variance_of_a_ratio_is_the_bootstraps_over_traces(alike: float) -> None:
    random = np.random.default_rng(7)
    calls = random.integers(1, 9, 400).astype(np.float64)
    failing = np.where(
        random.random(400) < alike,
        calls * (random.random(400) < 0.2),
        random.binomial(calls.astype(np.int64), 0.2),
    )
    drawn = random.integers(0, 400, (4000, 400))
    ratios = failing[drawn].sum(axis=1) / calls[drawn].sum(axis=1)
    assert sums_of(calls, failing).variance == pytest.approx(float(ratios.var()), rel=0.1)


def test_with_one_call_a_trace_the_variance_is_the_binomials() -> None:
    ones = np.ones(200)
    fails = np.zeros(200)
    fails[:30] = 1
    assert sums_of(ones, fails).variance == pytest.approx(0.15 * 0.85 / 199)


# Intervals


def covered(interval: Callable[[Random], tuple[float, float]], truth: float, times: int, seed: int) -> float:
    """Share of simulated intervals that hold the truth."""
    random = np.random.default_rng(seed)
    bounds = [interval(random) for _ in range(times)]
    return sum(low <= truth <= high for low, high in bounds) / times


@pytest.mark.parametrize("alike", [0.0, 1.0])
@pytest.mark.parametrize("rate", [0.03, 0.3])
def test_the_interval_of_a_share_holds_the_truth_nineteen_times_of_twenty(rate: float, alike: float) -> None:
    def interval(random: Random) -> tuple[float, float]:
        found = proportion_interval(calls_of_traces(random, 400, rate, alike), Dispersion())
        return found.low, found.high

    assert 0.91 <= covered(interval, rate, 600, 3) <= 0.985


def test_the_interval_of_a_mean_holds_the_truth_nineteen_times_of_twenty() -> None:
    def interval(random: Random) -> tuple[float, float]:
        found = mean_interval(sums_of(np.ones(60), random.gamma(4.0, 0.5, 60)), Dispersion())
        return found.low, found.high

    assert 0.92 <= covered(interval, 2.0, 600, 4) <= 0.98


def test_the_interval_of_a_mean_is_students() -> None:
    values = np.random.default_rng(5).normal(10, 3, 25)
    theirs = stats.t.interval(0.95, 24, loc=values.mean(), scale=stats.sem(values))
    ours = mean_interval(sums_of(np.ones(25), values), Dispersion())
    assert (ours.low, ours.high) == pytest.approx(theirs)


def test_scatter_between_days_widens_both_intervals() -> None:
    sums = calls_of_traces(np.random.default_rng(6), 300, 0.2, 0.2)
    for interval in (proportion_interval, mean_interval):
        narrow, wide = interval(sums, Dispersion()), interval(sums, Dispersion(4.0, 16.0))
        assert wide.high - wide.low == pytest.approx(2 * (narrow.high - narrow.low), rel=0.05)
        assert wide.value == narrow.value


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_a_share_of_none_or_all_counts_each_trace_once(share: float) -> None:
    calls = np.full(50, 10.0)
    interval = proportion_interval(sums_of(calls, share * calls), Dispersion())
    expected = stats.binomtest(round(50 * share), 50).proportion_ci(method="wilson")
    assert (interval.low, interval.high) == pytest.approx((expected.low, expected.high), abs=1e-6)


# Dispersion


def test_days_that_differ_by_chance_only_have_a_factor_near_one() -> None:
    random = np.random.default_rng(8)
    factors = [dispersion(days_of_calls(random, np.full(7, 0.1), 200)).factor for _ in range(200)]
    assert min(factors) >= 1.0
    assert float(np.mean(factors)) < 1.15
    assert float(np.quantile(factors, 0.95)) < 1.6


def test_days_that_scatter_have_the_factor_that_the_scatter_gives() -> None:
    """A day's variance is binomial plus between days. The factor lies between that and what a prior that never yields
    would make of it, (prior + df * truth) / (prior + df)."""
    random = np.random.default_rng(9)
    days, traces, rate, between = 7, 300, 0.2, 0.06
    factors = []
    for _ in range(300):
        rates = np.clip(random.normal(rate, between, days), 0.01, 0.9)
        fails = [float(random.binomial(traces, p)) for p in rates]
        factors.append(dispersion([Sums(traces, traces, f, traces, f, f, int(f)) for f in fails]).factor)
    truth = 1 + between**2 / (rate * (1 - rate) / traces)
    shrunk = (PRIOR_DAYS + (days - 1) * truth) / (PRIOR_DAYS + days - 1)
    assert 0.85 * shrunk < float(np.mean(factors)) < 1.1 * truth


def test_what_says_nothing_about_days_leaves_the_prior() -> None:
    day = calls_of_traces(np.random.default_rng(1), 50, 0.2, 0.0)
    never = sums_of(np.ones(20), np.zeros(20))
    for days in ([], [Sums()], [day], [day, Sums(), Sums()], [never, never]):
        assert dispersion(days) == Dispersion(1.0, dispersion(days).freedom)
    assert dispersion([day, Sums()]).beliefs == [(1.0, 1.0)]


# The test of a difference


def rejected(worlds: Callable[[Random], float], times: int, seed: int, level: float = 0.05) -> float:
    """Share of simulated worlds whose p-value is below the level."""
    random = np.random.default_rng(seed)
    return sum(worlds(random) < level for _ in range(times)) / times


@pytest.mark.parametrize("alike", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("rate", [0.05, 0.3])
def test_equal_worlds_are_told_apart_as_often_as_promised(rate: float, alike: float) -> None:
    def world(random: Random) -> float:
        before = days_of_calls(random, np.full(7, rate), 100, alike)
        now = calls_of_traces(random, 700, rate, alike)
        return difference_p(now, Sums.total(before), dispersion(before), proportion=True)

    assert 0.02 <= rejected(world, 500, 11) <= 0.08


def test_equal_means_are_told_apart_as_often_as_promised() -> None:
    def world(random: Random) -> float:
        days = [sums_of(np.ones(60), random.lognormal(0, 0.8, 60)) for _ in range(14)]
        return difference_p(Sums.total(days[7:]), Sums.total(days[:7]), dispersion(days[:7]), proportion=False)

    assert 0.02 <= rejected(world, 500, 12) <= 0.08


def test_days_that_scatter_raise_few_false_alarms() -> None:
    """With days that scatter three times more than chance, an ordinary test alarms in about every fourth world.

    Seven days tell too little about their scatter for the promised 5 % to be kept; most of those alarms are avoided.
    """
    between = math.sqrt(2 * 0.2 * 0.8 / 300)  # a day has 100 traces with 3 calls on average

    def world(random: Random) -> list[Sums]:
        rates = np.clip(random.normal(0.2, between, 14), 0.01, 0.9)
        return days_of_calls(random, rates, 100, 0.0)

    def ours(random: Random) -> float:
        days = world(random)
        spread = dispersion(days[:7], days[7:])
        return difference_p(Sums.total(days[7:]), Sums.total(days[:7]), spread, proportion=True)

    def naive(random: Random) -> float:
        days = world(random)
        return difference_p(Sums.total(days[7:]), Sums.total(days[:7]), Dispersion(), proportion=True)

    assert rejected(naive, 400, 13) > 0.2
    assert rejected(ours, 400, 13) < 0.2
    # What counts is the far end, where the bound on false discoveries lies.
    assert rejected(naive, 400, 13, 1e-3) > 0.04
    assert rejected(ours, 400, 13, 1e-3) < 0.015


@pytest.mark.parametrize("alike", [0.0, 1.0])
def test_a_real_difference_is_seen(alike: float) -> None:
    def world(random: Random) -> float:
        before = days_of_calls(random, np.full(7, 0.10), 100, alike)
        now = calls_of_traces(random, 700, 0.16, alike)
        return difference_p(now, Sums.total(before), dispersion(before), proportion=True)

    assert rejected(world, 200, 14) > 0.8


def test_the_test_of_means_is_welchs() -> None:
    random = np.random.default_rng(15)
    a, b = random.normal(5, 1, 30), random.normal(5.8, 3, 50)
    ours = difference_p(sums_of(np.ones(30), a), sums_of(np.ones(50), b), Dispersion(), proportion=False)
    assert ours == pytest.approx(float(stats.ttest_ind(a, b, equal_var=False).pvalue))


def hypergeometric_p(a: int, n: int, b: int, m: int) -> float:
    """Fisher's two-sided p-value by its definition: the tables no likelier than the one that was seen."""

    def weight(k: int) -> int:
        return math.comb(n, k) * math.comb(m, a + b - k)

    weights = [weight(k) for k in range(max(0, a + b - m), min(n, a + b) + 1)]
    return sum(w for w in weights if w <= weight(a)) / sum(weights)


@pytest.mark.parametrize(("a", "n", "b", "m"), [(3, 3, 0, 500), (9, 200, 1, 220), (0, 90, 6, 60), (4, 50, 5, 60)])
def test_few_affected_traces_are_tested_exactly(a: int, n: int, b: int, m: int) -> None:
    assert min(a, b) < SMALL_COUNT
    current, reference = (Sums(k, k, hit, k, hit, hit, hit) for hit, k in ((a, n), (b, m)))
    p = difference_p(current, reference, Dispersion(), proportion=True)
    assert p == pytest.approx(hypergeometric_p(a, n, b, m))
    assert p == pytest.approx(difference_p(reference, current, Dispersion(), proportion=True))


def test_what_cannot_be_tested_has_a_p_value_of_one() -> None:
    some_traces = calls_of_traces(np.random.default_rng(2), 100, 0.3, 0.0)
    one = sums_of(np.ones(1), np.ones(1))
    for other in (Sums(), one):
        for proportion in (True, False):
            assert difference_p(some_traces, other, Dispersion(), proportion=proportion) == 1.0
            assert difference_p(other, some_traces, Dispersion(), proportion=proportion) == 1.0
    same = sums_of(np.ones(40), np.full(40, 0.5))
    assert difference_p(same, same, Dispersion(), proportion=False) == 1.0


# Quantiles

LEVELS = [0.01, *(round(0.05 * i, 2) for i in range(1, 20)), 0.96, 0.97, 0.98, 0.99, 0.995]


@pytest.mark.parametrize("level", [0.5, 0.95])
def test_the_interval_of_a_quantile_holds_the_truth(level: float) -> None:
    truth = float(stats.lognorm.ppf(level, 0.7))

    def interval(random: Random) -> tuple[float, float]:
        values = np.quantile(random.lognormal(0, 0.7, 500), LEVELS)
        found = quantile_interval(LEVELS, list(values), level, math.sqrt(level * (1 - level) / 500))
        return found.low, found.high

    assert 0.90 <= covered(interval, truth, 500, 16) <= 0.99


def test_the_interval_of_a_quantile_is_read_off_the_quantile_function() -> None:
    values = [100 * level for level in LEVELS]
    found = quantile_interval(LEVELS, values, 0.5, 0.1)
    assert found.value == 50
    assert (found.low, found.high) == pytest.approx((50 - 19.59964, 50 + 19.59964))
    edge = quantile_interval(LEVELS, values, 0.95, 0.5)
    assert (edge.low, edge.high) == (1.0, 99.5)


# False discoveries


@given(some.lists(some.floats(0, 1), min_size=1, max_size=30), some.integers(0, 100))
def test_q_values_are_scipys_with_all_that_was_looked_at(p_values: list[float], others: int) -> None:
    theirs = stats.false_discovery_control(p_values + [1.0] * others)[: len(p_values)]
    assert benjamini_hochberg(p_values, len(p_values) + others) == pytest.approx(list(theirs))


def test_q_values_keep_the_order_of_the_p_values() -> None:
    p_values = [0.4, 0.001, 0.03, 0.03, 0.9]
    q_values = benjamini_hochberg(p_values, 50)
    in_order = [q for _, q in sorted(zip(p_values, q_values, strict=True))]
    assert all(a <= b for a, b in pairwise(in_order))
    assert q_values[2] == q_values[3]
    assert benjamini_hochberg([], 10) == []


# The onset


@pytest.mark.parametrize("onset", range(7))
def test_the_onset_is_the_planted_day(onset: int) -> None:
    rates = np.array([0.05] * (7 + onset) + [0.2] * (7 - onset))
    found = [change_point(days_of_calls(np.random.default_rng(seed), rates, 150), 7) - 7 for seed in range(20)]
    assert sum(abs(day - onset) <= 1 for day in found) >= 18
    assert sum(day == onset for day in found) >= 14


@pytest.mark.parametrize("onset", [0, 2, 6])
def test_a_segment_that_begins_inside_the_window_began_to_change_with_its_first_day(onset: int) -> None:
    random = np.random.default_rng(17)
    before = days_of_calls(random, np.full(7, 0.05), 150)
    now = days_of_calls(random, np.full(7 - onset, 0.2), 150)
    assert change_point([*before, *[Sums()] * onset, *now], 7) == 7 + onset


def test_without_any_change_the_window_itself_is_the_onset() -> None:
    never = sums_of(np.ones(20), np.zeros(20))
    assert change_point([never] * 14, 7) == 7
    assert change_point([Sums()] * 14, 7) == 7


def test_fishers_test_is_scipys() -> None:
    from scipy.stats import fisher_exact

    rng = np.random.default_rng(11)
    for _ in range(300):
        n, m = rng.integers(2, (20, 500, 100_000)[rng.integers(3)], 2)
        a, b = rng.integers(0, min(n, 9) + 1), rng.integers(0, min(m, 300) + 1)
        expected = float(fisher_exact([[a, n - a], [b, m - b]]).pvalue)
        assert fisher_p(int(a), int(n), int(b), int(m)) == pytest.approx(expected, rel=1e-6, abs=1e-250)
