"""How far days that scatter make a difference less surprising, see test_statistics.py."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray

from hansei.tools.statistics import Dispersion, Sums, beliefs, difference_p, dispersion


def days_of(random: np.random.Generator, rates: NDArray[np.float64], traces: int = 600) -> list[Sums]:
    """Days of traces with one call each, of which the given shares fail."""
    fails = [float(random.binomial(traces, rate)) for rate in rates]
    return [Sums(traces, traces, failed, traces, failed, failed, int(failed)) for failed in fails]


@pytest.mark.parametrize("days", [slice(0, 7), slice(3, 7), slice(2, 3)], ids=["all", "from a day on", "one day"])
def test_a_change_is_no_scatter_of_the_windows_days(days: slice) -> None:
    """The days around it tell how much days scatter; the change itself, or an outburst, does not."""
    random = np.random.default_rng(21)
    rates = np.full(7, 0.1)
    rates[days] += 0.35 / (days.stop - days.start)
    before = days_of(random, np.full(7, 0.1))
    now = days_of(random, rates)
    spread = dispersion(before, now)
    assert difference_p(Sums.total(now), Sums.total(before), spread, proportion=True) < 1e-5
    assert spread.freedom == 8


def test_p_values_do_not_jump_as_days_begin_to_scatter() -> None:
    before, now = Sums(1000, 1000, 100, 1000, 100, 100, 100), Sums(1000, 1000, 170, 1000, 170, 170, 170)
    p = [difference_p(now, before, Dispersion(1.0, 6 + 0.5 * step, 6), proportion=True) for step in range(40)]
    assert p == sorted(p)
    assert all(later < 2 * earlier for earlier, later in pairwise(p))
    assert p[-1] > 100 * p[0]


def test_what_days_tell_moves_the_belief() -> None:
    """Days as even as chance makes them leave it where it was, or nearer to chance; uneven ones take it away."""
    even, uneven = dict(beliefs(8.0, 8)), dict(beliefs(60.0, 8))
    assert sum(even.values()) == pytest.approx(1.0)
    assert even[1.0] > 0.8
    assert uneven[1.0] < 0.01
    assert sum(factor * share for factor, share in uneven.items()) == pytest.approx(60 / 8, rel=0.5)


def test_too_few_days_of_the_window_say_nothing() -> None:
    random = np.random.default_rng(5)
    before, now = days_of(random, np.full(7, 0.1)), days_of(random, np.full(5, 0.1))
    assert dispersion(before, now) == dispersion(before)
