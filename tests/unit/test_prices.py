"""Prices of tokens, told from sums over calls: exact where the data tells them, none where it does not."""

from __future__ import annotations

import itertools
import random

import pytest

from hansei.tools.playbook.prices import prices_of

Call = tuple[int, int, int]
"""Fresh, cached and output tokens."""


def row_of(calls: list[tuple[Call, float]]) -> dict[str, float]:
    """The sums of products over calls with their costs in US dollars."""
    names = ("fresh", "cached", "output", "nanos")
    columns = [(*tokens, round(cost * 1e9)) for tokens, cost in calls]
    return {
        f"{names[a]}_{names[b]}": float(sum(row[a] * row[b] for row in columns))
        for a, b in itertools.combinations_with_replacement(range(4), 2)
    }


def some_calls(n: int = 200, *, output: bool = True) -> list[Call]:
    source = random.Random(1)
    return [
        (source.randrange(500, 3000), source.choice([0, 1024, 2048]), source.randrange(50, 400) if output else 0)
        for _ in range(n)
    ]


@pytest.mark.parametrize("output", [True, False])
def test_prices_are_found_where_one_price_list_explains_the_costs(output: bool) -> None:
    calls = [(call, call[0] * 3e-6 + call[1] * 0.3e-6 + call[2] * 15e-6) for call in some_calls(output=output)]
    prices = prices_of(row_of(calls))
    assert prices is not None
    assert (prices.fresh, prices.cached) == pytest.approx((3e-6, 0.3e-6), rel=1e-3)


def test_no_prices_without_cost_or_without_a_cache() -> None:
    free = [(call, 0.0) for call in some_calls()]
    uncached = [((fresh, 0, output), fresh * 3e-6) for fresh, _, output in some_calls()]
    assert prices_of(row_of(free)) is None
    assert prices_of(row_of(uncached)) is None


def test_no_prices_where_all_calls_are_alike_or_the_price_changed_on_the_way() -> None:
    alike = [((1000, 500, 100), 0.004)] * 50
    mixed = [(call, (call[0] * 3e-6 + call[2] * 15e-6) * (1 + i % 2)) for i, call in enumerate(some_calls())]
    assert prices_of(row_of(alike)) is None
    assert prices_of(row_of(mixed)) is None


def test_a_cache_that_is_no_cheaper_has_no_price() -> None:
    calls = [(call, (call[0] + call[1]) * 3e-6 + call[2] * 15e-6) for call in some_calls()]
    assert prices_of(row_of(calls)) is None
