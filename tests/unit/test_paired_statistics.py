"""Paired comparisons: published examples, and simulated worlds in which nothing changed or something did."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from hansei.tools.experiments import Run, compare_runs
from hansei.tools.paired_statistics import compare_pairs, holm, sign_p


def table(both: int, won: int, lost: int, neither: int) -> tuple[list[float], list[float]]:
    """Baseline and candidate values of a two-by-two table."""
    baseline = [1.0] * both + [0.0] * won + [1.0] * lost + [0.0] * neither
    candidate = [1.0] * both + [1.0] * won + [0.0] * lost + [0.0] * neither
    return baseline, candidate


def test_the_interval_of_paired_proportions_is_newcombes() -> None:
    """Newcombe 1998, table II, method 10: of 50 pairs 36 yes in both, 12 and 2 in one, 0 in none."""
    found = compare_pairs(*table(both=36, won=12, lost=2, neither=0))
    assert found.difference == pytest.approx(0.2)
    assert found.low is not None
    assert found.high is not None
    assert found.low == pytest.approx(0.0569, abs=2e-3)
    assert found.high == pytest.approx(0.3404, abs=2e-3)


def test_mcnemar_is_the_exact_binomial_test() -> None:
    for better, worse in [(0, 0), (5, 0), (12, 2), (30, 41), (600, 540)]:
        wanted = stats.binomtest(better, better + worse).pvalue if better + worse else 1.0
        assert sign_p(better, worse) == pytest.approx(wanted, rel=2e-2)


def test_numbers_are_compared_by_their_differences() -> None:
    rng = np.random.default_rng(1)
    first = rng.normal(10, 5, 80)
    second = first + rng.normal(0.5, 1, 80)
    found = compare_pairs(list(first), list(second))
    wanted = stats.ttest_rel(second, first)
    assert found.p == pytest.approx(wanted.pvalue)
    interval = wanted.confidence_interval()
    assert (found.low, found.high) == (pytest.approx(interval.low), pytest.approx(interval.high))


def test_differences_that_are_all_the_same() -> None:
    assert compare_pairs([1.5] * 4, [1.5] * 4).p == 1
    assert compare_pairs([1.5] * 4, [2.5] * 4).p == pytest.approx(0.125)
    one = compare_pairs([1.5], [2.5])
    assert (one.n, one.low, one.high, one.p) == (1, None, None, 1.0)
    with pytest.raises(ValueError, match="pairs"):
        compare_pairs([], [])


def test_holm() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]) == []


def test_intervals_cover_and_alarms_are_rare() -> None:
    """2,000 worlds: pairs that are alike, with a true difference of −0.08 or none."""
    rng = np.random.default_rng(5)
    for shift in (0.0, -0.08):
        covered = alarms = 0
        for _ in range(2_000):
            quality = rng.beta(4, 2, 60)
            first = (rng.random(60) < quality).astype(float)
            second = (rng.random(60) < np.clip(quality + shift, 0, 1)).astype(float)
            truth = float(np.mean(np.clip(quality + shift, 0, 1) - quality))
            found = compare_pairs(list(first), list(second))
            assert found.low is not None
            assert found.high is not None
            covered += found.low <= truth <= found.high
            alarms += found.p < 0.05
        assert covered / 2_000 > 0.94
        if shift == 0:
            assert alarms / 2_000 < 0.05


def test_a_margin_is_tested_as_such() -> None:
    """The p-value that the difference is the margin agrees with the interval, and with the t-test of shifted values."""
    rng = np.random.default_rng(1)
    first = rng.normal(10, 5, 80)
    second = first + rng.normal(-1, 1, 80)
    found = compare_pairs(list(first), list(second), -0.8)
    assert found.p_margin == pytest.approx(stats.ttest_rel(second + 0.8, first).pvalue)
    assert found.p < found.p_margin
    values = table(both=60, won=2, lost=30, neither=8)
    plain = compare_pairs(*values)
    assert plain.high is not None
    assert plain.p_margin == plain.p
    assert compare_pairs(*values, plain.high).p_margin == pytest.approx(0.05, abs=1e-4)
    assert compare_pairs(*values, plain.difference).p_margin == pytest.approx(1.0, abs=1e-4)
    assert compare_pairs(*values, -0.05).p_margin < 0.001


@pytest.mark.parametrize("numbers", [False, True])
def test_of_five_criteria_at_the_margin_a_gate_seldom_fails(numbers: bool) -> None:
    """Each is worse by just as much as is accepted; that one of five is called worse must stay as rare as 5 %."""
    rng = np.random.default_rng(3)
    alarms = 0
    for _ in range(250):
        runs: dict[str, dict[str, dict[str, float]]] = {"baseline": {}, "candidate": {}}
        for name in "abcde":
            quality = rng.beta(4, 2, 80)
            for run, shift in (("baseline", 0.0), ("candidate", -0.05)):
                right = np.clip(quality + shift, 0, 1)
                values = right + rng.normal(0, 0.1, 80) if numbers else (rng.random(80) < right).astype(float)
                runs[run][name] = {str(i): float(value) for i, value in enumerate(values)}
        first, second = (Run(key, key, frozenset(map(str, range(80))), scores, frozenset(), {})
                         for key, scores in runs.items())  # fmt: skip
        alarms += bool(compare_runs(first, second, margin=0.05).worse)
    assert alarms / 250 <= 0.06


def test_items_that_are_run_more_often_than_others_leave_the_interval_right() -> None:
    """Each item counts once, by the mean of one to eight values: means of unlike spread, in 1,500 worlds."""
    rng = np.random.default_rng(7)
    covered = 0
    for _ in range(1_500):
        quality, often = rng.beta(4, 2, 50), rng.integers(1, 9, 50)
        first = rng.binomial(often, quality) / often
        second = rng.binomial(often, np.clip(quality - 0.08, 0, 1)) / often
        truth = float(np.mean(np.clip(quality - 0.08, 0, 1) - quality))
        found = compare_pairs(list(first), list(second))
        assert found.low is not None
        assert found.high is not None
        covered += found.low <= truth <= found.high
    assert 0.935 <= covered / 1_500 <= 0.975
