"""The project's health: traffic, failures, latency, cost and scores, the window against the baseline.

Three queries over all traces, all scores and the model calls, and where evaluators and people gave the same score one
that holds them against each other; everything else is computed from their answers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from typing import Any

from hansei.contracts import DayValue, Estimate, Evidence, Health, Periods, Sign, parse_instant
from hansei.tools import statistics
from hansei.tools.at_once import together
from hansei.tools.langfuse.dataset import Dataset
from hansei.tools.langfuse.relations import Needs
from hansei.tools.playbook.assess import DAY
from hansei.tools.playbook.changes import changes_of, read_steps, read_tools
from hansei.tools.playbook.evaluators import OF_CHECKS, OF_EVALUATORS, OF_PEOPLE, held_against_people, sums_of_pairs
from hansei.tools.playbook.measure import LEVELS
from hansei.tools.playbook.quality import is_lower_better
from hansei.tools.statistics import Interval, Sums, count_test, dispersion

MOST_SCORES = 3
"""Scores that are shown: those with most values, and those of Hansei's own checks after all others."""

_WINDOW_START = "{window_start:DateTime64(6, 'UTC')}"
_DAY = f"toInt32(floor(dateDiff('millisecond', {_WINDOW_START}, timestamp) / 86400000)) AS day"
_START = f"formatDateTime(toDateTime({_WINDOW_START}, 'UTC') + toIntervalDay(day), '%FT%TZ') AS start"
_LEVELS = ", ".join(map(str, LEVELS))
_P50, _P95 = LEVELS.index(0.5), LEVELS.index(0.95)
_PICO = 1_000_000_000_000
_PERIOD = f"if(timestamp >= {_WINDOW_START}, 'window', 'baseline') AS period"

_TRACES = f"""
WITH runs AS (
    SELECT name, release, version, timestamp, {_PERIOD}, {_DAY}, errors > 0 AS failed, latency_ms,
      total_cost IS NOT NULL AS costed, toInt256(toDecimal128(ifNull(total_cost, 0), 12) * {_PICO}) AS pico
    FROM traces
  )
SELECT multiIf(grouping(name) = 0, 'version', grouping(day) = 0, 'day', 'period') AS of, period, {_START},
  name, release, version, formatDateTime(min(timestamp), '%FT%TZ', 'UTC') AS first, countIf(period = 'window') AS now,
  count() AS traces, sum(failed) AS failing, count(latency_ms) AS timed, countIf(costed) AS priced,
  toFloat64(sum(pico)) / {_PICO} AS cost, toFloat64(sum(pico * pico)) / {_PICO} / {_PICO} AS cost2,
  arrayMap(ms -> round(ms / 1000, 3), multiIf(timed = 0 OR of = 'version', [], of = 'day',
    [(quantilesExact({_LEVELS})(latency_ms) AS levels)[{_P50 + 1}], levels[{_P95 + 1}]], levels)) AS seconds
FROM runs
GROUP BY GROUPING SETS ((period, day), (period), (name, release, version))
ORDER BY of, traces DESC, period, start, name, release, version
LIMIT 300 BY of"""

_SCORES = f"""
WITH rated AS (
    SELECT name, data_type, {_PERIOD}, {_DAY}, trace_id, toInt64(count()) AS xs,
      toInt256(sum(toInt64(round(if(data_type = 'BOOLEAN', toFloat64(value > 0.5), value) * 1000000)))) AS ys,
      countIf({OF_EVALUATORS}) AS theirs, countIf({OF_PEOPLE}) AS ours, countIf({OF_CHECKS}) AS checks
    FROM scores
    WHERE data_type IN ('NUMERIC', 'BOOLEAN') AND abs(value) < 1e9
    GROUP BY ALL
  ),
  counted AS (SELECT *, sum(xs) OVER (PARTITION BY name, data_type) AS size,
    sum(checks) OVER (PARTITION BY name, data_type) = size AS is_check FROM rated),
  ranked AS (SELECT *, dense_rank() OVER (ORDER BY is_check, size DESC, name, data_type) AS place FROM counted)
SELECT name, data_type, period, {_START}, count() AS traces, toUInt64(sum(xs)) AS x,
  toFloat64(sum(ys)) / 1000000 AS y, toFloat64(sum(xs * xs)) AS xx, toFloat64(sum(xs * ys)) / 1000000 AS xy,
  toFloat64(sum(ys * ys)) / 1000000 / 1000000 AS yy, sum(theirs) AS of_evaluators, sum(ours) AS of_people
FROM ranked
WHERE place <= {MOST_SCORES}
GROUP BY place, name, data_type, period, day
ORDER BY place, period DESC, day"""


_JUDGES = f"""
SELECT name, data_type AS kind, {sums_of_pairs("judge", "people", "500000")}
FROM (
  SELECT name, data_type, trace_id, toInt256(argMaxIf(micro, (timestamp, id), {OF_EVALUATORS})) AS judge,
    toInt256(argMaxIf(micro, (timestamp, id), {OF_PEOPLE})) AS people
  FROM (SELECT *, toInt64(round(value * 1000000)) AS micro FROM scores
    WHERE has({{names:Array(String)}}, name) AND data_type IN ('NUMERIC', 'BOOLEAN') AND abs(value) < 1e9
      AND trace_id != '')
  GROUP BY name, data_type, trace_id
  HAVING countIf({OF_EVALUATORS}) > 0 AND countIf({OF_PEOPLE}) > 0
)
GROUP BY name, data_type
ORDER BY name, data_type"""


def read_health(dataset: Dataset, observations: int) -> list[Evidence]:
    """Asks for sums of traces and of scores by day, and for what was new.

    Columns of the first: of (what a row adds up: a day, a period or a version), period, start (of the day); name,
    release, version, first (ISO time) and now (traces in the window) of a version; traces, failing (with an error),
    timed, priced, cost and cost2 (US dollars, and their squares), seconds (of a period the quantiles at `LEVELS`, of a
    day p50 and p95). Of the second: name, data_type, period, start, the sums of `hansei.tools.statistics.Sums`, and how
    many of the scores evaluators gave, and people. For the third see `read_steps`, for the one that is there when
    definitions of tools are, `read_tools`. Where both evaluators and people gave a score, one more has a row for it:
    name, kind (its data type) and what `sums_of_pairs` says.

    Args:
        observations: how many the project has in both periods.
    """
    traces = dataset.bind(_TRACES, ("traces",), Needs(totals=True))
    steps, tools = partial(read_steps, dataset), partial(read_tools, dataset, observations)
    of_traces, of_scores, *others = together(
        partial(dataset.ask, "health.traces", "health", traces), partial(_read_scores, dataset), steps, tools
    )
    return [of_traces, *of_scores, *(one for one in others if one is not None)]


def _read_scores(dataset: Dataset) -> list[Evidence]:
    scores = dataset.ask("health.scores", "health", dataset.bind(_SCORES, ("scores",)))
    return [scores, *_read_judges(dataset, scores)]


def _read_judges(dataset: Dataset, scores: Evidence) -> list[Evidence]:
    """The scores that evaluators and people gave, trace by trace; no query where there is none."""
    given: dict[str, list[int]] = {}
    for row in scores.records():
        counts = given.setdefault(str(row["name"]), [0, 0])
        counts[0] += int(row["of_evaluators"])
        counts[1] += int(row["of_people"])
    names = [name for name, counts in given.items() if all(counts)]
    if not names:
        return []
    return [dataset.ask("health.judges", "health", dataset.bind(_JUDGES, ("scores",)), {"names": names})]


def health_of(evidence: Sequence[Evidence], periods: Periods) -> Health:
    """The vital signs and what was new, computed from the answers of `read_health`."""
    traces = [row for item in evidence if "failing" in item.columns for row in item.records()]
    scores = [row for item in evidence if "data_type" in item.columns for row in item.records()]
    steps = [row for item in evidence if "model" in item.columns for row in item.records()]
    tools = [row for item in evidence if "definition" in item.columns for row in item.records()]
    judges = [row for item in evidence if "yes_yes" in item.columns for row in item.records()]
    days = [row for row in traces if row["of"] == "day"]
    totals = {row["period"]: row for row in traces if row["of"] == "period"}
    signs = [
        _traffic(days, periods),
        _ratio("failing_traces", "ratio", days, periods, _failing, worse=1),
        _latency("latency_median", 0.5, days, totals, periods),
        _latency("latency_tail", 0.95, days, totals, periods),
        _ratio("cost_per_trace", "usd", days, periods, _cost, worse=1),
    ]
    for name, kind in dict.fromkeys((str(row["name"]), str(row["data_type"])) for row in scores):
        own = [row for row in scores if (row["name"], row["data_type"]) == (name, kind)]
        unit = "ratio" if kind == "BOOLEAN" else "score"
        lower = is_lower_better(name)
        sign = _ratio("score", unit, own, periods, _score, worse=1 if lower else -1, of=name)
        theirs = sum(int(row.get("of_evaluators") or 0) for row in own)
        if theirs:
            pair = next((row for row in judges if (row["name"], row["kind"]) == (name, kind)), None)
            held = held_against_people(pair, is_share=unit == "ratio", is_bad_high=lower) if pair else None
            share = theirs / sum(int(row["x"]) for row in own)
            sign = sign.model_copy(update={"of_evaluators": round(share, 4), "believed": held})
        signs.append(sign)
    measured = [sign for sign in signs if sign.window is not None or sign.baseline is not None]
    changes = changes_of([*(row for row in traces if row["of"] == "version"), *steps, *tools], periods)
    return Health(signs=measured, changes=changes, evidence=list(evidence))


TREND_DAYS = 200
"""Days of each period, its last ones, that a trend shows."""

Row = dict[str, Any]


def _failing(row: Row) -> Sums:
    n, y = int(row["traces"]), float(row["failing"])
    return Sums(n, n, y, n, y, y, round(y))


def _cost(row: Row) -> Sums:
    n = int(row["priced"])
    return Sums(n, n, float(row["cost"]), n, float(row["cost"]), float(row["cost2"]), n)


def _score(row: Row) -> Sums:
    x, y, xx, xy, yy = (float(row[key]) for key in ("x", "y", "xx", "xy", "yy"))
    return Sums(int(row["traces"]), x, y, xx, xy, yy)


def _traffic(days: Sequence[Row], periods: Periods) -> Sign:
    """Traces a day; none in one of the periods is a measurement, too.

    A day that the span cuts short says nothing about a day's traffic, so it counts by its length.
    """
    counts = {(row["period"], parse_instant(str(row["start"]))): int(row["traces"]) for row in days}
    spans = {"baseline": periods.baseline, "window": periods.window}
    found: dict[str, Estimate | None] = {}
    shown: list[DayValue] = []
    whole: dict[str, list[float]] = {}
    for name, span in spans.items():
        starts = [start for start in _starts(periods, name) if span.start <= start and start + DAY <= span.end]
        whole[name] = [float(counts.get((name, start), 0)) for start in starts]
        pairs = list(zip(starts, whole[name], strict=True))[-TREND_DAYS:]
        shown += [DayValue(start=start, value=value) for start, value in pairs]
    test = count_test(whole["baseline"], whole["window"])
    for name, span in spans.items():
        total = sum(count for (period, _), count in counts.items() if period == name)
        half = 1.959964 * math.sqrt(max(total, 1) * (test.factor if test else 1.0))
        low, high = max(0.0, total - half) / span.days, (total + half) / span.days
        found[name] = Estimate(value=total / span.days, n=total, low=low, high=high) if counts else None
    return Sign(
        name="traces", unit="traces/day", worse=0, window=found["window"], baseline=found["baseline"], days=shown
    )


def _ratio(
    name: Any,
    unit: Any,
    rows: Sequence[Row],
    periods: Periods,
    read: Callable[[Row], Sums],
    *,
    worse: Any,
    of: str = "",
) -> Sign:
    """A share or an average over traces, with intervals that allow for days differing more than chance lets them."""
    sums = {(row["period"], parse_instant(str(row["start"]))): read(row) for row in rows}
    spread = dispersion([day for (period, _), day in sums.items() if period == "baseline"])
    interval = statistics.proportion_interval if unit == "ratio" else statistics.mean_interval

    def estimate(period: str) -> Estimate | None:
        total = Sums.total(day for (of, _), day in sums.items() if of == period)
        return _estimate(interval(total, spread), round(total.x)) if total.x > 0 else None

    values = {key: day.ratio for key, day in sums.items() if day.x > 0}
    days = _days(values, periods)
    return Sign(
        name=name, subject=of, unit=unit, worse=worse, window=estimate("window"), baseline=estimate("baseline"),
        days=days,
    )  # fmt: skip


def _latency(name: Any, level: float, rows: Sequence[Row], totals: dict[str, Row], periods: Periods) -> Sign:
    def estimate(period: str) -> Estimate | None:
        row = totals.get(period)
        if row is None or not row["timed"]:
            return None
        n = int(row["timed"])
        found = statistics.quantile_interval(LEVELS, row["seconds"], level, math.sqrt(level * (1 - level) / n))
        return _estimate(found, n)

    place = 0 if level == 0.5 else 1
    values = {
        (row["period"], parse_instant(str(row["start"]))): float(row["seconds"][place]) for row in rows if row["timed"]
    }
    return Sign(
        name=name, unit="s", worse=1, window=estimate("window"), baseline=estimate("baseline"),
        days=_days(values, periods),
    )  # fmt: skip


def _estimate(interval: Interval, n: int) -> Estimate:
    return Estimate(value=interval.value, n=n, low=interval.low, high=interval.high)


def _days(values: dict[tuple[Any, datetime], float], periods: Periods) -> list[DayValue]:
    return [
        DayValue(start=start, value=values.get((name, start)))
        for name in ("baseline", "window")
        for start in _starts(periods, name)[-TREND_DAYS:]
    ]


def _starts(periods: Periods, name: str) -> list[datetime]:
    """Starts of a period's days. They count from the window's start, so the baseline's first may begin before it."""
    start = periods.window.start
    if name == "window":
        return [start + i * DAY for i in range(math.ceil(periods.window.length / DAY))]
    return [start - i * DAY for i in range(math.ceil(periods.baseline.length / DAY), 0, -1)]
