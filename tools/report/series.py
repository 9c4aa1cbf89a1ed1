"""The daily values of a finding, taken from its evidence: what the charts draw."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from hansei.contracts import Finding, Window

Period = Literal["window", "baseline", "rest"]
DAY = timedelta(days=1)

_QUANTILE = re.compile(r"p\d\d")
_FEWEST_DAYS = 3


@dataclass(frozen=True)
class Day:
    """The metric's value over 24 hours from `start` (UTC). Period ``rest``: the rest of the window, as reference."""

    start: datetime
    period: Period
    value: float


def daily_series(finding: Finding, window: Window) -> list[Day]:
    """The finding's metric per day, oldest first, in its unit; empty when the evidence holds no usable series.

    The series is the evidence with the purpose ``measure`` and the columns period, day, x and y. The value of a day is
    y / x; for traffic it is y; for times it is the column of the metric's quantile (``p95`` unless the metric names
    another). Days without a denominator are left out. For traffic a day without rows is one on which nobody came, and
    days that the window cuts short are left out.
    """
    for evidence in finding.evidence:
        if evidence.purpose == "measure" and {"period", "day", "x", "y"} <= set(evidence.columns):
            records = [dict(zip(evidence.columns, row, strict=False)) for row in evidence.rows]
            days = [day for day in (_day(record, finding) for record in records) if day is not None]
            if finding.unit == "traces/day":
                days = _with_empty([day for day in days if day.start + DAY <= window.end], window)
            if _is_usable(days, finding):
                return sorted(days, key=lambda day: (day.start, day.period))
    return []


def _with_empty(days: list[Day], window: Window) -> list[Day]:
    """The days with those between them, and up to the window's end, on which nobody came."""
    there = {day.start for day in days}
    at = min(there, default=window.end)
    empty: list[Day] = []
    while at + DAY <= window.end:
        if at not in there:
            empty.append(Day(at, "window" if at >= window.start else "baseline", 0.0))
        at += DAY
    return [*days, *empty]


def _day(record: dict[str, Any], finding: Finding) -> Day | None:
    try:
        start = datetime.fromisoformat(str(record.get("day")))
    except ValueError:
        return None
    period, value = record.get("period"), _value(record, finding)
    if value is None or period not in ("window", "baseline", "rest"):
        return None
    return Day(start.replace(tzinfo=UTC) if start.tzinfo is None else start.astimezone(UTC), period, value)


def _value(record: dict[str, Any], finding: Finding) -> float | None:
    if finding.unit == "s":
        named = _QUANTILE.search(finding.metric)
        return _number(record.get(named[0] if named else "p95"))
    over, under = _number(record.get("y")), _number(record.get("x"))
    if finding.unit == "traces/day":
        return over
    return over / under if over is not None and under else None


def _number(value: Any) -> float | None:
    # Decimals and 64-bit integers may come as strings.
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) and abs(number) < 1e15 else None


def _is_usable(days: list[Day], finding: Finding) -> bool:
    """False for what can't be the metric: too few days, none of the window, shares beyond 0 to 1."""
    if len(days) < _FEWEST_DAYS or not any(day.period == "window" for day in days):
        return False
    return finding.unit != "ratio" or all(0 <= day.value <= 1 for day in days)
