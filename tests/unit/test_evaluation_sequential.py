"""Intervals that hold at all times at once, and stopping by them."""

from __future__ import annotations

import numpy as np
import pytest

from hansei.tools.evaluation.sequential import anytime_interval, combined, expected_traces, narrow_enough
from hansei.tools.statistics import wilson


def _ever_missed(share: float, population: int | None, runs: int, most: int) -> tuple[float, float]:
    """In how many runs an interval missed the truth at any time: this one, and Wilson's for a fixed number."""
    chance = np.random.default_rng(7)
    ours = fixed = 0
    for _ in range(runs):
        if population is None:
            truth, drawn = share, chance.random(most) < share
        else:
            truth = round(share * population) / population
            drawn = chance.permutation(population)[:most] < round(share * population)
        found = np.cumsum(drawn)
        missed = missed_fixed = False
        for n in range(1, most + 1):
            count = int(found[n - 1])
            if not missed:
                interval = anytime_interval(count, n, population)
                missed = not interval.low - 1e-9 <= truth <= interval.high + 1e-9
            if not missed_fixed and n >= 20:
                usual = wilson(count / n, n)
                missed_fixed = not usual.low <= truth <= usual.high
        ours, fixed = ours + missed, fixed + missed_fixed
    return ours / runs, fixed / runs


def test_looking_at_every_trace_keeps_the_error() -> None:
    ours, fixed = _ever_missed(0.3, None, runs=60, most=300)
    assert ours <= 0.05 + 2 * (0.05 * 0.95 / 60) ** 0.5
    assert fixed > 0.15, "an interval for a fixed number does not survive being looked at again and again"


@pytest.mark.long
@pytest.mark.parametrize("population", [None, 1000])
@pytest.mark.parametrize("share", [0.02, 0.1, 0.5])
def test_the_error_is_kept_under_optional_stopping(share: float, population: int | None) -> None:
    ours, _ = _ever_missed(share, population, runs=500, most=1000)
    assert ours <= 0.05 + 2 * (0.05 * 0.95 / 500) ** 0.5


@pytest.mark.long
@pytest.mark.parametrize("share", [0.05, 0.3])
def test_stopping_at_a_width_keeps_the_error(share: float) -> None:
    chance, missed, used = np.random.default_rng(3), 0, []
    for _ in range(500):
        found = n = 0
        while not narrow_enough(found, n, 0.05, 5000):
            found, n = found + int(chance.random() < share), n + 1
        interval = anytime_interval(found, n, 5000)
        missed += not interval.low <= share <= interval.high
        used.append(n)
    assert missed / 500 <= 0.05 + 2 * (0.05 * 0.95 / 500) ** 0.5
    assert max(used) <= expected_traces(0.05, 0.5, 5000)


def test_the_interval_narrows_to_the_truth_when_all_is_judged() -> None:
    whole = anytime_interval(7, 40, 40)
    assert (whole.low, whole.value, whole.high) == (7 / 40, 7 / 40, 7 / 40)
    part, endless = anytime_interval(7, 40, 80), anytime_interval(7, 40)
    assert endless.low < part.low < 7 / 40 < part.high < endless.high
    assert part.low >= 7 / 80
    assert part.high <= 47 / 80
    assert anytime_interval(0, 30).low == 0
    assert anytime_interval(30, 30).high == 1
    huge = anytime_interval(40, 400, 10_000_000)
    assert (huge.low, huge.high) == pytest.approx(
        (anytime_interval(40, 400).low, anytime_interval(40, 400).high), abs=1e-4
    )
    for found, n, population in ((-1, 3, None), (4, 3, None), (1, 9, 8)):
        with pytest.raises(ValueError, match="no such counts"):
            anytime_interval(found, n, population)


def test_it_stops_as_soon_as_the_interval_is_narrow_enough() -> None:
    n = expected_traces(0.1, 0.5)
    assert narrow_enough(n // 2, n, 0.1)
    assert not narrow_enough(n // 4, n // 2, 0.1)
    assert expected_traces(0.1, 0.05) < n < expected_traces(0.05, 0.5)
    assert expected_traces(0.05, 0.5, population=300) < 300
    assert not narrow_enough(0, 0, 0.4)


def test_strata_add_up_to_one_interval() -> None:
    whole = combined([(900, 200, 20), (100, 50, 25), (0, 0, 0)])
    assert whole.value == pytest.approx(0.9 * 0.1 + 0.1 * 0.5)
    assert whole.low < whole.value < whole.high
    unseen = combined([(900, 200, 20), (100, 0, 0)])
    assert unseen.high >= whole.high - 0.1
    assert unseen.low < whole.low
    assert combined([]).high == 1.0
