"""Counts the simulated rows as they are made, independently of any database: the figures of the truth."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Literal

from hansei.contracts import Count, Figure, Unit
from hansei.demo.calendar import PERIODS
from hansei.demo.rows import ObservationRow, ScoreRow, TraceRow
from hansei.demo.truth import Change, Measured, TrueCoverage

Period = Literal["window", "baseline"]
Statistic = Literal["rate", "mean", "p95", "sum"]

LOOP_CALLS = 5
"""A trace loops when it makes one call with identical name and input at least so often."""
RUNAWAY_STEPS = 80
"""A trace runs away when it has more observations than this."""


def period_of(moment: datetime) -> Period | None:
    """The span that the moment falls into."""
    if moment >= PERIODS.window.end or moment < PERIODS.baseline.start:
        return None
    return "window" if moment >= PERIODS.window.start else "baseline"


@dataclass
class Series:
    """Values of one metric, by span of time."""

    metric: str
    unit: Unit
    statistic: Statistic
    onset: datetime | None = None
    values: dict[str, list[float]] = field(default_factory=lambda: {"window": [], "baseline": [], "since_onset": []})

    def add(self, moment: datetime, value: float) -> None:
        """Adds one value that belongs to that moment."""
        period = period_of(moment)
        if period is None:
            return
        self.values[period].append(value)
        if period == "window" and self.onset is not None and moment >= self.onset:
            self.values["since_onset"].append(value)

    def change(self) -> Change:
        """The figures."""
        return Change(
            metric=self.metric,
            unit=self.unit,
            window=self._measured("window"),
            baseline=self._measured("baseline"),
            since_onset=self._measured("since_onset") if self.onset else None,
        )

    def _measured(self, span: str) -> Measured:
        values = self.values[span]
        if not values:
            return Measured(value=None, n=0)
        if self.statistic == "rate":
            return Measured(value=sum(values) / len(values), n=len(values), events=round(sum(values)))
        if self.statistic == "p95":
            return Measured(value=_quantile(sorted(values), 0.95), n=len(values))
        total = sum(values)
        return Measured(value=total if self.statistic == "sum" else total / len(values), n=len(values))


def _quantile(values: Sequence[float], level: float) -> float:
    place = level * (len(values) - 1)
    below = int(place)
    above = min(below + 1, len(values) - 1)
    return values[below] + (values[above] - values[below]) * (place - below)


class Totals:
    """Totals of what counts: one call of `add` for each trace, with the last versions of its rows."""

    def __init__(self) -> None:
        self.traces = self.observations = self.scores = 0
        self._counts: Counter[tuple[str, Period]] = Counter()
        self._cost: dict[Period, Decimal] = {"window": Decimal(0), "baseline": Decimal(0)}

    def add(self, trace: TraceRow, observations: Sequence[ObservationRow], scores: Sequence[ScoreRow]) -> None:
        """Counts one trace."""
        self.traces += 1
        self.observations += len(observations)
        self.scores += len(scores)
        self._count("traces", trace.timestamp)
        for row in observations:
            period = self._count("observations", row.start_time)
            if period is not None:
                self._counts["errors", period] += row.level == "ERROR"
                self._cost[period] += row.cost_details.get("total", Decimal(0))
        for score in scores:
            self._count("scores", score.timestamp)

    def _count(self, what: str, moment: datetime) -> Period | None:
        period = period_of(moment)
        if period is not None:
            self._counts[what, period] += 1
        return period

    def coverage(self) -> TrueCoverage:
        """The totals of window and baseline."""

        def count(what: str) -> Count:
            return Count(window=self._counts[what, "window"], baseline=self._counts[what, "baseline"])

        return TrueCoverage(
            traces=count("traces"),
            observations=count("observations"),
            scores=count("scores"),
            errors=count("errors"),
            total_cost=Figure(window=float(self._cost["window"]), baseline=float(self._cost["baseline"])),
        )


def seconds_of(row: ObservationRow) -> float | None:
    """Duration; None when unfinished."""
    return None if row.end_time is None else (row.end_time - row.start_time).total_seconds()


def repeats_of(observations: Sequence[ObservationRow], name: str) -> int:
    """How often the most repeated call of that name was made with one and the same input."""
    inputs = Counter(row.input for row in observations if row.name == name)
    return max(inputs.values(), default=0)
