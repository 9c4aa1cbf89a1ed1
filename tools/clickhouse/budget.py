"""What a run may still ask of ClickHouse, counted over all its threads."""

from __future__ import annotations

import threading
from collections import OrderedDict

from hansei.context import Budget, Limits
from hansei.contracts.spent import Spent
from hansei.errors import BudgetExceeded

NARROW = "Narrow it: a shorter time, fewer names, or counts instead of texts."


class Meter:
    """Counts what the queries of one run cost, and refuses those that go beyond its budget. Threads may share it."""

    def __init__(self, budget: Budget, spent: Spent | None = None) -> None:
        self.budget = budget
        self._spent = spent or Spent()
        self._reserved = 0
        self._lock = threading.Lock()

    @property
    def spent(self) -> Spent:
        """What the queries so far have cost."""
        return self._spent

    @property
    def rows_left(self) -> int:
        """Rows that may still be read beside the queries under way; never below zero."""
        return max(0, self.budget.rows - self._spent.rows - self._reserved)

    def is_ample(self, limits: Limits) -> bool:
        """Whether as much is left of each as the limits let a single query take."""
        spent, budget = self._spent, self.budget
        return (
            self.rows_left >= limits.rows_read
            and budget.bytes - spent.bytes >= limits.bytes_read
            and budget.seconds - spent.seconds >= limits.seconds
        )

    def check(self) -> None:
        """Refuses any further query when the budget is spent.

        Raises:
            BudgetExceeded: it is.
        """
        spent, budget = self._spent, self.budget
        for used, may, unit in (
            (spent.rows, budget.rows, "rows"),
            (spent.bytes, budget.bytes, "bytes"),
            (spent.seconds, budget.seconds, "seconds of queries"),
        ):
            if used >= may:
                raise BudgetExceeded(
                    f"The run's budget is spent: {used:,.0f} of {may:,.0f} {unit}.",
                    "Choose a shorter window, or raise the budget (Context.budget).",
                )

    def admit(self, estimate: int) -> None:
        """Keeps rows for a query until `release`; refuses one that would read more than are left.

        Args:
            estimate: rows that it would read.

        Raises:
            BudgetExceeded: with the estimate.
        """
        with self._lock:
            left = self.rows_left
            if estimate <= left:
                self._reserved += estimate
        if estimate > left:
            raise BudgetExceeded(
                f"The query would read about {estimate:,} rows; the run's budget has {left:,} left.",
                NARROW,
                estimate=estimate,
            )

    def release(self, estimate: int) -> None:
        """Gives back what `admit` kept for a query that is done."""
        with self._lock:
            self._reserved -= estimate

    def add(self, cost: Spent) -> None:
        """Counts a query."""
        with self._lock:
            self._spent = self._spent.plus(cost)

    def at_least(self, spent: Spent) -> None:
        """Counts what the run is known to have cost before, in another process."""
        with self._lock:
            self._spent = self._spent.at_least(spent)


KEPT = 256
"""Runs whose meters are kept; the one that was used longest ago goes first."""

_meters: OrderedDict[str, Meter] = OrderedDict()
_meters_lock = threading.Lock()


def meter_of(run_id: str, budget: Budget, spent: Spent | None = None) -> Meter:
    """The meter of a run in this process, shared by all its steps.

    Args:
        run_id: the run.
        budget: its bounds; they count when the meter is made.
        spent: what its stored state knows to be spent: a run that goes on in a new process goes on counting.
    """
    with _meters_lock:
        meter = _meters.setdefault(run_id, Meter(budget))
        _meters.move_to_end(run_id)
        while len(_meters) > KEPT:
            _meters.popitem(last=False)
    meter.at_least(spent or Spent())
    return meter
