"""What a run may still read: counting, refusing, and going on counting after an interruption."""

from __future__ import annotations

import pickle
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest

from hansei.context import Budget
from hansei.contracts.spent import Spent
from hansei.errors import BudgetExceeded, QueryFailed
from hansei.tools.clickhouse.budget import KEPT, Meter, meter_of

QUERY = Spent(queries=1, rows=100, bytes=1000, seconds=0.5)


def test_costs_add_up() -> None:
    meter = Meter(Budget())
    for _ in range(3):
        meter.add(QUERY)
    assert meter.spent == Spent(queries=3, rows=300, bytes=3000, seconds=1.5)


def test_threads_lose_no_cost() -> None:
    meter = Meter(Budget())
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: meter.add(QUERY), range(2000)))
    assert meter.spent.queries == 2000
    assert meter.spent.rows == 200_000


@pytest.mark.parametrize(
    ("budget", "words"),
    [
        (Budget(rows=100), "100 of 100 rows"),
        (Budget(bytes=900), "1,000 of 900 bytes"),
        (Budget(seconds=0.5), "seconds of queries"),
        (Budget(rows=0), "of 0 rows"),
    ],
)
def test_a_spent_budget_lets_no_query_through(budget: Budget, words: str) -> None:
    meter = Meter(budget)
    meter.add(QUERY)
    with pytest.raises(BudgetExceeded) as caught:
        meter.check()
    assert words in caught.value.message
    assert caught.value.estimate is None
    assert "raise the budget" in caught.value.remedy


def test_a_query_that_would_read_more_than_is_left_is_refused_with_its_estimate() -> None:
    meter = Meter(Budget(rows=250))
    meter.add(QUERY)
    meter.check()
    meter.admit(150)
    with pytest.raises(BudgetExceeded):
        meter.admit(1)  # the first is still under way
    meter.release(150)
    with pytest.raises(BudgetExceeded) as caught:
        meter.admit(151)
    assert caught.value.message == "The query would read about 151 rows; the run's budget has 150 left."
    assert caught.value.estimate == 151
    assert "Narrow it" in caught.value.remedy


def test_the_error_counts_as_a_query_without_an_answer_and_survives_pickling() -> None:
    error = pickle.loads(pickle.dumps(BudgetExceeded("Too much.", "Narrow it.", estimate=7)))
    assert isinstance(error, QueryFailed)
    assert (error.message, error.remedy, error.estimate, error.retryable) == ("Too much.", "Narrow it.", 7, False)


def test_all_steps_of_a_run_share_a_meter() -> None:
    run = str(uuid.uuid4())
    meter_of(run, Budget()).add(QUERY)
    assert meter_of(run, Budget()).spent == QUERY
    assert meter_of(str(uuid.uuid4()), Budget()).spent == Spent()


def test_a_run_that_goes_on_in_another_process_goes_on_counting() -> None:
    meter = meter_of(str(uuid.uuid4()), Budget(rows=150), QUERY)
    assert meter.rows_left == 50
    # What the state knows is part of what this process has counted, never more on top of it.
    meter.at_least(QUERY)
    assert meter.spent == QUERY


def test_meters_of_old_runs_are_let_go() -> None:
    first = str(uuid.uuid4())
    meter_of(first, Budget()).add(QUERY)
    for _ in range(KEPT):
        meter_of(str(uuid.uuid4()), Budget())
    assert meter_of(first, Budget()).spent == Spent()
