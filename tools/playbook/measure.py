"""The analyst's queries: what a candidate measures, day by day, clustered by trace.

Each returns a complete query with its answer (`Evidence`). All sums are of integers, so an answer is the same on every
run, however ClickHouse spreads the work.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from hansei.contracts import Evidence, Segment, parse_instant
from hansei.tools.langfuse.dataset import Dataset
from hansei.tools.langfuse.narrowing import narrowed
from hansei.tools.langfuse.relations import Needs
from hansei.tools.playbook.model import Candidate, Metric
from hansei.tools.playbook.segments import CLUSTER, TIME, condition, shared
from hansei.tools.statistics import Sums

LEVELS = (
    0.01,
    0.05,
    *(round(0.1 + 0.05 * i, 2) for i in range(16)),
    *(round(0.86 + 0.01 * i, 2) for i in range(14)),
    0.995,
)
"""Levels at which the quantile function is asked for: fine where intervals of p50 and p95 are read off."""

EXAMPLES = 3


@dataclass(frozen=True)
class Rows:
    """The rows of a candidate: a common table expression ``rows`` and what it needs.

    ``rows`` has the columns cluster, period ('window' and the reference's name), day, x, y, and for quantile metrics
    amount.
    """

    cte: str
    parameters: dict[str, object]
    relations: tuple[str, ...]
    needs: Needs
    candidate: Candidate

    def since(self, dataset: Dataset) -> datetime | None:
        """Where reading begins when the candidate asks for more history than the baseline."""
        history = self.candidate.parameters.get("history_days")
        return dataset.periods.window.start - timedelta(days=history) if history else None


def rows_of(
    metric: Metric,
    candidate: Candidate,
    *,
    also: str = "1",
    extra: str = "",
    with_trace: bool = False,
    name: str = "rows",
    prefix: str = "",
) -> Rows:
    """Builds ``rows``.

    Args:
        also: one more condition on the rows.
        extra: further columns, each preceded by a comma.
        with_trace: whether `extra` uses the columns of the trace.
        name, prefix: what the expression is called, and what the names of its parameters begin with, so that two can
            stand in one query.
    """
    time = TIME[metric.relation]
    in_both = shared(candidate.segment, candidate.comparison.segment, metric.relation)
    both = condition(in_both, metric.relation, f"{prefix}both")
    mine = condition(_less(candidate.segment, in_both), metric.relation, f"{prefix}seg")
    theirs = condition(_less(candidate.comparison.segment, in_both), metric.relation, f"{prefix}ref")
    now = f"{time} >= {{window_start:DateTime64(6, 'UTC')}}"
    if candidate.comparison.against == "baseline":
        period = f"if({now}, 'window', 'baseline')"
        chosen = f"if({now}, {mine.sql}, {theirs.sql})" if mine.sql != theirs.sql else mine.sql
    else:
        period = f"if({mine.sql}, 'window', 'rest')"
        chosen = f"{now} AND ({theirs.sql})"
    own = {f"{prefix}{key}": value for key, value in candidate.parameters.items()}
    x, y, where = metric.x, metric.y, metric.where
    for key in candidate.parameters:
        y = y.replace(f"{{{key}:", f"{{{prefix}{key}:")
    asked = f"""SELECT {CLUSTER[metric.relation]} AS cluster, {period} AS period,
      toInt32(floor(dateDiff('millisecond', {{window_start:DateTime64(6, 'UTC')}}, {time}) / 86400000)) AS day,
      toInt64(ifNull({x}, 0)) AS x, toInt256(ifNull({y}, 0)) AS y{_amount(metric)}{extra}"""
    wanted = f"WHERE ({both.sql}) AND ({chosen}) AND ({also}) AND ({where})"
    source = f"({narrowed(metric.source, f'{asked} {wanted}')})" if metric.source else metric.relation
    cte = f"""{name} AS (
    {asked}
    FROM {source}
    {wanted}
  )"""
    looked_up = (*mine.looks_up, *theirs.looks_up, *both.looks_up)
    relations = tuple(dict.fromkeys((metric.relation, *looked_up, *metric.looks_up)))
    trace = ((with_trace or bool(metric.source)) and metric.relation != "traces") or any(
        part.needs.trace for part in (both, mine, theirs)
    )
    kept = {dimension: value for dimension, value in in_both.items() if dimension in _NAMES}
    only = (
        condition(kept, metric.relation, f"{prefix}only") if metric.relation == "observations" and also == "1" else None
    )
    needs = Needs(trace, metric.totals, only.sql if only and kept else "")
    parameters = {**both.parameters, **mine.parameters, **theirs.parameters, **(only.parameters if only else {}), **own}
    return Rows(cte, parameters, relations, needs, candidate)


_NAMES = frozenset({"observation_name", "model", "prompt_name", "prompt_version"})
"""Dimensions whose values belong to few types of observations. (A tool's name comes with its type.)"""


def _less(segment: Segment, known: Segment) -> Segment:
    return {dimension: value for dimension, value in segment.items() if dimension not in known}


def _amount(metric: Metric) -> str:
    return f", {metric.amount} AS amount" if metric.shape == "quantile" else ""


_DAY = "formatDateTime(toDateTime({window_start:DateTime64(6, 'UTC')}, 'UTC') + toIntervalDay(day), '%FT%TZ')"


def measure(dataset: Dataset, metric: Metric, candidate: Candidate, id: str) -> Evidence:
    """Sums per period and day of 24 hours (counted from the window's start).

    Columns: period, day (ISO start), traces, x, y, xx, xy, yy, affected; for quantile metrics also p50 and p95 in
    seconds. See `hansei.tools.statistics.Sums`.
    """
    rows = rows_of(metric, candidate)
    sql = f"WITH {rows.cte}\n{measure_columns(metric)}"
    bound = dataset.bind(sql, rows.relations, rows.needs)
    return dataset.ask(id, "measure", bound, rows.parameters, since=rows.since(dataset))


def measure_columns(metric: Metric) -> str:
    """The SELECT over ``rows`` that a measure consists of."""
    inner, outer, shown = "", "", ""
    if metric.shape == "quantile":
        inner = ", groupArray(amount) AS amounts"
        outer = """,
    round(arrayElement(quantilesExactArray(0.5, 0.95)(amounts) AS q, 1) / 1000, 3) AS p50,
    round(arrayElement(q, 2) / 1000, 3) AS p95"""
        shown = ", p50, p95"
    return f"{summed_by('day', _DAY, metric, inner, outer, shown)}\nORDER BY period DESC, day"


def summed_by(unit: str, name: str, metric: Metric, inner: str = "", outer: str = "", shown: str = "") -> str:
    """A SELECT of the sums of ``rows`` per period and unit of time, which is a column of them.

    Columns: period, the unit, traces, x, y, xx, xy, yy, affected, and what is `shown`.

    Args:
        unit: the column.
        name: SQL of how a value of it is told.
        inner, outer, shown: further columns, of a trace's rows, of a unit's traces, and of the answer.
    """
    scale = f"{metric.scale:.0f}"
    return f"""SELECT period, {name} AS {unit}, traces, x, y, xx, xy, yy, affected{shown}
FROM (
  SELECT period, {unit}, count() AS traces, toUInt64(sum(xs)) AS x, toFloat64(sum(ys)) / {scale} AS y,
    toFloat64(sum(xs * xs)) AS xx, toFloat64(sum(xs * ys)) / {scale} AS xy,
    toFloat64(sum(ys * ys)) / {scale} / {scale} AS yy, countIf(ys > 0) AS affected{outer}
  FROM (
    SELECT cluster, period, {unit}, sum(x) AS xs, sum(y) AS ys{inner} FROM rows GROUP BY cluster, period, {unit}
  )
  GROUP BY period, {unit}
)"""


def is_bad(metric: Metric) -> str:
    """SQL over the sums of a trace's ``rows``: whether the metric was bad in it.

    share, quantile   it happened in the trace (it was slow: beyond the reference's quantile)
    mean              the trace's own mean is beyond the parameter ``usual``, on the side that is worse
    count             traffic is of no single trace: all of the segment
    """
    if metric.shape == "count":
        return "1"
    if metric.shape == "mean":
        sign = ">" if metric.worse > 0 else "<"
        return f"toFloat64(sum(y)) {sign} {{usual:Float64}} * {metric.scale:.0f} * toFloat64(sum(x))"
    return "sum(y) > 0" if metric.worse > 0 else f"sum(y) < {metric.scale:.0f} * sum(x)"


def sums_of(row: Mapping[str, Any]) -> Sums:
    """A row of a measure as sums."""
    x, y, xx, xy, yy = (float(row[name]) for name in ("x", "y", "xx", "xy", "yy"))
    return Sums(int(row["traces"]), x, y, xx, xy, yy, int(row["affected"]))


def quantiles(dataset: Dataset, metric: Metric, candidate: Candidate, id: str) -> Evidence:
    """The quantile function per period.

    Columns: period, n, levels, seconds (both arrays, ascending).
    """
    rows = rows_of(metric, candidate)
    levels = ", ".join(str(level) for level in LEVELS)
    sql = f"""
WITH {rows.cte}
SELECT period, count() AS n, [{levels}] AS levels,
  arrayMap(ms -> round(ms / 1000, 3), quantilesExact({levels})(amount)) AS seconds
FROM rows
GROUP BY period
ORDER BY period DESC"""
    return dataset.ask(id, "quantiles", dataset.bind(sql, rows.relations, rows.needs), rows.parameters)


def examples(
    dataset: Dataset, metric: Metric, candidate: Candidate, id: str, measured: Evidence, at_most: int = EXAMPLES,
    *, described: bool = False,
) -> Evidence:  # fmt: skip
    """Traces of the window in which it happened, to look at.

    Columns: trace_id, y. Shares: any affected traces, in an order that is arbitrary but always the same; amounts: the
    traces with the largest. They are of the day on which it happened most, so that only that day need be read; of the
    whole window, when that day has too few.

    Args:
        described: with the time (UTC), and of metrics that know how bad a row is (`Metric.badness`) with that as the
            column bad, the worst first.
    """
    day = _worst_day(metric, measured, at_most)
    time = TIME[metric.relation]
    on_day = f"{time} >= {_DAY_START} AND {time} < {_DAY_START} + toIntervalDay(1)"
    bad = metric.badness if described else ""
    extra = (f", {time} AS at" if described else "") + (f", {bad} AS bad" if bad else "")
    rows = rows_of(metric, candidate, also=on_day if day else "1", extra=extra)
    if metric.shape in ("share", "count") or metric.worse < 0:
        order = "cityHash64(cluster), cluster"
    else:
        order = "total DESC, cluster"
    order = f"bad DESC, {order}" if bad else order
    inner = (", min(at) AS at" if described else "") + (", max(bad) AS bad" if bad else "")
    outer = (", formatDateTime(at, '%F %H:%i', 'UTC') AS at" if described else "") + (", bad" if bad else "")
    keep = "total < x" if metric.worse < 0 else "total > 0"
    if candidate.direction == "improvement" or metric.shape == "count":
        keep = "1"
    sql = f"""
WITH {rows.cte}
SELECT cluster AS trace_id, toFloat64(total) / {metric.scale:.0f} AS y{outer}
FROM (
  SELECT cluster, sum(x) * {metric.scale:.0f} AS x, sum(y) AS total{inner}
  FROM rows WHERE period = 'window' GROUP BY cluster
)
WHERE {keep}
ORDER BY {order}
LIMIT {at_most}"""
    bound = dataset.bind(sql, rows.relations, rows.needs)
    return dataset.ask(id, "examples", bound, {**rows.parameters, "worst_day": day})


_DAY_START = "{worst_day:DateTime64(6, 'UTC')}"


def _worst_day(metric: Metric, measured: Evidence, at_most: int) -> datetime | None:
    """Start of the day of the window with most of what is measured, if it has enough traces to show."""
    days = [row for row in measured.records() if row["period"] == "window"]
    worst = max(days, key=lambda row: (float(row["y"]) * metric.worse, str(row["day"])), default=None)
    if worst is None or metric.worse < 0 or int(worst["affected"]) < at_most:
        return None
    return parse_instant(str(worst["day"]))
