"""The hour in which a change began is told where the hours tell it, and nowhere else."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from hansei.contracts import Comparison, Evidence, Segment, hash_result
from hansei.tools.playbook.error import RATE
from hansei.tools.playbook.model import Candidate
from hansei.tools.playbook.onset import PURPOSE, day_of_onset, hour_of_onset
from hansei.tools.statistics import Sums

START = datetime(2026, 11, 9, tzinfo=UTC)
HERE: Segment = {"tool_name": "lookup_order"}
HOUR = timedelta(hours=1)
COLUMNS = ["period", "hour", "traces", "x", "y", "xx", "xy", "yy", "affected"]


def hour_told(
    rate: Callable[[int], float],
    *,
    calls: Callable[[int], int] = lambda hour: 20,
    compared: Segment = HERE,
    seed: int = 1,
) -> datetime | None:
    """What is told of failures at `rate` per hour, counted from the window's start, with so many `calls` an hour."""
    source = random.Random(seed)
    n = {hour: calls(hour) for hour in range(-7 * 24, 7 * 24)}
    failed = {hour: sum(source.random() < rate(hour) for _ in range(count)) for hour, count in n.items()}

    def sums(first: int, last: int) -> Sums:
        x, y = (sum(counts[hour] for hour in range(first, last)) for counts in (n, failed))
        return Sums(x, x, y, x, y, y, y)

    reference = [sums(24 * day, 24 * day + 24) for day in range(-7, 0)]
    window = [sums(24 * day, 24 * day + 24) for day in range(7)]
    onset = day_of_onset(reference, window, START)
    first = (onset - START) // HOUR
    rows = [
        ["window" if hour >= 0 else "baseline", f"{START + hour * HOUR:%Y-%m-%dT%H:%M:%SZ}", n[hour], n[hour],
         failed[hour], n[hour], failed[hour], failed[hour], failed[hour]]
        for hour in range(max(-168, first - 24), min(168, first + 48)) if n[hour]
    ]  # fmt: skip
    hours = Evidence(
        id="1", purpose=PURPOSE, sql="", parameters={}, columns=COLUMNS, rows=rows, row_count=len(rows), rows_read=0,
        seconds=0, result_hash=hash_result(COLUMNS, rows),
    )  # fmt: skip
    candidate = Candidate(
        detector="error", metric="error_rate", direction="regression", segment=HERE,
        comparison=Comparison(against="baseline", segment=compared),
    )  # fmt: skip
    return hour_of_onset(RATE, candidate, hours, onset, reference, window, START)


@pytest.mark.parametrize("began", [5, 9, 30, 33, 64, 95, 118])
def test_the_hour_of_a_clear_change_is_found_to_two_hours(began: int) -> None:
    told = [hour_told(lambda hour: 0.3 if hour >= began else 0.01, seed=seed) for seed in range(5)]
    assert all(found and abs(found - START - began * HOUR) <= 2 * HOUR for found in told)


def test_a_change_before_the_window_is_told_of_the_hour_in_which_it_began() -> None:
    assert hour_told(lambda hour: 0.3 if hour >= -5 else 0.01) == START - 5 * HOUR


def test_few_calls_a_change_by_steps_and_a_change_before_these_days_have_no_hour() -> None:
    assert hour_told(lambda hour: 0.3 if hour >= 33 else 0.01, calls=lambda hour: hour % 2) is None
    assert hour_told(lambda hour: min(0.3, max(0.01, hour / 400))) is None
    assert hour_told(lambda hour: 0.3 if hour >= -70 else 0.01) is None


def test_what_only_happens_by_day_is_not_told_of_an_hour_of_the_night() -> None:
    """Failures by day only: the change began in the night before or with that morning, which nobody can tell."""
    told = hour_told(lambda hour: (0.4 if hour >= 42 else 0.01) if 8 <= hour % 24 < 20 else 0.01)
    assert told is None or told - START == 56 * HOUR


def test_a_gap_without_calls_before_the_change_leaves_the_hour_open() -> None:
    assert hour_told(lambda hour: 0.3 if hour >= 33 else 0.01, calls=lambda hour: 20 * (not 20 <= hour < 40)) is None


def test_a_change_that_comes_with_something_new_began_with_it() -> None:
    before: Segment = {}
    told = hour_told(
        lambda hour: 0.08 if hour >= 33 else 0.02, calls=lambda hour: 0 if 0 <= hour < 33 else 20, compared=before
    )
    assert told == START + 33 * HOUR
    on_trial = hour_told(
        lambda hour: 0.3 if hour >= 0 else 0.01, calls=lambda hour: (hour == 30) if 0 <= hour < 33 else 20,
        compared=before,
    )  # fmt: skip
    assert on_trial == START + 33 * HOUR


def test_what_is_new_but_fails_only_later_did_not_begin_with_it() -> None:
    told = hour_told(
        lambda hour: 0.3 if hour >= 50 else 0.01, calls=lambda hour: 0 if 0 <= hour < 33 else 20, compared={}
    )
    assert told is not None
    assert abs(told - START - 50 * HOUR) <= HOUR
