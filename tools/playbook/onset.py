"""When a change began: the day, from the measured days, and the hour, from the hours around that day.

The hour is told only where the hours allow it: where few hours are about as likely as the best one, and where the hours
before it look like the time before the change, and the hours after it like the time after.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from hansei.contracts import Evidence, parse_instant
from hansei.tools import statistics
from hansei.tools.langfuse.dataset import Dataset
from hansei.tools.playbook.measure import rows_of, summed_by, sums_of
from hansei.tools.playbook.model import Candidate, Metric
from hansei.tools.playbook.segments import TIME
from hansei.tools.statistics import Sums

PURPOSE = "onset"

_HOUR = timedelta(hours=1)
_DAY = timedelta(days=1)

MOST_HOURS = 4
"""The hour is told when the beginning is known to so many hours."""

_SUPPORT = 2.0
"""Hours whose log-likelihood is less than this below the best one's may be the beginning as well: about 95 %."""

_SIDE = 12
"""Hours before and after the beginning that must look like the times before and after the change …"""

_ALIKE = 1 / 3
"""… of which they may be off by this share of the change."""

_TRIAL = 0.1
"""Something new with less than this share of its later traffic is on trial."""


def day_of_onset(reference: Sequence[Sums], window: Sequence[Sums], start: datetime) -> datetime:
    """Start of the first day (24 hours, counted from the window's `start`) of a change against the baseline."""
    first = len(reference)
    chosen = statistics.change_point([*reference, *window], first) - first
    return start + max(0, chosen) * _DAY


def day_of_traffic(history: Sequence[float], window: Sequence[float]) -> int:
    """The window's day from which counts differ most from what the same weekdays had before, counted from 0.

    The split into two levels that Poisson's likelihood likes best; a quiet weekend is as the weekends before. Days of
    weekdays that the history does not have say nothing.

    Args:
        history, window: daily counts, as for `hansei.tools.statistics.count_test`.
    """
    seven: dict[int, list[float]] = {}
    for back, count in enumerate(reversed(history), start=1):
        seven.setdefault(-back % 7, []).append(count)
    mean = {weekday: sum(counts) / len(counts) for weekday, counts in seven.items()}

    def level(days: Iterable[int]) -> float:
        pairs = [(history[day] if day < 0 else window[day], mean[day % 7]) for day in days if day % 7 in mean]
        counts, expected = (sum(side) for side in zip(*pairs, strict=True)) if pairs else (0.0, 0.0)
        return counts * math.log(counts / expected) if counts > 0 and expected > 0 else 0.0

    # Where nothing was before, any level is infinitely more: the first day with some is the beginning.
    if not sum(history):
        return next((day for day, count in enumerate(window) if count), 0)
    return max(
        range(len(window)), key=lambda day: (level(range(-len(history), day)) + level(range(day, len(window))), day)
    )


def came_later(measured: Evidence, onset: datetime) -> bool:
    """Whether what is new was there at first as what it replaced had been, and the change came to it on a later day.

    Args:
        measured: the days of the new and of what it replaced, from `hansei.tools.playbook.measure.measure`.
        onset: the day, from `day_of_onset`.
    """
    rows = measured.records()
    own = {parse_instant(str(row["day"])): sums_of(row) for row in rows if row["period"] == "window"}
    least = _TRIAL * max((sums.x for sums in own.values()), default=0.0)
    at_first = Sums.total(sums for day, sums in own.items() if day < onset and sums.x >= least)
    levels = _Levels.of(
        Sums.total(sums_of(row) for row in rows if row["period"] != "window"),
        Sums.total(sums for day, sums in own.items() if day >= onset),
        share=False,
    )
    if levels is None or levels.for_after(at_first) > -_SUPPORT:
        return False
    gone = levels.gone([at_first])
    return gone is not None and gone <= _ALIKE


def around(dataset: Dataset, metric: Metric, candidate: Candidate, id: str, onset: datetime) -> Evidence:
    """The sums of the hours of the day of the onset, the day before and the day after.

    Columns: period, hour (ISO start), and the sums of `hansei.tools.statistics.Sums`. Only these three days are read.
    """
    rows = rows_of(metric, candidate, extra=f", toStartOfHour({TIME[metric.relation]}, 'UTC') AS hour")
    shown = "formatDateTime(hour, '%FT%TZ', 'UTC')"
    sql = f"WITH {rows.cte}\n{summed_by('hour', shown, metric)}\nORDER BY hour, period"
    periods = dataset.periods
    span = {
        "range_start": max(periods.baseline.start, onset - _DAY),
        "range_end": min(periods.window.end, onset + 2 * _DAY),
    }
    return dataset.ask(id, PURPOSE, dataset.bind(sql, rows.relations, rows.needs), {**rows.parameters, **span})


@dataclass(frozen=True)
class _Levels:
    """What the measure is before and after the change, and how much a trace scatters."""

    before: float
    after: float
    share: bool
    per_trace: float
    """Of averages: residual variance of a trace; of shares: how much more than by chance (the design effect)."""

    @classmethod
    def of(cls, before: Sums, after: Sums, *, share: bool) -> _Levels | None:
        if before.x <= 0 or after.x <= 0 or before.ratio == after.ratio:
            return None
        if not share:
            spread = before.residual(before.ratio) + after.residual(after.ratio)
            per_trace = spread / max(1, before.clusters + after.clusters)
            return cls(before.ratio, after.ratio, share, per_trace) if per_trace > 0 else None
        one, other = (min(max(side.ratio, 0.5 / (side.x + 1)), 1 - 0.5 / (side.x + 1)) for side in (before, after))
        effects = [1.0]
        for side in (before, after):
            chance = side.ratio * (1 - side.ratio) / side.x
            if chance > 0 and side.variance > 0:
                effects.append(side.variance / chance)
        return cls(one, other, share, max(effects))

    def for_after(self, hour: Sums) -> float:
        """By how much the hour rather belongs to the time after the change: log-likelihood ratio."""
        if not self.share:
            return (hour.residual(self.before) - hour.residual(self.after)) / (2 * self.per_trace)
        good = hour.y * math.log(self.after / self.before)
        bad = (hour.x - hour.y) * math.log((1 - self.after) / (1 - self.before))
        return (good + bad) / self.per_trace

    def apart(self, hour: Sums, level: float) -> float:
        """Squared distance of an hour from a level, over what chance lets it be."""
        chance = level * (1 - level) * hour.x if self.share else hour.clusters
        return (hour.y - level * hour.x) ** 2 / (self.per_trace * chance) if chance > 0 else 0.0

    def gone(self, hours: Sequence[Sums]) -> float | None:
        """How much of the change is there in some hours, 0 to 1; None when they hold nothing."""
        total = Sums.total(hours)
        return (total.ratio - self.before) / (self.after - self.before) if total.x > 0 else None


def hour_of_onset(
    metric: Metric,
    candidate: Candidate,
    hours: Evidence,
    onset: datetime,
    reference: Sequence[Sums],
    window: Sequence[Sums],
    start: datetime,
) -> datetime | None:
    """Start of the first hour of the change; None when the hours do not tell it.

    The best split of the hours into those at the level before and those at the level after the change, both of them
    known from the other days.

    Args:
        hours: from `around`.
        onset: the day, from `day_of_onset`.
        reference, window: the measured days.
        start: the window's.
    """
    days, first = [*reference, *window], len(reference) + (onset - start) // _DAY
    levels = _Levels.of(
        _enough(days[: first - 1], days[:first]), _enough(days[first + 1 :], days[first:]),
        share=metric.shape != "mean",
    )  # fmt: skip
    rows = hours.records()
    if levels is None or not rows:
        return None
    sums: dict[datetime, Sums] = {}
    own: dict[datetime, float] = {}
    for row in rows:
        at = parse_instant(str(row["hour"]))
        sums[at] = sums.get(at, Sums()) + sums_of(row)
        if row["period"] == "window":
            own[at] = float(row["x"])
    begin = (onset - _DAY).replace(minute=0, second=0, microsecond=0)
    each = [sums.get(begin + i * _HOUR, Sums()) for i in range((max(sums) - begin) // _HOUR + 1)]
    first_own = (_first(own) - begin) // _HOUR if own and candidate.comparison.segment != candidate.segment else 0
    best = _split(each, levels, first_own)
    if best is None:
        return None
    before, after = levels.gone(each[max(0, best - _SIDE) : best]), levels.gone(each[best : best + _SIDE])
    told = before is not None and before <= _ALIKE and after is not None and after >= 1 - _ALIKE
    return begin + best * _HOUR if told or best == first_own else None


def _first(own: Mapping[datetime, float]) -> datetime:
    """The first hour of something new with more than a trial's traffic."""
    return min(hour for hour, x in own.items() if x >= _TRIAL * max(own.values()))


def _enough(days: Sequence[Sums], else_: Sequence[Sums]) -> Sums:
    """The sum of some days; of more days when there is nothing on these."""
    total = Sums.total(days)
    return total if total.x > 0 else Sums.total(else_)


def _split(hours: Sequence[Sums], levels: _Levels, first_own: int) -> int | None:
    """The first hour of the change; None when too many hours are as likely.

    Hours differ by more than chance lets them (nights, bursts), so the likelihood is divided by how much they do.

    Args:
        first_own: the first hour of what is new; the change came with it, unless the hours say otherwise. 0: nothing
            is new within these hours.
    """
    gains = [0.0] * (len(hours) + 1)
    for i in range(len(hours) - 1, -1, -1):
        gains[i] = gains[i + 1] + levels.for_after(hours[i])
    least = max(1, first_own)
    if least >= len(hours):
        return None
    # Hours without rows leave it as it is: the change began with the first hour that has some.
    best = max(range(least, len(hours)), key=lambda i: (gains[i], i))
    apart = [
        levels.apart(hour, levels.before if i < best else levels.after) for i, hour in enumerate(hours) if hour.clusters
    ]
    factor = max(1.0, sum(apart) / max(1, len(apart) - 1))
    likely = [i for i in range(least, len(hours) + 1) if gains[i] >= gains[best] - _SUPPORT * factor]
    if likely[0] == first_own:
        return first_own
    return best if likely[-1] - likely[0] < MOST_HOURS else None
