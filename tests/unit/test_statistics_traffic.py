"""The test of traffic: counts per day against the same weekdays before, see test_statistics.py."""

from __future__ import annotations

import numpy as np
import pytest

from hansei.tools.playbook.onset import day_of_traffic
from hansei.tools.statistics import count_test

WEEK = [100.0, 105.0, 98.0, 102.0, 101.0, 40.0, 35.0]
"""Monday to Sunday."""


def test_a_weekend_is_no_drop() -> None:
    """A window of three days, Saturday to Monday, after two weeks."""
    history = (WEEK * 3)[:19]
    weekend = count_test(history, [41.0, 34.0, 99.0])
    assert weekend is not None
    assert weekend.expected == pytest.approx((40 + 35 + 100) / 3)
    assert weekend.p > 0.3
    assert min(history[-3:]) > 2 * 34  # the three days just before would have made an alarm of it


@pytest.mark.parametrize(("level", "began"), [(1.8, 1), (0.0, 3), (2.0, 0), (0.5, 5)])
def test_what_began_before_a_quiet_weekend_is_not_told_of_the_monday_after_it(level: float, began: int) -> None:
    """A window from Thursday to Wednesday, after four weeks."""
    thursdays = WEEK[3:] + WEEK[:3]
    window = [count * (level if day >= began else 1) for day, count in enumerate(thursdays)]
    assert day_of_traffic(thursdays * 4, window) == began


def test_where_nothing_was_before_it_began_with_the_first_that_came() -> None:
    assert day_of_traffic([0.0] * 14, [0.0, 0.0, 0.0, 7.0, 9.0, 0.0, 8.0]) == 3


def test_traffic_that_is_nearly_halved_is_told() -> None:
    history = WEEK * 2
    halved = count_test(history, [0.55 * count for count in WEEK])
    assert halved is not None
    assert halved.expected == pytest.approx(sum(WEEK) / 7)
    assert halved.p < 1e-3


def test_days_that_scatter_anyway_make_a_drop_less_surprising() -> None:
    random = np.random.default_rng(18)
    window = [70.0] * 7
    steady = count_test([float(n) for n in random.poisson(100, 28)], window)
    restless = count_test([float(n) for n in random.negative_binomial(4, 4 / 104, 28)], window)
    assert steady is not None
    assert restless is not None
    assert restless.factor > 5 * steady.factor
    assert steady.p < 1e-4
    assert restless.p > 0.05


@pytest.mark.parametrize("per_day", [20, 200])
def test_equal_traffic_is_told_apart_as_often_as_promised(per_day: int) -> None:
    random = np.random.default_rng(19)
    told = 0
    for _ in range(500):
        counts = [float(n) for n in random.poisson(np.array(WEEK * 5) * per_day / 100)]
        found = count_test(counts[:28], counts[28:])
        assert found is not None
        told += found.p < 0.05
    assert 0.015 <= told / 500 <= 0.08


@pytest.mark.parametrize(("history", "window"), [([], [5.0]), ([9.0, 9.0], [5.0, 5.0]), ([0.0] * 14, [0.0] * 7)])
def test_without_the_same_weekday_nothing_is_said(history: list[float], window: list[float]) -> None:
    assert count_test(history, window) is None


@pytest.mark.parametrize("day", [0, 3])
def test_one_week_before_tells_a_change_from_its_weekend(day: int) -> None:
    """The weekly pattern is in both weeks, so it is no scatter; the days before the change are none either."""
    grown = [count * (2.3 if number >= day else 1.0) for number, count in enumerate(WEEK)]
    found = count_test(WEEK, grown)
    assert found is not None
    assert found.p < 1e-3
    assert found.factor < 3


def test_one_equal_week_before_hardly_ever_alarms() -> None:
    random = np.random.default_rng(20)
    told = 0
    for _ in range(400):
        uneven = np.array(WEEK * 2) * 3 * np.exp(random.normal(0, 0.05, 14))
        counts = [float(n) for n in random.poisson(uneven)]
        found = count_test(counts[:7], counts[7:])
        assert found is not None
        told += found.p < 1e-2
    assert told <= 8
